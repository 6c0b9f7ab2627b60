package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

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
	after      []func()          // what waited for the end of one that is over
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
		in.goOnAfter()
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
		if state == Stopped {
			in.shutOrphans()
		}
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
