package fleet

import (
	"context"
	"maps"
	"path/filepath"
	"slices"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
)

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Deploy implements [control.Backend].
func (f *Fleet) Deploy(_ context.Context, r control.DeployRequest, by string) (control.Requested, error) {
	return f.deployAs(r, by, nil)
}

// deployAs is Deploy where some programs' deploys have begun, with these ids.
func (f *Fleet) deployAs(r control.DeployRequest, by string, begun map[string]string) (control.Requested, error) {
	f.changing.Lock()
	defer f.changing.Unlock()
	targets, err := f.check(r)
	if err != nil {
		return control.Requested{}, err
	}
	if err := f.stopping(); err != nil {
		return f.reject(targets, err, by, begun)
	}
	if r.Rollback {
		return f.rollback(targets[0], by)
	}
	return f.reload(targets, r, by, begun)
}

// check returns what r is about, or what is wrong with it.
func (f *Fleet) check(r control.DeployRequest) ([]*program, error) {
	targets, err := f.targets(r.Programs)
	switch {
	case err != nil:
		return nil, err
	case r.Rollback && r.Build != "":
		return nil, control.Refuse(control.ErrMistake, "a rollback brings the build that was: it takes no other")
	case (r.Rollback || r.Build != "") && len(targets) != 1:
		return nil, control.Refuse(control.ErrMistake, "say which program: there are %d", len(targets))
	case r.Build != "" && !filepath.IsAbs(r.Build):
		return nil, control.Refuse(control.ErrMistake, "build %q must be an absolute path", r.Build)
	}
	return targets, nil
}

// targets are the programs of those names; without any, all that no operator
// has stopped.
func (f *Fleet) targets(names []string) ([]*program, error) {
	var targets []*program
	for _, name := range names {
		p, err := f.find(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(targets, p) {
			targets = append(targets, p)
		}
	}
	if len(names) > 0 {
		return targets, nil
	}
	for _, p := range f.all() {
		if !p.isStopped() {
			targets = append(targets, p)
		}
	}
	return targets, nil
}

func (p *program) isStopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

func (f *Fleet) rollback(p *program, by string) (control.Requested, error) {
	p.note(p.chosen(), false) // it is to run, as after a reload
	f.recordStopped(p.name, false)
	id := f.Book.Begin(p.name, by)
	f.rollbackAll(p, id)
	return tickets([]control.Ticket{{ID: id, Program: p.name}}), nil
}

func tickets(all []control.Ticket) control.Requested {
	r := control.Requested{Deploys: all}
	if len(all) > 0 {
		r.ID = all[0].ID
	}
	return r
}

// planned is a wish with the plan it is to be deployed by.
type planned struct {
	wish
	program *program // nil: a new one
	ring    *logs.Ring
	plan    supervise.Plan
}

// reload deploys what the configuration says by now: everything, or nothing if
// there is a mistake in it.
func (f *Fleet) reload(targets []*program, r control.DeployRequest, by string, begun map[string]string) (control.Requested, error) {
	whole := len(r.Programs) == 0
	wanted, err := f.wanted()
	if err != nil {
		return f.reject(targets, err, by, begun)
	}
	if err := f.Sockets.Add(wanted.listens()); err != nil {
		return f.reject(targets, err, by, begun)
	}
	all, err := f.plans(targets, wanted, r.Build, whole)
	if err != nil {
		f.Sockets.Keep(f.current())
		return f.reject(targets, err, by, begun)
	}
	f.mu.Lock()
	f.file = wanted.file
	f.mu.Unlock()
	var asked []control.Ticket
	for _, p := range all {
		asked = append(asked, f.deploy(p, by, begun[p.Name]))
	}
	if whole {
		f.dropUnwanted(wanted)
		f.running.Go(func() { f.closeUnwanted(asked, wanted) })
	}
	if len(asked) == 0 {
		return control.Requested{}, control.Refuse(control.ErrImpossible, "nothing to reload: every program is stopped")
	}
	return tickets(asked), nil
}

// reject enters a deploy for each of targets that a mistake rejects. Without any
// it is the request that is refused.
func (f *Fleet) reject(targets []*program, why error, by string, begun map[string]string) (control.Requested, error) {
	if len(targets) == 0 {
		return control.Requested{}, control.Refuse(control.ErrMistake, "%w", why)
	}
	var all []control.Ticket
	for _, p := range targets {
		id := begun[p.name]
		if id == "" {
			id = f.Book.Begin(p.name, by)
		}
		f.Book.RejectBegun(id, why.Error())
		all = append(all, control.Ticket{ID: id, Program: p.name})
	}
	f.Log.Error("deploy rejected", "err", why)
	return tickets(all), nil
}

// plans makes the plan of each target that is still wanted, and, of a whole
// reload, of each new program.
func (f *Fleet) plans(targets []*program, wanted wishes, build string, whole bool) ([]planned, error) {
	var all []planned
	for _, p := range targets {
		w, ok := wanted.find(p.name)
		if !ok && !whole {
			return nil, control.Refuse(control.ErrImpossible, "%s does not name %q any more: reload without a name to remove it", f.From, p.name)
		}
		if ok {
			all = append(all, planned{wish: w, program: p, ring: p.ring})
		}
	}
	for _, w := range wanted.all {
		if _, err := f.find(w.Name); whole && err != nil {
			all = append(all, planned{wish: w, ring: logs.NewRing(w.LogMemory)})
		}
	}
	for i := range all {
		p := &all[i]
		var err error
		if p.plan, err = f.plan(p.wish, p.ring, build); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// deploy begins the deploy of one program, or goes on with it if it has an id; its
// verdict tells what came of it.
func (f *Fleet) deploy(p planned, by, id string) control.Ticket {
	if p.program == nil {
		p.plan.Later = true // the deploy starts it
		p.program = f.add(p)
	}
	p.program.note(p.wish, false)
	f.recordStopped(p.Name, false) // a failure is logged; the deploy goes on
	p.ring.Resize(p.LogMemory)
	if id == "" {
		id = f.Book.Begin(p.Name, by)
	}
	f.reloadAll(p.program, id, p.plan, max(p.Instances, 1))
	return control.Ticket{ID: id, Program: p.Name}
}

// note notes what was chosen for p.
func (p *program) note(w wish, stopped bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spec, p.stopped = w, stopped
	p.file.Set(fileSettings(w.Program))
	p.keep(w.sockets)
}

// hold keeps sockets open for p.
func (p *program) hold(sockets []config.Listen) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep(sockets)
}

// keep is hold with the mutex held.
func (p *program) keep(sockets []config.Listen) {
	for _, l := range sockets {
		if !slices.Contains(p.held, l) {
			p.held = append(p.held, l)
		}
	}
}

// sockets are those that p may be started with.
func (p *program) sockets() []config.Listen {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.held)
}

// accepted forgets the sockets that p was given before w.
func (p *program) accepted(w wish) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = slices.Concat(w.sockets, p.spec.sockets)
}

