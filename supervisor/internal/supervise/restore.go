package supervise

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
	"github.com/simpletalk/simpletalk/supervisor/internal/keep"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// interrupted is why a candidate of a supervisor before comes to nothing.
const interrupted = "the supervisor was interrupted in the middle of it"

// lostHold is why a worker of a supervisor before counts as dead.
const lostHold = "its supervisor lost hold of it"

// PlansBefore returns the texts of the plans that a supervisor before had for the
// first instance of a program, that of the plan chosen last first.
func PlansBefore(s *fdstore.Store, program string) ([]json.RawMessage, error) {
	fd, ok := s.Peek(Key(program, 0) + documentName)
	if !ok {
		return nil, fmt.Errorf("state of %s: %w", program, fdstore.ErrNoDocument)
	}
	text, err := fdstore.ReadDocument(fd)
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", program, err)
	}
	before, err := parseSnapshot(text)
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", program, err)
	}
	return append([]json.RawMessage{before.Plans[before.Plan]}, before.Plans...), nil
}

// parseSnapshot reads and checks what another process has written.
func parseSnapshot(text string) (s snapshot, err error) {
	if text == "" {
		return s, errors.New("it had ended")
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, err
	}
	if s.Version != snapshotVersion {
		return s, fmt.Errorf("it is of version %d, known is %d", s.Version, snapshotVersion)
	}
	return s, s.check()
}

// check checks every index and number.
func (s snapshot) check() error {
	plans, builds := []int{s.Plan}, []int{}
	numbers := map[int]bool{}
	for _, p := range []*pinnedSnapshot{s.LastGood, s.Previous, s.Chosen} {
		if p == nil {
			continue
		}
		plans = append(plans, p.Plan)
		if p.Build >= 0 {
			builds = append(builds, p.Build)
		}
	}
	for _, g := range s.generations() {
		plans = append(plans, g.Plan)
		if g.Build >= 0 {
			builds = append(builds, g.Build)
		}
		if g.Number < 1 || g.Number > s.Generated || numbers[g.Number] {
			return fmt.Errorf("generation %d of %d is not possible, or there twice", g.Number, s.Generated)
		}
		numbers[g.Number] = true
	}
	if slices.Min(plans) < 0 || slices.Max(plans) >= len(s.Plans) {
		return errors.New("it names a plan that is not in it")
	}
	if len(builds) > 0 && slices.Max(builds) >= len(s.Builds) {
		return errors.New("it names a build that is not in it")
	}
	if s.Previous != nil && (s.LastGood == nil || s.LastGood.Build == s.Previous.Build) {
		return errors.New("it has a build before the last good one that cannot be")
	}
	return s.complete()
}

// complete checks that the state has what it stands for, and nothing else.
func (s snapshot) complete() error {
	state, ok := stateNamed(s.State)
	if !ok {
		return fmt.Errorf("its state %q is not known", s.State)
	}
	has := parts{candidate: s.Candidate != nil, serving: s.Serving != nil, trial: s.Trial != nil}
	if has != partsOf(state) || s.LastGood == nil && !canBeFirst(state) {
		return fmt.Errorf("it is not that of an instance that is %s", s.State)
	}
	return nil
}

// parts are what an instance has by its state.
type parts struct{ candidate, serving, trial bool }

func partsOf(s State) parts {
	switch s {
	case Running:
		return parts{serving: true}
	case Baking, Ailing:
		return parts{serving: true, trial: true}
	case Starting, Restarting, Queued:
		return parts{candidate: true}
	case Swapping:
		return parts{candidate: true, serving: true}
	case Replacing, Returning:
		return parts{candidate: true, serving: true, trial: true}
	default:
		return parts{}
	}
}

// canBeFirst reports whether an instance can be in a state before any build was
// good.
func canBeFirst(s State) bool {
	switch s {
	case Stopped, Starting, Backoff, Stopping:
		return true
	}
	return s == Baking // while a roll waits for others
}

func (s snapshot) generations() []*generationSnapshot {
	var all []*generationSnapshot
	for _, g := range []*generationSnapshot{s.Candidate, s.Serving} {
		if g != nil {
			all = append(all, g)
		}
	}
	for i := range s.Leaving {
		all = append(all, &s.Leaving[i])
	}
	return all
}

func stateNamed(name string) (State, bool) {
	i := slices.IndexFunc(States, func(s State) bool { return s.String() == name })
	if i < 0 {
		return Stopped, false
	}
	return States[i], true
}

