package fleet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/proto/address"
	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
	"github.com/simpletalk/simpletalk/supervisor/internal/record"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
)

// Operate implements [control.Backend].
func (f *Fleet) Operate(ctx context.Context, name string, op control.Operation) (control.Done, error) {
	p, err := f.find(name)
	if err != nil {
		return control.Done{}, err
	}
	switch op {
	case control.OpStart:
		return f.start(ctx, p)
	case control.OpStop:
		return f.stop(ctx, p)
	case control.OpRestart:
		return f.restart(ctx, p)
	case control.OpReset:
		err := p.each(func(r *replica) error { return r.Reset() })
		return control.Done{Program: name, State: "reset"}, err
	case control.OpDelete:
		return f.delete(ctx, p)
	case control.OpFlush:
		return operateLog(ctx, p, "flushed", p.file.Flush)
	case control.OpReopen:
		return operateLog(ctx, p, "reopened", p.file.Reopen)
	default:
		return control.Done{}, control.Refuse(control.ErrMistake, "no operation %q: there is start, stop, restart, reset, delete, flush, reopen, signal", op)
	}
}

// change runs what changes the fleet. Nothing in it waits for a worker.
func (f *Fleet) change(do func() error) error {
	f.changing.Lock()
	defer f.changing.Unlock()
	if err := f.stopping(); err != nil {
		return err
	}
	return do()
}

// start starts p by what the configuration says now, and returns when it serves
// or its first attempt has failed.
func (f *Fleet) start(ctx context.Context, p *program) (control.Done, error) {
	var warning string
	var plan supervise.Plan
	err := f.change(func() (err error) {
		plan, warning, err = f.beginStart(p)
		return err
	})
	if err != nil {
		return control.Done{}, err
	}
	done, err := f.outcome(ctx, p, warning, plan.ReadyTimeout+time.Second, hasStarted)
	late := errors.Is(err, errLate)
	if late || err == nil && done.State != "running" && done.State != "baking" && done.State != "swapping" {
		return done, control.Refuse(control.ErrImpossible, "%s does not start: %s; it is %s", p.name, p.lastExit(ctx), done.State)
	}
	return done, err
}

func (f *Fleet) beginStart(p *program) (plan supervise.Plan, warning string, err error) {
	w, err := f.planNow(p)
	if err != nil {
		return plan, "", err
	}
	warning = f.recordStopped(p.name, false)
	p.note(w.wish, false)
	later := w.plan
	later.Later = true
	f.grow(p, later, w.Instances)
	p.shrink(max(w.Instances, 1))
	return w.plan, warning, p.each(func(r *replica) error { return r.Start(w.plan) })
}

// lastExit is how a worker of p ended that did not get ready.
func (p *program) lastExit(ctx context.Context) string {
	instances, _ := p.status(ctx)
	for _, i := range instances {
		if i.LastExit != "" {
			return i.LastExit
		}
	}
	return "it has not ended"
}

// planNow is what p is to be started by now, its sockets open.
func (f *Fleet) planNow(p *program) (planned, error) {
	wanted, err := f.wanted()
	if err != nil {
		return planned{}, control.Refuse(control.ErrMistake, "%w", err)
	}
	w, ok := wanted.find(p.name)
	if !ok {
		return planned{}, control.Refuse(control.ErrImpossible, "%s does not name %q any more", f.From, p.name)
	}
	if err := f.Sockets.Add(w.sockets); err != nil {
		return planned{}, control.Refuse(control.ErrImpossible, "%w", err)
	}
	now := planned{wish: w, program: p, ring: p.ring}
	if now.plan, err = f.plan(w, p.ring, ""); err != nil {
		return planned{}, control.Refuse(control.ErrImpossible, "%w", err)
	}
	return now, nil
}

// hasStarted reports whether a start has come to something, good or bad.
func hasStarted(s supervise.State) bool {
	switch s {
	case supervise.Starting, supervise.Restarting, supervise.Queued, supervise.Stopping:
		return false
	}
	return true
}

