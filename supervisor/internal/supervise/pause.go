package supervise

import (
	"context"
	"errors"
	"slices"
)

// ErrBusy says that a worker is being started or taking over.
var ErrBusy = errors.New("a worker is being started")

// Pause has the instance stand still, for another process to go on with it: its
// workers are not heard, nothing is decided, and what there is to know is
// written. resume goes on; leave says that the other process has. One of them
// must be called. The errors are [ErrBusy] and [ErrStopping], and those of a
// worker that does not take what it is told; nothing is paused then.
func (in *Instance) Pause() (resume, leave func(), err error) {
	workers, err := in.whenCalm(nil)
	if err != nil {
		return nil, nil, err
	}
	var resumes []func()
	again := func() {
		for _, f := range resumes {
			f()
		}
	}
	for _, w := range workers {
		goOn, err := w.Pause()
		if err != nil {
			again()
			return nil, nil, err
		}
		resumes = append(resumes, goOn)
	}
	over := make(chan struct{})
	still, err := in.whenCalm(over)
	if err == nil && !slices.Equal(still, workers) { // one has come meanwhile
		close(over)
		err = ErrBusy
	}
	if err != nil {
		again()
		return nil, nil, err
	}
	leave = func() {
		for _, w := range workers {
			w.Leave()
		}
	}
	return func() { close(over); again() }, leave, nil
}

// whenCalm returns the workers there are while none is getting ready. With an
// until the loop has written everything and stands still until that is closed.
func (in *Instance) whenCalm(until <-chan struct{}) (workers []Process, err error) {
	type answer struct {
		workers []Process
		err     error
	}
	calm := make(chan answer, 1)
	if err := in.ask(func() {
		if in.handover != nil || in.candidate != nil && in.candidate.process == nil {
			calm <- answer{err: ErrBusy}
			return
		}
		workers := in.workers()
		if until != nil {
			in.unsaved = true
			in.save()
		}
		calm <- answer{workers: workers}
		if until != nil {
			<-until
		}
	}); err != nil {
		return nil, err
	}
	a := <-calm
	return a.workers, a.err
}

// Calm returns once no deploy is getting ready, or with the error of ctx. It is
// for good manners: the next moment may be another.
func (in *Instance) Calm(ctx context.Context) error {
	_, err := in.Await(ctx, func(s State) bool {
		switch s {
		case Swapping, Replacing, Queued:
			return false
		}
		return true
	})
	return err
}

// workers are those of all generations, in their order.
func (in *Instance) workers() []Process {
	all := in.generations()
	slices.SortFunc(all, func(a, b *generation) int { return a.number - b.number })
	var workers []Process
	for _, g := range all {
		if g.process != nil {
			workers = append(workers, g.process)
		}
	}
	return workers
}