// Restore goes on where a supervisor before has stopped, and reports whether
// there was anything to go on with. It is called before Run, if at all. What of
// its workers cannot be taken over is left in the store.
func (in *Instance) Restore() bool {
	name := in.name(documentName)
	fd, ok := in.Store.Take(name)
	if !ok {
		return false
	}
	doc, text, err := fdstore.OpenDocument(fd)
	var before snapshot
	if err == nil {
		in.doc = doc
		before, err = parseSnapshot(text)
	}
	r := restoration{in: in, before: before}
	if err == nil {
		err = r.remakePlans()
	}
	if err != nil {
		in.log.Error("workers of the supervisor before are lost", "err", err)
		in.Store.Remove(name)
		if in.doc != nil {
			in.doc.Close()
			in.doc = nil
		}
		return false
	}
	r.restore()
	in.unsaved = true
	in.save()
	return true
}

// restoration is an instance being made of a snapshot.
type restoration struct {
	in     *Instance
	before snapshot
	plans  []*Plan
	builds []Build // nil: lost
}

// remakePlans makes the plans of their texts, all or none.
func (r *restoration) remakePlans() error {
	for _, text := range r.before.Plans {
		p, err := r.in.Remake(text)
		if err != nil {
			return err
		}
		r.plans = append(r.plans, p.withDefaults())
	}
	return nil
}

func (r *restoration) restore() {
	in, before := r.in, r.before
	in.state, _ = stateNamed(before.State)
	in.generated, in.swaps = before.Generated, before.Swaps
	in.restarts, in.lastExit = before.Restarts, before.LastExit
	in.backoff.failures = before.Failures
	in.plan = r.plans[before.Plan]
	in.deploy = in.goOnDeploy(before.Deploy, before.Parts)
	r.takeArena()
	r.takeBuilds()
	in.lastGood, in.previous = r.pinned(before.LastGood), r.pinned(before.Previous)
	if p := r.pinned(before.Chosen); p != nil {
		in.chosen = p.build
	}
	if in.previous != nil && in.previous.build == nil {
		in.previous = nil // there is nothing to roll back to
	}
	in.candidate, in.serving = r.generation(before.Candidate), r.generation(before.Serving)
	for i := range before.Leaving {
		if g := r.generation(&before.Leaving[i]); g.process != nil {
			in.leaving[g] = true
		}
	}
	for _, b := range r.builds {
		in.release(b) // what nothing of the above has
	}
	r.goOn()
	in.log.Info("workers taken over", "state", in.state.String(), "generations", len(in.generations()))
}

func (r *restoration) takeArena() {
	if fd, ok := r.in.Store.Take(r.in.name("arena")); ok {
		r.in.keep = keep.Open(fd, r.in.keepLimit())
		return
	}
	r.in.openKeep()
}

// takeBuilds reopens what was pinned.
func (r *restoration) takeBuilds() {
	in := r.in
	for _, each := range r.before.Builds {
		var b Build
		if fd, ok := in.Store.Take(each.Name); ok {
			var err error
			if b, err = in.plan.Reopen(each.About, fd); err != nil {
				in.log.Error("pinned build is lost", "path", each.About.Path, "err", err)
				in.Store.Remove(each.Name)
			} else {
				in.names[b] = each.Name
			}
		}
		r.builds = append(r.builds, b)
	}
}

// pinned has no build when that is lost: then what is at its path by now is
// started.
func (r *restoration) pinned(p *pinnedSnapshot) *pinned {
	if p == nil {
		return nil
	}
	return &pinned{r.build(p.Build), r.plans[p.Plan]}
}

// build is one of those of the snapshot, nil if it has none or that is lost.
func (r *restoration) build(i int) Build {
	if i < 0 {
		return nil
	}
	return r.builds[i]
}

// generation goes on with a worker, if it has been started and its handles are
// whole.
func (r *restoration) generation(s *generationSnapshot) *generation {
	if s == nil {
		return nil
	}
	g := &generation{
		number: s.Number, build: r.build(s.Build), plan: r.plans[s.Plan], about: s.About, joined: s.Joined, formats: s.Formats,
		files: s.Files, sealed: s.Sealed, started: s.Started, served: s.Served, deadline: s.Deadline,
	}
	if s.PID == 0 {
		return g // it had not been started
	}
	process, err := r.adopt(g, s.PID)
	if err != nil {
		r.in.log.Error("worker of the supervisor before is lost", "gen", g.number, "pid", s.PID, "err", err)
		r.in.Store.Remove(slices.Collect(maps.Keys(r.in.handles(g.number, worker.Handles{})))...)
		return g
	}
	g.process = process
	return g
}