func (f *Fleet) stop(ctx context.Context, p *program) (control.Done, error) {
	var warning string
	err := f.change(func() error {
		warning = f.recordStopped(p.name, true)
		p.note(p.chosen(), true)
		return p.each(func(r *replica) error { return r.Stop() })
	})
	if err != nil {
		return control.Done{}, err
	}
	return f.outcome(ctx, p, warning, p.stopTime(), isStopped)
}

// stopTime is how long p may take to stop.
func (p *program) stopTime() time.Duration {
	w := p.chosen()
	return max(w.Drain.Timeout, w.KillTimeout) + 10*time.Second
}

func isStopped(s supervise.State) bool { return s == supervise.Stopped }

func (f *Fleet) restart(ctx context.Context, p *program) (control.Done, error) {
	err := f.change(func() error {
		if _, err := f.planNow(p); err != nil {
			return err // it serves on
		}
		return p.each(func(r *replica) error { return r.Stop() })
	})
	if err != nil {
		return control.Done{}, err
	}
	if done, err := f.outcome(ctx, p, "", p.stopTime(), isStopped); err != nil {
		return done, err
	}
	return f.start(ctx, p)
}

// delete removes a program that was added at run time.
func (f *Fleet) delete(ctx context.Context, p *program) (control.Done, error) {
	var ending []*replica
	err := f.change(func() error {
		if !p.atRun {
			return control.Refuse(control.ErrImpossible, "%s names %q: remove it there and reload", f.From, p.name)
		}
		err := f.Record.Update(func(r *record.Record) {
			delete(r.Added, p.name)
			delete(r.Stopped, p.name)
			delete(r.Scaled, p.name)
		})
		if err != nil {
			return control.Refuse(control.ErrImpossible, "not deleted, because that cannot be recorded: %w", err)
		}
		ending = f.drop(p)
		return nil
	})
	if err != nil {
		return control.Done{}, err
	}
	for _, r := range ending {
		select {
		case <-r.gone:
		case <-ctx.Done():
			return control.Done{}, context.Cause(ctx)
		}
	}
	err = f.change(func() error {
		f.Sockets.Keep(f.current())
		return nil
	})
	return control.Done{Program: p.name, State: "deleted"}, err
}

// errLate: a program has not come to the state that is waited for.
var errLate = errors.New("it takes too long")

// outcome waits, within a limit, until p's state will do.
func (f *Fleet) outcome(ctx context.Context, p *program, warning string, limit time.Duration, will func(supervise.State) bool) (control.Done, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s has not got there within %s: %w", p.name, limit, errLate))
	defer cancel()
	state, err := p.await(ctx, will)
	return control.Done{Program: p.name, State: state, Warning: warning}, err
}

// recordStopped records what an operator wants of a program, and returns what
// is to be said if that fails. A program that fills the disk must be stoppable
// all the same.
func (f *Fleet) recordStopped(name string, stopped bool) (warning string) {
	if f.Record.Record().Stopped[name] == stopped {
		return ""
	}
	err := f.Record.Update(func(r *record.Record) {
		if stopped {
			r.Stopped[name] = true
		} else {
			delete(r.Stopped, name)
		}
	})
	if err == nil {
		return ""
	}
	f.Log.Error("change not recorded", "program", name, "err", err)
	return fmt.Sprintf("not recorded, so that the next start of the supervisor will not know of it: %v", err)
}

// Add implements [control.Backend].
func (f *Fleet) Add(ctx context.Context, n control.NewProgram) (control.Done, error) {
	var p *program
	err := f.change(func() (err error) {
		p, err = f.addNew(n)
		return err
	})
	if err != nil {
		return control.Done{}, err
	}
	return f.start(ctx, p)
}

