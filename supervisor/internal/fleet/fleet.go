package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/simpletalk/simpletalk/proto/address"
	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
	"github.com/simpletalk/simpletalk/supervisor/internal/listener"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
	"github.com/simpletalk/simpletalk/supervisor/internal/record"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// Parts are what a fleet works with. All but Meter must be given.
type Parts struct {
	// Load returns the configuration as it is at this moment.
	Load    func() (*config.File, error)
	From    string // where it comes from, for people
	Record  *record.Store
	Sockets *listener.Set
	Store   *fdstore.Store // what a supervisor before has left, and one after will find
	Output  *logs.Output
	Book    *supervise.Book
	Log     *slog.Logger
	Meter   *supervise.Meter // nil: nothing is measured
}

// Fleet is all programs of a supervisor. Its methods may be called
// concurrently, those that change something while [Fleet.Run] runs.
type Fleet struct {
	Parts
	usage usage

	running sync.WaitGroup // instances, and what waits for verdicts
	begun   chan struct{}  // closed when its programs have been told to start
	ended   chan struct{}  // closed when the fleet is to end
	quit    context.CancelCauseFunc
	ctx     context.Context // of the instances

	// changing is held by whoever changes the fleet, one at a time. It may take
	// its time: files are read under it.
	changing sync.Mutex

	mu       sync.Mutex // guards what follows, for moments
	programs []*program // in the order of the configuration, then as they were added
	file     *config.File
}

// program is one of the fleet.
type program struct {
	name    string
	ring    *logs.Ring
	file    *logs.File // of what ring is given
	group   *supervise.Group
	atRun   bool          // it was added at run time
	dropped chan struct{} // closed when it has been taken out of the fleet

	mu      sync.Mutex
	all     []*replica      // its instances
	ending  []*replica      // those that it had when it was dropped
	latest  string          // id of its latest deploy
	spec    wish            // chosen last
	held    []config.Listen // what it may be started again with: of all that was chosen since a configuration was accepted
	stopped bool            // an operator wants it so
}

// New returns the fleet that a supervisor before has left, or else the one that
// a configuration and the record name. Its sockets are open when it returns, and
// nothing is started.
func New(p Parts) (*Fleet, error) {
	f := &Fleet{Parts: p, begun: make(chan struct{}), ended: make(chan struct{})}
	f.ctx, f.quit = context.WithCancelCause(context.Background())
	f.Sockets.Store = f.Store
	if err := f.Sockets.Restore(); err != nil {
		f.Log.Error("sockets are lost", "err", err)
	}
	wanted, err := f.wanted()
	if len(supervise.Keys(f.Store)) > 0 {
		return f, f.goOnWith(wanted.file, err)
	}
	if err != nil {
		return nil, err
	}
	f.file = wanted.file
	return f, f.Sockets.Add(wanted.listens())
}

// goOnWith takes a configuration beside programs that go on: they do so by what
// was right once. What is wrong with it the next reload tells.
func (f *Fleet) goOnWith(file *config.File, err error) error {
	if err != nil {
		f.Log.Error("configuration cannot be used", "err", err)
		file = &config.File{Control: config.Control{GID: -1}}
	}
	f.file = file
	return nil
}

// Run starts every program that is not to be stopped and returns when, after
// the end of ctx, all have ended.
func (f *Fleet) Run(ctx context.Context) error {
	f.begin()
	close(f.begun)
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			f.measure(now)
			continue
		case <-ctx.Done():
		}
		break
	}
	f.changing.Lock() // nobody adds one any more
	close(f.ended)
	f.quit(context.Cause(ctx))
	f.changing.Unlock()
	f.running.Wait()
	return nil
}

// Begun returns a channel that is closed by Run once every program is known.
func (f *Fleet) Begun() <-chan struct{} { return f.begun }

