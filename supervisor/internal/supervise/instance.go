package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/proto/swap"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/keep"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// Config is what an instance needs to know. The zero value of every duration
// and rate is the documented default.
type Config struct {
	Program      string
	Index        int
	ReadyTimeout time.Duration // from the start to ready; 0 means 10 s
	DrainTimeout time.Duration // from drain to the end; 0 means 30 s
	DrainRate    int           // connections a draining worker closes per second; 0 means 300
	NoHandover   bool          // connections end with their worker
	StepTimeout  time.Duration // for each step of a handover; 0 means 5 s
	Restart      Restart
}

func (c Config) withDefaults() Config {
	if c.ReadyTimeout <= 0 {
		c.ReadyTimeout = 10 * time.Second
	}
	if c.DrainTimeout <= 0 {
		c.DrainTimeout = 30 * time.Second
	}
	if c.DrainRate <= 0 {
		c.DrainRate = 300
	}
	if c.StepTimeout <= 0 {
		c.StepTimeout = 5 * time.Second
	}
	c.Restart = c.Restart.withDefaults()
	return c
}

const (
	pingEvery  = time.Second     // how often a worker is asked whether it lives
	hungAfter  = 10              // pings without an answer; counted, so that a suspended machine kills nobody
	abortGrace = 2 * time.Second // from SIGABRT, which makes Go print its goroutines, to SIGKILL
	drainGrace = time.Second     // from a drain's time-out to SIGKILL
)

// ErrStopping says that the instance has ended or is about to.
var ErrStopping = errors.New("the supervisor is stopping")

// Instance supervises one copy of a program. Reload, Kill and Status may be
// called concurrently, while [Instance.Run] runs.
type Instance struct {
	cfg      Config
	launcher Launcher
	book     *Book
	log      *slog.Logger
	inbox    chan func() // run by the loop, which owns everything below; unbuffered: what was taken is run
	ended    chan struct{}
	tasks    sync.WaitGroup // launches under way

	state     State
	keep      *keep.Keep  // of its connections; nil: they end with their worker
	handover  *handover   // under way
	changes   int         // of keep, when it was looked at last
	untidy    int         // of them since memory was given back
	calm      int         // ticks without one
	swaps     uint32      // number of the latest handover
	orphaned  *time.Timer // runs while connections are nobody's
	generated int         // number of the latest generation
	candidate *generation
	serving   *generation
	leaving   map[*generation]bool
	lastGood  Build // pinned, of the latest generation that served

	deploy     *deploy // under way
	superseded *deploy // by the one under way
	backoff    backoff
	retry      *time.Timer
	lastUptime time.Duration // of the worker that crashed last
	lastExit   string
	restarts   int
}

// NewInstance returns an instance that has not been started.
func NewInstance(cfg Config, l Launcher, book *Book, log *slog.Logger) *Instance {
	cfg = cfg.withDefaults()
	return &Instance{
		cfg: cfg, launcher: l, book: book,
		log:     log.With("program", cfg.Program),
		inbox:   make(chan func()),
		ended:   make(chan struct{}),
		leaving: map[*generation]bool{},
		backoff: backoff{restart: cfg.Restart},
	}
}

// Run starts the program and keeps it running until ctx ends; then it drains
// it and returns when no process of it is left.
func (in *Instance) Run(ctx context.Context) error {
	in.openKeep()
	defer in.end()
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	in.fire(Start, "")
	stop := ctx.Done()
	for in.state != Stopped {
		select {
		case f := <-in.inbox:
			f()
		case <-tick.C:
			in.ping()
		case <-stop:
			in.unlessSwapping(func() { in.fire(Stop, ErrStopping.Error()) })
			stop = nil
		}
		if in.candidate == nil && in.serving == nil && len(in.leaving) == 0 {
			in.fire(Empty, "")
		}
	}
	return nil
}