// addNew makes a program of n, which does not run yet, once that is recorded.
func (f *Fleet) addNew(n control.NewProgram) (*program, error) {
	if err := f.checkNew(n); err != nil {
		return nil, control.Refuse(control.ErrMistake, "%w", err)
	}
	entry := record.Program{Command: n.Command, Dir: n.Dir, Env: n.Env, ReadyAfter: n.ReadyAfter}
	for _, l := range n.Listen {
		entry.Listen = append(entry.Listen, record.Listen{Name: l.Name, Address: l.Address})
	}
	w, err := recorded(n.Name, entry)
	if err != nil {
		return nil, control.Refuse(control.ErrMistake, "%w", err)
	}
	if err := f.Sockets.Add(w.sockets); err != nil {
		return nil, control.Refuse(control.ErrImpossible, "%w", err)
	}
	ring := logs.NewRing(w.LogMemory)
	plan, err := f.plan(w, ring, "")
	if err == nil {
		err = f.Record.Update(func(r *record.Record) { r.Added[n.Name] = entry })
	}
	if err != nil {
		f.Sockets.Keep(f.current())
		return nil, control.Refuse(control.ErrImpossible, "not added: %w", err)
	}
	plan.Later = true
	p := f.add(planned{w, nil, ring, plan})
	p.note(w, false)
	return p, nil
}

func (f *Fleet) checkNew(n control.NewProgram) error {
	if !config.ValidName(n.Name) {
		return fmt.Errorf("the name %q must be 1 to 40 letters, digits, '-', '_' or '.'", n.Name)
	}
	if _, err := f.find(n.Name); err == nil {
		return fmt.Errorf("there is a program %q already: choose another name with --name", n.Name)
	}
	if len(n.Command) == 0 || n.Command[0] == "" {
		return errors.New("a program needs a command")
	}
	if n.Dir != "" && !filepath.IsAbs(n.Dir) {
		return fmt.Errorf("dir %q must be an absolute path", n.Dir)
	}
	for _, l := range n.Listen {
		if !config.ValidName(l.Name) {
			return fmt.Errorf("the listener's name %q must be 1 to 40 letters, digits, '-', '_' or '.'", l.Name)
		}
		if _, err := address.Parse(l.Address); err != nil {
			return err
		}
	}
	return nil
}

// Signal implements [control.Backend].
func (f *Fleet) Signal(ctx context.Context, name, signal string) (control.Done, error) {
	p, err := f.find(name)
	if err != nil {
		return control.Done{}, err
	}
	sig, ok := config.ParseSignal(signal)
	if !ok {
		return control.Done{}, control.Refuse(control.ErrMistake, "no signal %q: name it as USR1 or SIGUSR1", signal)
	}
	if sig == syscall.SIGSTOP {
		f.Log.Warn("worker suspended by an operator: it will be found hanging", "program", name)
	}
	if err := p.signal(sig); err != nil {
		return control.Done{}, control.Refuse(control.ErrImpossible, "%s: %w", name, err)
	}
	state, err := p.await(ctx, func(supervise.State) bool { return true })
	return control.Done{Program: name, State: state}, err
}

// Scale implements [control.Backend].
func (f *Fleet) Scale(ctx context.Context, name string, instances int) (control.Done, error) {
	p, err := f.find(name)
	if err != nil {
		return control.Done{}, err
	}
	if instances < 1 || instances > config.MaxInstances {
		return control.Done{}, control.Refuse(control.ErrMistake, "%d instances: must be 1 to %d", instances, config.MaxInstances)
	}
	var surplus []*replica
	var limit time.Duration
	err = f.change(func() (err error) {
		surplus, limit, err = f.scale(p, instances)
		return err
	})
	if err != nil {
		return control.Done{}, err
	}
	for _, r := range surplus {
		select {
		case <-r.gone:
		case <-ctx.Done():
			return control.Done{}, context.Cause(ctx)
		}
	}
	return f.outcome(ctx, p, "", limit, hasStarted)
}

func (f *Fleet) scale(p *program, instances int) (surplus []*replica, limit time.Duration, err error) {
	if p.isStopped() {
		return nil, 0, control.Refuse(control.ErrImpossible, "%s is stopped: start it first", p.name)
	}
	w := p.chosen()
	w.Instances = instances
	plan, err := f.plan(w, p.ring, "")
	if err != nil {
		return nil, 0, control.Refuse(control.ErrImpossible, "%w", err)
	}
	err = f.Record.Update(func(r *record.Record) { r.Scaled[p.name] = instances })
	if err != nil {
		return nil, 0, control.Refuse(control.ErrImpossible, "not scaled, because that cannot be recorded: %w", err)
	}
	p.note(w, false)
	f.grow(p, plan, instances)
	return p.shrink(instances), plan.ReadyTimeout + time.Second, nil
}
