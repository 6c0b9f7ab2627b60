package supervise

import (
	"context"
	"fmt"
	"syscall"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// Reload asks for the build that the plan chosen last names by now, and returns
// the deploy's id, to be followed in the book. [ErrStopping] when it comes too
// late.
func (in *Instance) Reload() (id string, err error) {
	return in.request(func(d *deploy) { in.reload(d, in.plan, nil) })
}

// ReloadAs is Reload by another plan, as a deploy that the book has begun.
func (in *Instance) ReloadAs(id string, p Plan) error {
	plan, d := p.withDefaults(), in.Book.pending(id)
	if d == nil {
		return fmt.Errorf("%w: %s", control.ErrNoDeploy, id)
	}
	return in.goOn(d, func(d *deploy) { in.reload(d, plan, nil) })
}

// ReloadIn is ReloadAs as a part of a roll.
func (in *Instance) ReloadIn(r *Roll, p Plan) error {
	plan := p.withDefaults()
	return in.goOn(r.join(in), func(d *deploy) { in.reload(d, plan, nil) })
}

// RollbackIn is Rollback as a part of a roll.
func (in *Instance) RollbackIn(r *Roll) error {
	return in.goOn(r.join(in), in.rollback)
}

// Rollback asks for the build that was good before the one that serves, which
// is held open, with the plan that it had. Without any the deploy is rejected.
func (in *Instance) Rollback() (id string, err error) {
	return in.request(in.rollback)
}

// RollbackAs is Rollback as a deploy that the book has begun.
func (in *Instance) RollbackAs(id string) error {
	d := in.Book.pending(id)
	if d == nil {
		return fmt.Errorf("%w: %s", control.ErrNoDeploy, id)
	}
	return in.goOn(d, in.rollback)
}

func (in *Instance) rollback(d *deploy) {
	p := in.previous
	if in.trial != nil {
		p = in.lastGood
	}
	if p == nil {
		in.judge(d, control.Rejected, because(ErrNoPrevious.Error()))
		return
	}
	in.reload(d, p.plan, p.build)
}

// Renew asks for another worker of the last good build, with the plan that it
// had, in place of one that serves. why is told as who asked. [ErrNotRunning]
// when something else is going on.
func (in *Instance) Renew(why string) (id string, err error) {
	var d *deploy
	running := make(chan bool, 1)
	if err := in.ask(func() {
		if in.state != Running || in.handover != nil {
			running <- false
			return
		}
		d = in.Book.open(in.cfg.Program)
		in.reload(d, in.lastGood.plan, in.lastGood.build)
		running <- true
	}); err != nil {
		return "", err
	}
	if !<-running {
		return "", ErrNotRunning
	}
	in.Book.Asked(d.record.ID, why)
	return d.record.ID, nil
}

// request enters a deploy in the book and has the loop begin it.
func (in *Instance) request(begin func(*deploy)) (id string, err error) {
	d := in.Book.open(in.cfg.Program)
	return d.record.ID, in.goOn(d, begin)
}

// goOn has the loop begin d, or rejects it.
func (in *Instance) goOn(d *deploy, begin func(*deploy)) error {
	if !in.post(func() { in.unlessSwapping(func() { begin(d) }) }) {
		in.Book.conclude(d, control.Rejected, because(ErrStopping.Error()))
		return ErrStopping
	}
	return nil
}

func (in *Instance) reload(d *deploy, plan *Plan, build Build) {
	in.superseded, in.deploy = in.deploy, d
	in.choose(plan, build)
	in.backoff.reset()
	in.fire(Reload, because(in.ending())) // the only reason to reject one at once
}

// choose says what is spawned next.
func (in *Instance) choose(plan *Plan, build Build) {
	in.unsaved = true
	forgotten := in.chosen
	in.plan, in.chosen = plan, build
	in.release(forgotten)
}

// ending is why everything ends, if it does.
func (in *Instance) ending() string {
	if in.quitting {
		return ErrStopping.Error()
	}
	return "the program is being stopped"
}

// Start starts what was stopped, by a plan; what runs is left alone.
func (in *Instance) Start(p Plan) error {
	plan := p.withDefaults()
	return in.ask(func() {
		in.unlessSwapping(func() { // after a stop that waits
			if in.state == Stopped || in.state == Backoff {
				in.choose(plan, nil)
			}
			in.fire(Start, cause{})
		})
	})
}

// Stop drains and ends what runs; it is not started again until Start.
func (in *Instance) Stop() error {
	return in.ask(func() { in.unlessSwapping(func() { in.fire(Stop, because(in.ending())) }) })
}

// Signal sends sig to the serving worker's process group; [ErrNotRunning] when
// none serves.
func (in *Instance) Signal(sig syscall.Signal) error {
	answer := make(chan error, 1)
	if err := in.ask(func() {
		if in.serving == nil {
			answer <- ErrNotRunning
			return
		}
		answer <- in.serving.process.Signal(sig)
	}); err != nil {
		return err
	}
	return <-answer
}

// Reset forgets how often the program was restarted, how it ended last, and how
// long its next start waits.
func (in *Instance) Reset() error {
	return in.ask(func() {
		in.unsaved = true
		in.restarts, in.lastExit = 0, ""
		in.backoff.reset()
		if in.retry != nil {
			in.disarm()
			in.again()
		}
	})
}

func (in *Instance) ask(f func()) error {
	if !in.post(f) {
		return ErrStopping
	}
	return nil
}

// Await returns once the instance is in a state that will do, which it returns
// as an operator is told it. Its errors are [ErrStopping] and ctx's.
func (in *Instance) Await(ctx context.Context, will func(State) bool) (string, error) {
	for {
		var state State
		changed := make(chan (<-chan struct{}), 1)
		if err := in.ask(func() { state = in.state; changed <- in.changed }); err != nil {
			return "", err
		}
		again := <-changed
		if will(state) {
			return stateTold(state), nil
		}
		select {
		case <-again:
		case <-in.ended:
		case <-ctx.Done():
			return stateTold(state), context.Cause(ctx)
		}
	}
}
