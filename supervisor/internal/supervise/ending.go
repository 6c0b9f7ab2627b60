package supervise

import (
	"fmt"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/proto/swap"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// drain sends the serving worker on its way out.
func (in *Instance) drain() {
	g := in.serving
	if g == nil {
		return
	}
	in.serving = nil
	in.unwatch()
	in.leaving[g] = true
	allowed := g.plan.DrainTimeout + drainGrace
	if !g.joined {
		allowed = g.plan.KillTimeout
	}
	g.deadline = time.Now().Add(allowed)
	g.timer = time.AfterFunc(allowed, func() {
		in.post(func() { in.kill(g, "not drained in time") })
	})
	in.trimStack(g.plan.Stack)
	if !g.joined {
		g.process.Signal(g.plan.StopSignal)
		return
	}
	switch {
	case in.state != Stopping:
		in.sayDrain(g, proto.WhyDeploy)
	case !in.bequeath(g):
		in.sayDrain(g, proto.WhyStop)
	}
}

func (in *Instance) sayDrain(g *generation, why proto.Why) {
	g.send(proto.Drain{Why: why, Rate: g.plan.DrainRate, TimeoutMS: g.plan.DrainTimeout.Milliseconds()})
}

// trimStack ends the oldest of the generations that drain when there are more
// than limit.
func (in *Instance) trimStack(limit int) {
	var draining []*generation
	for g := range in.leaving {
		if g.sealed == "" {
			draining = append(draining, g)
		}
	}
	slices.SortFunc(draining, func(a, b *generation) int { return a.number - b.number })
	for len(draining) > limit {
		in.kill(draining[0], fmt.Sprintf("more than %d generations drain", limit))
		draining = draining[1:]
	}
}

// kill ends g at once.
func (in *Instance) kill(g *generation, why string) {
	in.unsaved = true
	if g.sealed == "" {
		g.sealed = why
	}
	if g.process != nil {
		g.process.Signal(syscall.SIGKILL)
	}
}

func (in *Instance) exited(g *generation, exit worker.Exit) {
	how := exit.String()
	if g.sealed != "" {
		how = g.sealed + ", " + how
	}
	in.untidied(tidyChange)
	switch {
	case g == in.candidate && in.handover != nil:
		in.candidateDied(g, how)
	case g == in.candidate:
		in.candidateEnded(g, exit, how)
	case g == in.serving:
		in.crashed(g, how, in.endOf(g, exit, Crashed))
	default:
		in.forget(g)
		in.log.Info("worker ended", "gen", g.number, "exit", how)
		in.tellPeers()
	}
}

// endOf tells an end that the plan of g leaves at that from e. What a deploy has
// on trial, or what ran beside another one, was meant to serve on.
func (in *Instance) endOf(g *generation, exit worker.Exit, e Event) Event {
	alone := g == in.serving || in.serving == nil
	tried := in.trial != nil && in.trial.deploy != nil
	if g.sealed == "" && alone && !tried && !g.plan.On.Restarts(exit.Code, exit.Signal) {
		return Finished
	}
	return e
}

// crashed takes the end of the serving worker, after which comes e.
func (in *Instance) crashed(g *generation, how string, e Event) {
	in.serving = nil
	in.unwatch()
	in.inheritNothing()
	in.forget(g)
	in.lastExit, in.lastUptime = how, g.uptime()
	reason := g.ending(how)
	if e == Finished {
		in.log.Info("worker finished", "gen", g.number, "exit", how)
	} else {
		in.log.Error("worker crashed", "gen", g.number, "reason", reason.String())
	}
	in.tellPeers()
	in.fire(e, g.onTrial(reason))
	in.learn(g, swap.NewsOldDied)
	in.told(g)
}

// forget drops what is left of a generation whose process has ended.
func (in *Instance) forget(g *generation) {
	in.unsaved = true
	g.disarm()
	in.abandon(g)
	delete(in.leaving, g)
	in.release(g.build)
	in.Store.Remove(slices.Collect(maps.Keys(in.handles(g.number, worker.Handles{})))...)
	if g.process != nil {
		g.process.Handles().Close()
	}
}

// release closes b once nobody can need it: generations that have it, and one
// of them may be about to be started from it, and the next crash restart.
func (in *Instance) release(b Build) {
	if b == nil || b == in.chosen {
		return
	}
	for _, p := range in.held() {
		if p.build == b {
			return
		}
	}
	for _, g := range in.generations() {
		if g.build == b {
			return
		}
	}
	in.Store.Remove(in.names[b])
	delete(in.names, b)
	b.Close()
}

// arm waits before the next start.
func (in *Instance) arm() {
	wait := in.backoff.next(in.lastUptime)
	in.lastUptime = 0
	in.log.Info("worker restarts", "after", wait.Round(time.Millisecond))
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() {
		in.post(func() {
			if in.retry == timer {
				in.again()
			}
		})
	})
	in.retry = timer
}

// disarm forgets the backoff, if it is not over.
func (in *Instance) disarm() {
	if in.retry != nil {
		in.retry.Stop()
		in.retry = nil
	}
}

// again starts a worker after the backoff: of the last good build, or, while
// none has ever served, of what is there by now.
func (in *Instance) again() {
	in.retry = nil
	in.restarts++
	if in.lastGood == nil {
		in.fire(Start, cause{}) // of what is there by now
		return
	}
	in.fire(Retry, cause{})
}
