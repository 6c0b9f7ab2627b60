package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/proto/swap"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
	"github.com/simpletalk/simpletalk/supervisor/internal/keep"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

const (
	pingEvery  = time.Second     // how often a worker is asked whether it lives
	hungAfter  = 10              // pings without an answer; counted, so that a suspended machine kills nobody
	abortGrace = 2 * time.Second // from SIGABRT, which makes Go print its goroutines, to SIGKILL
	drainGrace = time.Second     // from a drain's time-out to SIGKILL
)

// Errors of what an operator asks for.
var (
	ErrStopping   = errors.New("the supervisor is stopping")
	ErrNoPrevious = errors.New("no earlier build is held: none served before the present one")
	ErrNotRunning = errors.New("it does not run")
)

// Parts are what instances work with. All but Store, Remake and Meter must be given.
type Parts struct {
	Book *Book
	Log  *slog.Logger

	Group  *Group                                    // of the instances of its program; nil: it is the only one
	Store  *fdstore.Store                            // of what a supervisor after this one goes on with; nil: none comes
	Remake func(text json.RawMessage) (*Plan, error) // makes a plan of its text; without a Store it may be nil
	Meter  *Meter                                    // nil: nothing is measured
}

// Instance supervises one copy of a program. Its methods may be called
// concurrently, while [Instance.Run] runs.
type Instance struct {
	Parts
	cfg   Config // of which only what does not change is used
	log   *slog.Logger
	inbox chan func() // run by the loop, which owns everything below; unbuffered: what was taken is run
	mail  *mailbox    // the same, from other instances' loops
	ended chan struct{}
	tasks sync.WaitGroup // launches under way

	state      State
	changed    chan struct{}     // closed and replaced when the state changes
	pending    []Event           // to happen once the present one is over
	quitting   bool              // Run is about to return
	doc        *fdstore.Document // what it leaves to another supervisor; nil: nothing
	unsaved    bool              // something is not in doc yet
	names      map[Build]string  // in the Store
	plan       *Plan             // chosen last
	chosen     Build             // that Spawn starts instead of what is there; nil: none
	keep       *keep.Keep        // of its connections; nil: they end with their worker
	handover   *handover         // under way
	changes    int               // of keep, when it was looked at last
	untidy     int               // what has changed since memory was given back
	calm       int               // ticks without a change
	swaps      uint32            // number of the latest handover
	heir       *Instance         // that gets its connections when it ends; nil: nobody
	inheriting []func()          // called in turn as connections of others are held
	orphaned   *time.Timer       // runs while connections are nobody's
	generated  int               // number of the latest generation
	candidate  *generation
	serving    *generation
	leaving    map[*generation]bool
	lastGood   *pinned // what a crash restart and a return start; nil before the first
	previous   *pinned // the last good one before it, for a rollback
	trial      *trial  // of the serving build
	checks     *checks // of the serving worker's health

	deploy     *deploy // of the candidate
	superseded *deploy // by that one
	backoff    backoff
	retry      *time.Timer
	lastUptime time.Duration // of the worker that crashed last
	lastExit   string
	restarts   int
}

// NewInstance returns an instance that has not been started.
func NewInstance(first Plan, parts Parts) *Instance {
	plan := first.withDefaults()
	if parts.Store == nil {
		parts.Store = fdstore.New(nil, nil)
	}
	if parts.Group == nil {
		parts.Group = NewGroup()
	}
	log := parts.Log.With("program", plan.Program)
	if plan.Copies > 1 || plan.Index > 0 {
		log = log.With("instance", plan.Index)
	}
	return &Instance{
		Parts: parts, cfg: plan.Config, plan: plan,
		log:     log,
		names:   map[Build]string{},
		changed: make(chan struct{}),
		inbox:   make(chan func()),
		mail:    newMailbox(),
		ended:   make(chan struct{}),
		leaving: map[*generation]bool{},
		backoff: backoff{restart: plan.Restart},
	}
}

// Run starts the program, unless it is to be started later or [Instance.Restore]
// has found it running, and keeps it as operators want it until ctx ends; then it
// drains it and returns when no process of it is left.
func (in *Instance) Run(ctx context.Context) error {
	defer in.end()
	if in.doc == nil {
		in.begin()
	}
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	stop := ctx.Done()
	for !in.over() {
		select {
		case f := <-in.inbox:
			f()
		case <-in.mail.ready:
			in.mail.empty()
		case <-tick.C:
			in.ping()
		case <-stop:
			in.quitting = true
			in.unlessSwapping(func() { in.fire(Stop, because(ErrStopping.Error())) })
			stop = nil
		}
		if in.isEmpty() {
			in.fire(Empty, cause{})
		}
		in.save()
	}
	return nil
}

