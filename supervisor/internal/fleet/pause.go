package fleet

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
)

// Postponed is a deploy that another supervisor is to do.
type Postponed struct {
	Request control.DeployRequest
	By      string
	Begun   map[string]string // ids by program
}

// Postpone begins the deploys that r asks for, and leaves them to whoever does
// them.
func (f *Fleet) Postpone(r control.DeployRequest, by string) (Postponed, control.Requested, error) {
	f.changing.Lock()
	defer f.changing.Unlock()
	targets, err := f.check(r)
	if err != nil {
		return Postponed{}, control.Requested{}, err
	}
	if err := f.stopping(); err != nil {
		asked, err := f.reject(targets, err, by, nil)
		return Postponed{}, asked, err
	}
	p := Postponed{r, by, map[string]string{}}
	var all []control.Ticket
	for _, t := range targets {
		id := f.Book.Begin(t.name, by)
		p.Begun[t.name] = id
		all = append(all, control.Ticket{ID: id, Program: t.name})
	}
	return p, tickets(all), nil
}

// Perform does what was postponed.
func (f *Fleet) Perform(p Postponed) {
	asked, err := f.deployAs(p.Request, p.By, p.Begun)
	why := "the program is stopped, or not there any more"
	if err != nil {
		why = err.Error()
	}
	for program, id := range p.Begun {
		if !slices.Contains(asked.Deploys, control.Ticket{ID: id, Program: program}) {
			f.Book.RejectBegun(id, why)
		}
	}
}

const (
	// calmPatience is how long deploys under way may take before a pause that
	// breaks them off.
	calmPatience = time.Minute

	// pausePatience is how long a worker may take to be started or to take over.
	pausePatience = 5 * time.Second
)

// Calm returns once no deploy is getting ready, or some have for too long.
func (f *Fleet) Calm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, calmPatience)
	defer cancel()
	for _, p := range f.all() {
		for _, r := range p.replicas() {
			r.Calm(ctx)
		}
	}
}

// Pause has every program stand still, for another process to go on with them:
// see [supervise.Instance.Pause]. One of resume and leave must be called.
func (f *Fleet) Pause(ctx context.Context) (resume, leave func(), err error) {
	f.changing.Lock()
	var resumes, leaves []func()
	resume = func() {
		for _, again := range resumes {
			again()
		}
		f.changing.Unlock()
	}
	if err := f.stopping(); err != nil {
		resume()
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, pausePatience)
	defer cancel()
	for _, p := range f.all() {
		for _, r := range p.replicas() {
			again, left, err := pause(ctx, r.Instance)
			if err != nil {
				resume()
				return nil, nil, err
			}
			resumes, leaves = append(resumes, again), append(leaves, left)
		}
	}
	for _, p := range f.all() {
		f.settleLog(ctx, p)
		resumes = append(resumes, f.carry(p))
	}
	return resume, func() {
		for _, left := range leaves {
			left()
		}
	}, nil
}

// carry has another process find what p has written. back takes it back.
func (f *Fleet) carry(p *program) (back func()) {
	doc, err := fdstore.NewDocument(p.name)
	if err == nil {
		err = doc.Write(p.ring.Save(fdstore.MaxDocument))
	}
	if err != nil {
		f.Log.Warn("lines of the log are lost", "program", p.name, "err", err)
		return func() {}
	}
	f.Store.Hold(storedLog+p.name, doc.FD())
	return func() {
		f.Store.Remove(storedLog + p.name)
		doc.Close()
	}
}

// storedLog begins the names of documents with the lines that programs have
// written; only an upgrade passes them on.
const storedLog = "log/"

// carried takes what the supervisor before has passed on of a program's lines.
func (f *Fleet) carried(program string, ring *logs.Ring) {
	fd, ok := f.Store.Take(storedLog + program)
	if !ok {
		return
	}
	f.Store.Remove(storedLog + program)
	doc, text, err := fdstore.OpenDocument(fd)
	if err == nil {
		doc.Close()
		err = ring.Load(text)
	}
	if err != nil {
		f.Log.Warn("lines of the log are lost", "program", program, "err", err)
	}
}

// pause waits until an instance is not busy.
func pause(ctx context.Context, in *supervise.Instance) (resume, leave func(), err error) {
	for {
		resume, leave, err = in.Pause()
		if !errors.Is(err, supervise.ErrBusy) {
			return resume, leave, err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return nil, nil, err
		}
	}
}

// Check reports why the programs of a supervisor before could not be gone on
// with. It changes nothing.
func (f *Fleet) Check() error {
	for _, name := range supervise.Keys(f.Store) {
		texts, err := supervise.PlansBefore(f.Store, name)
		if err != nil {
			return err
		}
		for _, text := range texts {
			if _, _, err := f.remake(text, logs.NewRing(0)); err != nil {
				return err
			}
		}
	}
	return nil
}