// begin goes on with what there is, and starts what else is named at this moment.
func (f *Fleet) begin() {
	f.changing.Lock()
	defer f.changing.Unlock()
	f.takeOver()
	wanted, err := f.wanted()
	if err != nil { // it was right a moment ago
		wanted = f.wantedWith(f.file)
	}
	stopped := f.Record.Record().Stopped
	for _, w := range wanted.all {
		if _, err := f.find(w.Name); err == nil {
			continue
		}
		each := planned{wish: w, ring: logs.NewRing(w.LogMemory)}
		err := f.Sockets.Add(w.sockets) // open already, unless others went on
		if err == nil {
			each.plan, err = f.plan(w, each.ring, "")
		}
		if err != nil {
			each.plan, _ = f.latePlan(w, each.ring)
		}
		each.plan.Later = stopped[w.Name]
		f.add(each).note(w, each.plan.Later)
	}
	f.arrange(wanted)
}

// arrange puts the programs in the order in which they are named: those of a
// supervisor before came first.
func (f *Fleet) arrange(by wishes) {
	place := map[string]int{}
	for i, w := range by.all {
		place[w.Name] = i
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.SortStableFunc(f.programs, func(a, b *program) int { return place[a.name] - place[b.name] })
}

// takeOver goes on with the programs of a supervisor before. What of it nobody
// takes has come to its end, which its own ends are told by that.
func (f *Fleet) takeOver() {
	stopped := f.Record.Record().Stopped
	for _, name := range supervise.Keys(f.Store) {
		texts, err := supervise.PlansBefore(f.Store, name)
		if err != nil {
			f.Log.Error("program of the supervisor before is lost", "program", name, "err", err)
			continue
		}
		each := planned{ring: logs.NewRing(0)}
		if each.plan, each.wish, err = f.remake(texts[0], each.ring); err != nil {
			f.Log.Error("program of the supervisor before is lost", "program", name, "err", err)
			continue
		}
		each.ring.Resize(each.LogMemory)
		f.carried(name, each.ring)
		each.plan.Later = stopped[name]
		f.add(each).note(each.wish, stopped[name])
	}
	if lost, err := f.Store.Drop(); len(lost) > 0 || err != nil {
		f.Log.Info("descriptors of the supervisor before dropped", "names", lost, "err", err)
	}
	f.Book.RejectRest("the supervisor ended before the verdict")
}

// add makes a program of the fleet, goes on with it if it has been running, and
// else starts it unless it is to be stopped.
func (f *Fleet) add(w planned) *program {
	p := &program{name: w.wish.Name, ring: w.ring, atRun: w.atRun, group: supervise.NewGroup(), dropped: make(chan struct{})}
	p.file = logs.NewFile(p.ring, f.Log.With("program", p.name))
	p.file.Set(fileSettings(w.wish.Program))
	f.mu.Lock()
	f.programs = append(f.programs, p)
	f.mu.Unlock()
	f.grow(p, w.plan, max(w.wish.Instances, supervise.InstancesBefore(f.Store, w.wish.Name), 1))
	f.running.Go(func() { f.writeLog(p) })
	return p
}

// remaker makes plans of p of their texts.
func (f *Fleet) remaker(p *program) func(json.RawMessage) (*supervise.Plan, error) {
	return func(text json.RawMessage) (*supervise.Plan, error) {
		plan, w, err := f.remake(text, p.ring)
		p.hold(w.sockets) // it may be started again with them
		return &plan, err
	}
}

// drop takes a program out of the fleet. It returns its instances, which end.
func (f *Fleet) drop(p *program) []*replica {
	f.mu.Lock()
	f.programs = slices.DeleteFunc(f.programs, func(o *program) bool { return o == p })
	f.mu.Unlock()
	surplus := p.shrink(0)
	p.mu.Lock()
	p.ending = surplus
	p.mu.Unlock()
	close(p.dropped)
	return surplus
}

// Kill ends every process at once.
func (f *Fleet) Kill() {
	for _, p := range f.all() {
		for _, r := range p.replicas() {
			r.Kill()
		}
	}
}

func (f *Fleet) all() []*program {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.programs)
}