func (in *Instance) end() {
	close(in.ended)
	in.tasks.Wait()
	if in.orphaned != nil {
		in.orphaned.Stop()
	}
	if in.lastGood != nil {
		in.lastGood.Close()
	}
	if in.keep != nil {
		in.keep.Close()
	}
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

// Reload asks for the build that the configuration names now and returns the
// deploy's id, to be followed in the book. [ErrStopping] when it comes too late.
func (in *Instance) Reload() (id string, err error) {
	d := in.book.open(in.cfg.Program)
	if !in.post(func() { in.unlessSwapping(func() { in.reload(d) }) }) {
		in.book.conclude(d, control.Rejected, ErrStopping.Error())
		return d.record.ID, ErrStopping
	}
	return d.record.ID, nil
}

func (in *Instance) reload(d *deploy) {
	in.superseded, in.deploy = in.deploy, d
	in.backoff.reset()
	in.fire(Reload, ErrStopping.Error()) // the only reason to reject one at once
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

// fire makes e happen. reason is told where a deploy is rejected by it.
func (in *Instance) fire(e Event, reason string) {
	was := in.state
	state, actions := next(was, e)
	in.state = state
	for _, a := range actions {
		in.perform(a, reason)
	}
	if state != was {
		in.log.Debug("state changed", "from", was.String(), "to", state.String(), "event", e.String())
	}
}

func (in *Instance) perform(a Action, reason string) {
	switch a {
	case Spawn:
		in.spawn(nil)
	case Respawn:
		in.spawn(in.lastGood)
	case Promote:
		in.promote()
	case Drain:
		in.drain()
	case Kill:
		in.discard(killedFor(in.state))
	case Arm:
		in.arm()
	case Disarm:
		in.disarm()
	case Accept:
		in.conclude(control.Accepted, "")
	case Reject:
		in.conclude(control.Rejected, reason)
	case Return:
		in.conclude(control.Returned, reason)
	case Supersede:
		in.book.supersede(in.superseded, in.deploy)
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
func (in *Instance) spawn(build Build) {
	in.generated++
	g := &generation{number: in.generated, build: build, started: time.Now()}
	if build != nil {
		g.about = build.Describe()
	}
	in.candidate = g
	g.timer = time.AfterFunc(in.cfg.ReadyTimeout, func() { in.post(func() { in.late(g) }) })
	d, arena := in.deploy, in.arena()
	in.tasks.Go(func() { in.launch(g, build, d, arena) })
}

// launch pins and starts g, on a goroutine of its own: disks are slow.
func (in *Instance) launch(g *generation, build Build, d *deploy, arena int) {
	pinned := build
	if pinned == nil {
		var err error
		if pinned, err = in.launcher.Pin(); err != nil {
			in.post(func() { in.launched(g, nil, nil, err) })
			return
		}
		in.book.step(d, "pinned", pinned.Describe().Path)
	}
	announced := make(chan struct{}) // nothing is heard of a process the loop does not know
	defer close(announced)
	notify := func(e worker.Event) {
		<-announced
		if !in.post(func() { in.happened(g, e) }) {
			discardEvent(e)
		}
	}
	process, err := in.launcher.Launch(pinned, g.number, arena, notify)
	if err == nil {
		in.book.step(d, "spawned", fmt.Sprintf("generation %d, pid %d", g.number, process.PID()))
	}
	if !in.post(func() { in.launched(g, pinned, process, err) }) && build == nil {
		pinned.Close()
	}
}

// launched takes the outcome of launch. Meanwhile g may have been killed.
func (in *Instance) launched(g *generation, build Build, p Process, err error) {
	g.build, g.process = build, p
	if build != nil {
		g.about = build.Describe()
	}
	switch {
	case err != nil && g == in.candidate:
		in.gone(g, err.Error())
	case err != nil:
		in.forget(g)
	case in.leaving[g] || g.sealed != "":
		p.Signal(syscall.SIGKILL)
	default:
		in.log.Info("worker started", "gen", g.number, "pid", p.PID(), "build", g.about.Path)
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
	if g != in.candidate || g.sealed != "" || in.handover != nil {
		return
	}
	g.disarm()
	in.book.step(in.deploy, "ready", fmt.Sprintf("after %d ms", time.Since(g.started).Milliseconds()))
	if g.moves() {
		in.beginHandover(g)
		return
	}
	in.fire(Ready, "")
}

// promote makes the candidate the one that serves.
func (in *Instance) promote() {
	g := in.candidate
	g.disarm()
	in.candidate, in.serving = nil, g
	g.served = time.Now()
	g.unanswered = 0
	replaced := in.lastGood
	in.lastGood = g.build
	in.release(replaced)
	if !g.moves() {
		g.send(proto.Go{})
		in.shutOrphans() // it cannot take them
	}
	in.book.swapped(in.deploy)
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
	in.leaving[g] = true
	g.deadline = time.Now().Add(in.cfg.DrainTimeout + drainGrace)
	g.timer = time.AfterFunc(in.cfg.DrainTimeout+drainGrace, func() {
		in.post(func() { in.kill(g, "not drained in time") })
	})
	if !g.joined {
		g.process.Signal(syscall.SIGTERM)
		return
	}
	why := proto.WhyDeploy
	if in.state == Stopping {
		why = proto.WhyStop
	}
	g.send(proto.Drain{Why: why, Rate: in.cfg.DrainRate, TimeoutMS: in.cfg.DrainTimeout.Milliseconds()})
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
	how := fmt.Sprintf("not ready within %s: it said neither ready on the control socket nor READY=1 to NOTIFY_SOCKET", in.cfg.ReadyTimeout)
	in.discard(how)
	in.failed(g, how)
}

// gone takes a candidate that could not be started or has ended.
func (in *Instance) gone(g *generation, how string) {
	in.candidate = nil
	in.forget(g)
	in.failed(g, how)
}

// failed tells how g, the candidate until now, failed.
func (in *Instance) failed(g *generation, how string) {
	if in.serving == nil {
		in.lastExit = how
	}
	reason := g.ending(how)
	in.log.Error("worker failed", "gen", g.number, "reason", reason)
	in.fire(Failed, reason)
}

func (in *Instance) exited(g *generation, exit worker.Exit) {
	how := exit.String()
	if g.sealed != "" {
		how = g.sealed + ", " + how
	}
	switch {
	case g == in.candidate && in.handover != nil:
		in.candidateDied(g, how)
	case g == in.candidate:
		in.gone(g, how+" before it was ready")
	case g == in.serving:
		in.crashed(g, how)
	default:
		in.forget(g)
		in.log.Info("worker ended", "gen", g.number, "exit", how)
		in.tellPeers()
	}
}

func (in *Instance) crashed(g *generation, how string) {
	in.serving = nil
	in.forget(g)
	in.lastExit, in.lastUptime = how, g.uptime()
	in.log.Error("worker crashed", "gen", g.number, "reason", g.ending(how))
	in.tellPeers()
	in.fire(Crashed, "")
	in.learn(g, swap.NewsOldDied)
}

// forget drops what is left of a generation whose process has ended.
func (in *Instance) forget(g *generation) {
	g.disarm()
	in.abandon(g)
	delete(in.leaving, g)
	in.release(g.build)
}

// release closes b once nobody can need it: generations that have it, and one
// of them may be about to be started from it, and the next crash restart.
func (in *Instance) release(b Build) {
	if b == nil || b == in.lastGood {
		return
	}
	for _, g := range in.generations() {
		if g.build == b {
			return
		}
	}
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
		in.fire(Start, "")
		return
	}
	in.fire(Retry, "")
}

func (in *Instance) conclude(v control.Verdict, reason string) {
	if in.deploy == nil {
		return
	}
	in.book.conclude(in.deploy, v, reason)
	in.log.Info("deploy ended", "deploy", in.deploy.record.ID, "verdict", string(v), "reason", reason)
	in.deploy = nil
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
