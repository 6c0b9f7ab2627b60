package fleet

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
)

// replica is one of a program's instances in the fleet.
type replica struct {
	*supervise.Instance
	index     int
	remove    context.CancelFunc // ends the instance
	gone      chan struct{}      // closed when it has ended
	renewed   time.Time          // when memory_max swapped it last; Run's own
	attempted time.Time          // when cron did; Run's own
}

// replicas are p's instances, in their order.
func (p *program) replicas() []*replica {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// grow makes instances of p until there are so many. Those that a supervisor
// before has left go on; the others are started by plan, unless they are to be
// started later.
func (f *Fleet) grow(p *program, plan supervise.Plan, instances int) {
	for i := len(p.replicas()); i < instances; i++ {
		plan.Index = i
		r := &replica{index: i, gone: make(chan struct{})}
		r.Instance = supervise.NewInstance(plan, supervise.Parts{
			Book: f.Book, Log: f.Log, Store: f.Store, Meter: f.Meter, Group: p.group, Remake: f.remaker(p),
		})
		r.Restore()
		ctx, cancel := context.WithCancel(f.ctx)
		r.remove = cancel
		p.mu.Lock()
		p.all = append(p.all, r)
		p.mu.Unlock()
		f.running.Go(func() {
			defer close(r.gone)
			defer cancel()
			r.Run(ctx)
		})
	}
}

// shrink ends p's instances beyond so many: they leave their clients to those that
// stay, or let them go where none does.
func (p *program) shrink(instances int) (surplus []*replica) {
	p.mu.Lock()
	if len(p.all) > instances {
		surplus = slices.Clone(p.all[instances:])
		p.all = slices.Delete(p.all, instances, len(p.all))
	}
	stay := slices.Clone(p.all)
	p.mu.Unlock()
	for i, r := range surplus {
		if len(stay) > 0 {
			r.LeaveTo(stay[i%len(stay)].Instance)
		}
		r.remove()
	}
	return surplus
}

// settle makes p as large as its last deploy asked for, once that has its verdict:
// until then the instances of both are there.
func (f *Fleet) settle(p *program, id string, before, asked int) {
	if before == asked {
		return
	}
	f.running.Go(func() {
		var last control.Deploy
		err := f.Book.Follow(f.ctx, id, func(s control.Step) error {
			last = *s.Deploy
			return nil
		})
		if err != nil {
			return
		}
		f.changing.Lock()
		defer f.changing.Unlock()
		if f.stopping() != nil || p.deploy() != id {
			return
		}
		size := before
		if last.Verdict == control.Accepted {
			size = asked
		}
		p.shrink(size)
	})
}

// deploy is the id of p's latest deploy.
func (p *program) deploy() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest
}

// reloadAll begins deploy id of every instance, by plan.
func (f *Fleet) reloadAll(p *program, id string, plan supervise.Plan, instances int) {
	before := len(p.replicas())
	p.mu.Lock()
	p.latest = id
	p.mu.Unlock()
	later := plan
	later.Later = true // the deploy starts it
	f.grow(p, later, instances)
	all := p.replicas()[:instances]
	if len(all) == 1 {
		all[0].ReloadAs(id, plan)
	} else {
		roll := f.Book.Roll(id, len(all))
		for _, r := range all {
			r.ReloadIn(roll, plan)
		}
	}
	f.settle(p, id, max(before, 1), instances)
}

// rollbackAll begins deploy id of every instance, to the build before.
func (f *Fleet) rollbackAll(p *program, id string) {
	all := p.replicas()
	if len(all) == 1 {
		all[0].RollbackAs(id)
		return
	}
	roll := f.Book.Roll(id, len(all))
	for _, r := range all {
		r.RollbackIn(roll)
	}
}

// each does something to every instance and returns the errors.
func (p *program) each(do func(r *replica) error) error {
	var errs []error
	for _, r := range p.replicas() {
		errs = append(errs, do(r))
	}
	return errors.Join(errs...)
}

// await waits until every instance is in a state that will do, and returns that of
// the first that is not, or else of the first.
func (p *program) await(ctx context.Context, will func(supervise.State) bool) (state string, err error) {
	for i, r := range p.replicas() {
		s, err := r.Await(ctx, will)
		if i == 0 || err != nil {
			state = s
		}
		if err != nil {
			return state, err
		}
	}
	return state, nil
}

// status are those of every instance.
func (p *program) status(ctx context.Context) (all []control.Instance, err error) {
	for _, r := range p.replicas() {
		i, err := r.Status(ctx)
		if err != nil {
			return all, err
		}
		all = append(all, i)
	}
	return all, nil
}

// signal sends sig to the workers that serve; an error says that none does.
func (p *program) signal(sig syscall.Signal) error {
	var none error
	sent := false
	for _, r := range p.replicas() {
		if err := r.Signal(sig); err != nil {
			none = err
			continue
		}
		sent = true
	}
	if sent {
		return nil
	}
	return none
}