// find returns a program by its name.
func (f *Fleet) find(name string) (*program, error) {
	var names []string
	for _, p := range f.all() {
		if p.name == name {
			return p, nil
		}
		names = append(names, p.name)
	}
	return nil, control.Refuse(control.ErrNoProgram, "no program %q: there is %s", name, listed(names))
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// stopping says that the fleet ends, if it does. The caller holds changing.
func (f *Fleet) stopping() error {
	select {
	case <-f.ended:
		return supervise.ErrStopping
	default:
		return nil
	}
}

// late is the launcher of a program whose plan could not be made, for want of
// an environment file perhaps: each attempt to start it tries again.
type late struct {
	plan func() (supervise.Launcher, error)
	bare *supervise.Program // what a supervisor before has started needs no plan

	mu   sync.Mutex
	made supervise.Launcher // by the latest attempt
}

// Pin implements [supervise.Launcher].
func (l *late) Pin() (supervise.Build, error) {
	made, err := l.plan()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.made = made
	l.mu.Unlock()
	return made.Pin()
}

// Launch implements [supervise.Launcher].
func (l *late) Launch(b supervise.Build, s supervise.LaunchSpec, notify func(worker.Event)) (supervise.Process, error) {
	l.mu.Lock()
	made := l.made
	l.mu.Unlock()
	return made.Launch(b, s, notify) // Pin came before
}

// Reopen implements [supervise.Launcher].
func (l *late) Reopen(about control.Build, fd int) (supervise.Build, error) {
	return l.bare.Reopen(about, fd)
}

// Adopt implements [supervise.Launcher].
func (l *late) Adopt(s supervise.LaunchSpec, h worker.Handles, notify func(worker.Event)) (supervise.Process, error) {
	return l.bare.Adopt(s, h, notify)
}

// Group is whose members may change things, negative for nobody's.
func (f *Fleet) Group() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file.Control.Group == "" {
		return -1
	}
	return f.file.Control.GID
}

// Metrics is where metrics are to be served by now, nil for nowhere.
func (f *Fleet) Metrics() *address.Address { return f.latest().Metrics }

// measureEvery is how often it is measured what the programs take.
const measureEvery = 2 * time.Second

// measure measures what the serving workers take, and swaps those that take too
// much memory.
func (f *Fleet) measure(now time.Time) {
	var pids []int
	for _, p := range f.all() {
		for _, r := range p.replicas() {
			ctx, cancel := context.WithTimeout(f.ctx, time.Second)
			s, err := r.Status(ctx)
			cancel()
			if err != nil || s.PID == 0 {
				continue
			}
			pids = append(pids, s.PID)
			f.limitMemory(p, r, s, now)
			f.renewScheduled(p, r, s, now)
		}
	}
	f.usage.measure(pids, now)
}

// renewPause is the least time between two swaps for want of memory: a limit
// that a fresh worker exceeds too must not keep swapping for ever.
const renewPause = time.Minute

// limitMemory swaps the worker of an instance for a fresh one of the same build if
// it takes too much memory.
func (f *Fleet) limitMemory(p *program, r *replica, s control.Instance, now time.Time) {
	limit := p.chosen().MemoryMax
	rss := residentBytes(s.PID)
	if limit == 0 || rss <= limit || s.State != "running" || now.Sub(r.renewed) < renewPause {
		return
	}
	why := fmt.Sprintf("memory_max: %s of %s", config.Megabytes(rss), config.FormatSize(limit))
	if id, err := r.Renew(why); err == nil {
		r.renewed = now
		f.Log.Warn("worker takes too much memory", "program", p.name, "rss", rss, "limit", limit, "deploy", id)
	}
}

// Follow implements [control.Backend].
func (f *Fleet) Follow(ctx context.Context, id string, each func(control.Step) error) error {
	return f.Book.Follow(ctx, id, each)
}