func (p *program) chosen() wish {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spec
}

// current are the sockets that are named by the configuration, and those that a
// program may be started again with: a deploy that was rejected changed nothing.
func (f *Fleet) current() []config.Listen {
	all := slices.Clone(f.latest().Listens)
	for _, p := range f.all() {
		all = append(all, p.sockets()...)
	}
	return all
}

// latest is the configuration that was deployed last.
func (f *Fleet) latest() *config.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file
}

// dropUnwanted removes programs that nobody names any more.
func (f *Fleet) dropUnwanted(wanted wishes) {
	for _, p := range f.all() {
		if _, ok := wanted.find(p.name); !ok {
			f.Log.Info("program removed", "program", p.name)
			f.drop(p)
		}
	}
}

// closeUnwanted closes sockets that nobody names any more once every deploy has
// been accepted. A later configuration meanwhile decides of them itself: until it
// is accepted the last good builds are older than both.
func (f *Fleet) closeUnwanted(asked []control.Ticket, by wishes) {
	for _, t := range asked {
		var last control.Deploy
		err := f.Book.Follow(f.ctx, t.ID, func(s control.Step) error {
			last = *s.Deploy
			return nil
		})
		if err != nil || last.Verdict != control.Accepted {
			return
		}
	}
	f.changing.Lock()
	defer f.changing.Unlock()
	if f.stopping() != nil || f.latest() != by.file {
		return
	}
	for _, p := range f.all() {
		if w, ok := by.find(p.name); ok {
			p.accepted(w)
		}
	}
	for _, l := range f.Sockets.Keep(f.current()) {
		f.Log.Info("listener closed", "name", l.Name, "address", l.Address.String())
	}
}