// begin is the first start.
func (in *Instance) begin() {
	in.openKeep()
	in.openDocument()
	if !in.cfg.Later {
		in.fire(Start, cause{})
	}
	in.unsaved = true
	in.save()
}

func (in *Instance) isEmpty() bool {
	return in.candidate == nil && in.serving == nil && len(in.leaving) == 0
}

func (in *Instance) over() bool { return in.quitting && in.state == Stopped && in.isEmpty() }

func (in *Instance) end() {
	close(in.ended)
	in.mail.close()
	in.Group.leave(in)
	in.tasks.Wait()
	if in.orphaned != nil {
		in.orphaned.Stop()
	}
	in.choose(in.plan, nil)
	held := in.held()
	in.lastGood, in.previous = nil, nil
	for _, p := range held {
		in.release(p.build)
	}
	if in.keep != nil {
		in.Store.Remove(in.name("arena"))
		in.keep.Close()
	}
	in.closeDocument()
}

// post has the loop run f. It reports false when the loop has ended.
func (in *Instance) post(f func()) bool {
	select {
	case in.inbox <- f:
		return true
	case <-in.ended:
		return false
	}
}

// fire makes e happen, and what it leads to. reason is told where a deploy ends
// by it.
func (in *Instance) fire(e Event, reason cause) {
	in.happen(e, reason)
	for len(in.pending) > 0 {
		e := in.pending[0]
		in.pending = in.pending[1:]
		in.happen(e, cause{})
	}
}

// Kill ends every process of the instance at once; Run then returns if it was
// asked to stop.
func (in *Instance) Kill() {
	in.post(func() {
		for _, g := range in.generations() {
			in.kill(g, "killed on request")
		}
	})
}

func (in *Instance) happen(e Event, reason cause) {
	in.unsaved = true
	was := in.state
	state, actions := next(was, e)
	in.state = state
	for _, a := range actions {
		in.perform(a, reason)
	}
	if state != was {
		in.log.Debug("state changed", "from", was.String(), "to", state.String(), "event", e.String())
		close(in.changed)
		in.changed = make(chan struct{})
	}
}

func (in *Instance) perform(a Action, reason cause) {
	switch a {
	case Spawn:
		build := in.chosen
		in.chosen = nil
		in.spawn(build, in.plan)
	case Respawn:
		in.spawn(in.lastGood.build, in.lastGood.plan)
	case Promote:
		in.promote()
	case Bake:
		in.bake()
	case Drain:
		in.drain()
	case Kill:
		in.discard(killedFor(in.state))
	case Arm:
		in.arm()
	case Disarm:
		in.disarm()
	case Accept:
		in.accept()
	case Settle:
		in.settle(reason.why)
	case Return:
		in.giveBack(reason)
	case Reject:
		in.conclude(control.Rejected, reason)
	case Fall:
		in.conclude(control.Returned, reason)
	case Supersede:
		in.Book.supersede(in.superseded, in.deploy)
		in.superseded = nil
	}
}

// killedFor says why a candidate is killed on the way to state s.
func killedFor(s State) string {
	if s == Stopping {
		return ErrStopping.Error()
	}
	return "superseded by a later request"
}

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

// happened takes what g's worker said or did.
func (in *Instance) happened(g *generation, e worker.Event) {
	switch e := e.(type) {
	case worker.Ready:
		in.ready(g)
	case worker.Message:
		in.heard(g, e.Message, e.FDs)
	case worker.Broken:
		in.log.Error("worker broke the protocol", "gen", g.number, "err", e.Err)
		in.kill(g, "broke the protocol: "+e.Err.Error())
	case worker.Exited:
		in.exited(g, e.Exit)
	}
}

// ready lets g take over, unless it has been ended: what it had said before
// that may still arrive.
func (in *Instance) ready(g *generation) {
	if g != in.candidate || g.sealed != "" || in.handover != nil || g.waits {
		return
	}
	g.disarm()
	in.Book.step(in.deploy, "ready", fmt.Sprintf("after %d ms", time.Since(g.started).Milliseconds()))
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

// generations returns every generation that has or may get a process.
func (in *Instance) generations() []*generation {
	var all []*generation
	for _, g := range []*generation{in.candidate, in.serving} {
		if g != nil {
			all = append(all, g)
		}
	}
	for g := range in.leaving {
		all = append(all, g)
	}
	return all
}