func (r *restoration) adopt(g *generation, pid int) (Process, error) {
	in := r.in
	fds := in.handles(g.number, worker.Handles{})
	for name := range fds {
		fd, ok := in.Store.Take(name)
		if !ok {
			fd = -1
		}
		fds[name] = fd
	}
	prefix := in.name(fmt.Sprintf("%d/", g.number))
	h := worker.Handles{
		PID: pid, Joined: g.joined, Pidfd: fds[prefix+"pidfd"], Control: fds[prefix+"control"],
		Stdout: fds[prefix+"stdout"], Stderr: fds[prefix+"stderr"], Keeper: fds[prefix+"keeper"],
	}
	return g.plan.Adopt(LaunchSpec{Index: in.cfg.Index, Gen: g.number}, h, func(e worker.Event) {
		if !in.post(func() { in.happened(g, e) }) {
			discardEvent(e)
		}
	})
}

// goOnDeploy is the deploy of that id, or this instance's part of it.
func (in *Instance) goOnDeploy(id string, parts int) *deploy {
	d := in.Book.goOn(id)
	if d == nil || parts == 0 {
		return d
	}
	return in.Book.Roll(id, parts).join(in)
}

// goOn sets everything going that was under way.
func (r *restoration) goOn() {
	in := r.in
	for g := range in.leaving {
		in.expel(g)
	}
	r.goOnTrial()
	r.goOnServing()
	if in.retry == nil && (in.state == Backoff || in.state == Ailing) {
		in.backoff.failures = max(in.backoff.failures-1, 0) // that wait begins again
		in.arm()
	}
	r.settleCandidate()
	in.tellPeers()
}

// expel ends a worker that was on its way out, at its deadline or, if it was to
// be killed, now.
func (in *Instance) expel(g *generation) {
	in.askAnew(g)
	if g.sealed != "" {
		in.kill(g, g.sealed)
		return
	}
	g.timer = time.AfterFunc(time.Until(g.deadline), func() {
		in.post(func() { in.kill(g, "not drained in time") })
	})
}

func (r *restoration) goOnServing() {
	in := r.in
	g := in.serving
	if g == nil {
		return
	}
	if g.process == nil {
		in.crashed(g, lostHold, Crashed)
		return
	}
	if g.sealed != "" {
		in.kill(g, g.sealed)
	}
	in.askAnew(g)
	in.watch(g)
}

// askAnew has a worker tell what it keeps: the duplicates have gone with the
// supervisor before.
func (in *Instance) askAnew(g *generation) {
	if g.process != nil && g.moves() {
		g.telling = true
		g.send(proto.Rekeep{})
	}
}

func (r *restoration) goOnTrial() {
	in, t := r.in, r.before.Trial
	if t == nil {
		return
	}
	in.trial = &trial{of: in.serving, deploy: in.goOnDeploy(t.Deploy, t.Parts), unfit: because(t.Unfit)}
	in.awaitBaked(in.trial, max(0, time.Until(t.Until)))
}

// settleCandidate decides what becomes of one that was getting ready: it has
// taken over, as the ownership word says, or it is given up. Its deploy is
// rejected then; a restart begins again.
func (r *restoration) settleCandidate() {
	in := r.in
	g := in.candidate
	switch {
	case g == nil:
	case g.process == nil && in.tookOver(g):
		in.gone(g, lostHold+" while it took over", Fell)
	case g.process == nil:
		in.resumeServing()
		in.gone(g, interrupted, Failed)
	case in.tookOver(g):
		if old := in.serving; old != nil {
			old.send(proto.Release{Swap: in.swaps})
		}
		in.askAnew(g)
		in.fire(Ready, cause{})
	default:
		g.inherited = true
		in.kill(g, interrupted) // what it has come to is known once it is dead
	}
}

// tookOver reports whether the connections are g's, which is final once the
// worker before it or g itself is dead.
func (in *Instance) tookOver(g *generation) bool {
	if in.keep == nil {
		return false
	}
	word, err := in.keep.Word()
	return err == nil && word == proto.Owner{Generation: uint32(g.number), Phase: proto.PhaseServing}
}

// resumeServing has the serving worker go on in case that it stands still for a
// handover whose supervisor is gone. One that does not ignores it.
func (in *Instance) resumeServing() {
	if in.serving != nil && in.serving.moves() {
		in.serving.send(proto.Resume{Swap: in.swaps})
	}
}

// candidateEnded takes the end of a candidate outside of a handover.
func (in *Instance) candidateEnded(g *generation, exit worker.Exit, how string) {
	e := in.endOf(g, exit, Failed)
	switch {
	case g.inherited && in.tookOver(g):
		in.gone(g, how+" while it took over", Fell)
		return
	case g.inherited:
		in.resumeServing()
		how = interrupted
	case g.ready.IsZero():
		how += " before it was ready"
	default:
		how += " while it waited to take over"
	}
	in.gone(g, how, e)
}
