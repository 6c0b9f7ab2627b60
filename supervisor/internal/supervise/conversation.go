package supervise

import (
	"fmt"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// heard takes a message of g's worker, and owns its descriptors.
func (in *Instance) heard(g *generation, m proto.Message, fds []int) {
	if in.keep != nil && in.heardOfConns(g, m, fds) {
		return
	}
	proto.CloseFDs(fds)
	switch m := m.(type) {
	case proto.Hello:
		in.greeted(g, m)
	case proto.Pong:
		g.unanswered = 0
	case proto.Stats:
		g.conns = m.Conns
	case proto.Publish:
		in.deliver(g, m.Data)
		in.Group.publish(in, m.Data)
	case proto.Drained:
		in.log.Info("worker drained", "gen", g.number)
	case proto.Bye:
		in.log.Debug("worker says bye", "gen", g.number, "reason", m.Reason)
	case proto.Unknown:
		in.log.Warn("worker does not know a message", "gen", g.number, "kind", string(m.Name))
	}
}

func (in *Instance) greeted(g *generation, hello proto.Hello) {
	if _, err := proto.Negotiate(proto.Versions(), hello.Versions); err != nil {
		in.kill(g, err.Error())
		return
	}
	in.unsaved = true
	g.joined = true
	in.tasks.Go(g.process.Unguard) // it may have been slow to say so
	if in.keep != nil && !g.plan.NoHandover {
		g.formats, g.files = hello.Formats, hello.Files
	}
	g.about.Version, g.about.Commit = hello.Build.Version, hello.Build.Commit
}

// ping asks every worker that takes messages whether it still handles them;
// the serving one is ended when it has not answered for too long.
func (in *Instance) ping() {
	in.tidy()
	if g := in.serving; g != nil && g.unanswered >= hungAfter && g.sealed == "" {
		in.abort(g, fmt.Sprintf("hung: no answer to %d pings", g.unanswered))
	}
	for _, g := range in.generations() {
		if g.joined {
			g.send(proto.Ping{})
			g.unanswered++
		}
	}
}

// guardAfter is how long a worker may take to say hello until it is taken for a
// plain program.
const guardAfter = 500 * time.Millisecond

// guard has a plain program end when no supervisor is left: it would not notice.
func (in *Instance) guard(g *generation) {
	if g.joined || g.process == nil || g.sealed != "" {
		return
	}
	how := worker.Guard{Signal: g.plan.StopSignal, Within: g.plan.KillTimeout}
	in.tasks.Go(func() {
		if err := g.process.Guard(how); err != nil {
			in.log.Warn("program would outlive its supervisor", "gen", g.number, "err", err)
			return
		}
		name := in.name(fmt.Sprintf("%d/keeper", g.number))
		in.put(map[string]int{name: g.process.Handles().Keeper})
		in.post(func() {
			if !slices.Contains(in.generations(), g) || g.joined {
				in.Store.Remove(name)
			}
		})
	})
}

const (
	tidyCalm   = 5   // ticks after which a crowd has settled
	tidyChange = 200 // kept connections more or less, or moved, that leave something behind
)

// tidy gives memory back to the machine once a crowd of connections has come,
// gone or moved, or a worker has ended: the runtime would keep what that took for
// minutes.
func (in *Instance) tidy() {
	if in.keep != nil {
		if n := in.keep.Changes(); n != in.changes {
			in.untidied(n - in.changes)
			in.changes = n
			return
		}
	}
	if in.calm++; in.calm == tidyCalm && in.untidy >= tidyChange {
		in.untidy = 0
		in.tasks.Go(debug.FreeOSMemory)
	}
}

// untidied counts changes that leave something behind in memory.
func (in *Instance) untidied(changes int) {
	in.untidy += changes
	in.calm = 0
}

// abort ends a worker that serves nobody well so that it can still say where it
// hangs.
func (in *Instance) abort(g *generation, why string) {
	g.sealed = why
	in.log.Error("worker hangs", "gen", g.number, "reason", why)
	g.process.Signal(syscall.SIGABRT)
	g.timer = time.AfterFunc(abortGrace, func() { in.post(func() { in.kill(g, g.sealed) }) })
}

// companions are the workers that serve members at this moment.
func (in *Instance) companions() []*generation {
	var all []*generation
	for _, g := range in.generations() {
		if g.joined && g != in.candidate && !g.served.IsZero() {
			all = append(all, g)
		}
	}
	return all
}

// tellPeers tells every serving worker how many others there are.
func (in *Instance) tellPeers() {
	all := in.companions()
	total := in.Group.set(in, len(all))
	for _, g := range all {
		g.send(proto.Peers{N: total - 1})
	}
}

// deliver hands what from, of another instance if it is nil, published to its
// companions.
func (in *Instance) deliver(from *generation, data []byte) {
	for _, g := range in.companions() {
		if g != from {
			g.send(proto.Deliver{Data: data})
		}
	}
}
