package supervise

import (
	"fmt"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// spawn makes a candidate of build, or of what is there now if build is nil.
func (in *Instance) spawn(build Build, plan *Plan) {
	in.generated++
	g := &generation{number: in.generated, build: build, plan: plan, started: time.Now()}
	if build != nil {
		g.about = build.Describe()
	}
	in.candidate = g
	g.timer = time.AfterFunc(plan.ReadyTimeout, func() { in.post(func() { in.late(g) }) })
	d, arena := in.deploy, in.arena(plan)
	in.tasks.Go(func() { in.launch(g, build, d, arena) })
}

// launch pins and starts g, on a goroutine of its own: disks are slow.
func (in *Instance) launch(g *generation, build Build, d *deploy, arena int) {
	pinned := build
	if pinned == nil {
		var err error
		if pinned, err = g.plan.Pin(); err != nil {
			in.post(func() { in.launched(g, nil, nil, err) })
			return
		}
		in.Book.step(d, "pinned", pinned.Describe().Path)
	}
	announced := make(chan struct{}) // nothing is heard of a process the loop does not know
	defer close(announced)
	notify := func(e worker.Event) {
		<-announced
		if !in.post(func() { in.happened(g, e) }) {
			discardEvent(e)
		}
	}
	if build == nil {
		in.put(map[string]int{in.buildName(g): pinned.FD()})
	}
	process, err := g.plan.Launch(pinned, LaunchSpec{in.cfg.Index, g.number, arena, func(h worker.Handles) { in.put(in.handles(g.number, h)) }}, notify)
	if err == nil {
		in.put(in.handles(g.number, process.Handles()))
		in.Book.step(d, "spawned", fmt.Sprintf("generation %d, pid %d", g.number, process.PID()))
	}
	if !in.post(func() { in.launched(g, pinned, process, err) }) && build == nil {
		in.Store.Remove(in.buildName(g))
		pinned.Close()
	}
}

// launched takes the outcome of launch. Meanwhile g may have been killed.
func (in *Instance) launched(g *generation, build Build, p Process, err error) {
	in.unsaved = true
	g.build, g.process = build, p
	if build != nil {
		g.about = build.Describe()
		if in.names[build] == "" {
			in.names[build] = in.buildName(g)
		}
	}
	switch {
	case err != nil && g == in.candidate:
		in.gone(g, err.Error(), Failed)
	case err != nil:
		in.forget(g)
	case in.leaving[g] || g.sealed != "":
		p.Signal(syscall.SIGKILL)
	default:
		in.log.Info("worker started", "gen", g.number, "pid", p.PID(), "build", g.about.Path)
		time.AfterFunc(guardAfter, func() { in.post(func() { in.guard(g) }) })
	}
}

// ready lets g take over, unless it has been ended: what it had said before
// that may still arrive.
func (in *Instance) ready(g *generation) {
	if g != in.candidate || g.sealed != "" || in.handover != nil || g.waits {
		return
	}
	g.disarm()
	g.ready = time.Now()
	in.Book.step(in.deploy, "ready", fmt.Sprintf("after %d ms", g.ready.Sub(g.started).Milliseconds()))
	if p := in.part(); p != nil {
		p.arrive(readyStage, func() { in.takeOver(g) })
		return
	}
	in.takeOver(g)
}

// takeOver lets a candidate that is ready take over.
func (in *Instance) takeOver(g *generation) {
	switch {
	case g != in.candidate || g.sealed != "":
	case !g.moves():
		in.fire(Ready, cause{})
	case in.serving != nil && in.serving.telling:
		g.waits = true // what is not known yet could not move
	default:
		in.beginHandover(g)
	}
}

// told takes that g has told again what it keeps, or never will.
func (in *Instance) told(g *generation) {
	g.telling = false
	for _, m := range g.late {
		in.heardLate(g, m)
	}
	g.late = nil
	if next := in.candidate; next != nil && next.waits && in.handover == nil {
		next.waits = false
		in.beginHandover(next)
	}
}

// promote makes the candidate the one that serves.
func (in *Instance) promote() {
	g := in.candidate
	g.disarm()
	in.candidate, in.serving = nil, g
	g.served = time.Now()
	g.unanswered = 0
	in.watch(g)
	in.guard(g)
	if !g.moves() {
		g.send(proto.Go{})
		in.shutOrphans() // it cannot take them
	}
	in.Book.swapped(in.deploy)
	in.tellPeers()
	in.log.Info("worker ready", "gen", g.number, "pid", g.process.PID(), "commit", g.about.Commit,
		"dur", time.Since(g.started).Round(time.Millisecond))
}

// discard kills the candidate.
func (in *Instance) discard(why string) {
	in.cancelHandover()
	g := in.candidate
	g.disarm()
	in.candidate = nil
	in.leaving[g] = true
	g.deadline = time.Now()
	in.kill(g, why)
}

// late ends a candidate that did not get ready in time.
func (in *Instance) late(g *generation) {
	if g != in.candidate || in.handover != nil {
		return
	}
	how := fmt.Sprintf("not ready within %s: it said neither ready on the control socket nor READY=1 to NOTIFY_SOCKET (ready_after is for programs that do not)", g.plan.ReadyTimeout)
	in.discard(how)
	in.failed(g, how, Failed)
}

// gone takes a candidate that could not be started or has ended, after which
// comes e.
func (in *Instance) gone(g *generation, how string, e Event) {
	in.candidate = nil
	in.forget(g)
	in.failed(g, how, e)
}

// failed tells how g, the candidate until now, failed.
func (in *Instance) failed(g *generation, how string, e Event) {
	if in.serving == nil {
		in.lastExit = how
	}
	reason := g.ending(how)
	in.log.Error("worker failed", "gen", g.number, "reason", reason.String())
	in.fire(e, reason)
}

// conclude gives the candidate's deploy its verdict.
func (in *Instance) conclude(v control.Verdict, reason cause) {
	d := in.deploy
	in.deploy = nil
	in.judge(d, v, reason)
}

// judge gives d, which may be nobody's, its verdict.
func (in *Instance) judge(d *deploy, v control.Verdict, reason cause) {
	if d == nil {
		return
	}
	in.Book.conclude(d, v, reason)
	in.log.Info("deploy ended", "deploy", d.record.ID, "verdict", string(v), "reason", reason.String())
}
