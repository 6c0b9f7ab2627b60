package supervise

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// kept is how many deploys a book remembers.
const kept = 50

// Book keeps the latest deploys with their timelines. It may be used
// concurrently.
type Book struct {
	mu      sync.Mutex
	deploys []*deploy     // oldest first
	changed chan struct{} // closed when a record changes; nil while nobody waits
}

// deploy is one reload under way or ended. The book's mutex guards it.
type deploy struct {
	record  control.Deploy
	steps   []control.Step
	changed chan struct{} // closed and replaced at every step
	earlier []*deploy     // requests that wait for this one's verdict
	goesOn  bool          // it is of a supervisor before, and goes on
	roll    *Roll         // over several instances; nil: it is of one
	part    *part         // of a roll: what follows is the whole's; nil: it is in the book itself
}

// open enters a new deploy of program.
func (b *Book) open(program string) *deploy {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := &deploy{
		record:  control.Deploy{ID: newID(), Program: program, Verdict: control.Pending, At: time.Now()},
		changed: make(chan struct{}),
	}
	b.deploys = append(b.deploys, d)
	if extra := len(b.deploys) - kept; extra > 0 {
		b.deploys = slices.Delete(b.deploys, 0, extra)
	}
	b.add(d, "requested", "")
	return d
}

// newID returns an id that no other deploy has, of this supervisor or another.
func newID() string {
	id := make([]byte, 6)
	rand.Read(id) // never fails: crypto/rand
	return hex.EncodeToString(id)
}

// Begin enters a deploy that [Instance.ReloadAs] goes on with, and returns its id.
func (b *Book) Begin(program, by string) (id string) {
	id = b.open(program).record.ID
	b.Asked(id, by)
	return id
}

// Step adds to the timeline of a deploy that has begun.
func (b *Book) Step(id, name, detail string) { b.step(b.pending(id), name, detail) }

// RejectBegun rejects a deploy that has begun and will not go on.
func (b *Book) RejectBegun(id, reason string) {
	b.conclude(b.pending(id), control.Rejected, because(reason))
}

// Expect says that a deploy of a supervisor before this one will go on.
func (b *Book) Expect(id string) { b.goOn(id) }

// pending is the deploy of that id, nil if there is none without a verdict.
func (b *Book) pending(id string) *deploy {
	d, err := b.find(id)
	if err != nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if d.record.Verdict != control.Pending {
		return nil
	}
	return d
}

// Asked notes who asked for a deploy.
func (b *Book) Asked(id, by string) {
	d, err := b.find(id)
	if err != nil {
		return // forgotten already, in a storm of requests
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	d.record.By = by
}

// Entry is a deploy as one supervisor leaves it to the next.
type Entry struct {
	control.Deploy
	Steps   []control.Step `json:"steps,omitempty"`   // so far, of one without a verdict
	Earlier []string       `json:"earlier,omitempty"` // deploys that wait for its verdict
}

// Entries returns the latest deploys, oldest first, for [Book.Restore].
func (b *Book) Entries() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	entries := make([]Entry, len(b.deploys))
	for i, d := range b.deploys {
		entries[i].Deploy = d.record
		if d.record.Verdict != control.Pending {
			continue
		}
		entries[i].Steps = slices.Clone(d.steps)
		for _, e := range d.earlier {
			entries[i].Earlier = append(entries[i].Earlier, e.record.ID)
		}
	}
	return entries
}

// Restore enters deploys of a supervisor before this one, oldest first, in an
// empty book.
func (b *Book) Restore(entries []Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	entries = entries[max(0, len(entries)-kept):]
	known := map[string]*deploy{}
	for _, e := range entries {
		d := &deploy{record: e.Deploy, steps: e.Steps, changed: make(chan struct{})}
		known[e.ID] = d
		b.deploys = append(b.deploys, d)
		if e.Verdict != control.Pending {
			b.add(d, string(e.Verdict), e.Reason)
		}
	}
	for _, e := range entries {
		for _, id := range e.Earlier {
			if earlier := known[id]; earlier != nil {
				known[e.ID].earlier = append(known[e.ID].earlier, earlier)
			}
		}
	}
}

// goOn finds a deploy of a supervisor before this one that is to go on; nil if
// there is none without a verdict.
func (b *Book) goOn(id string) *deploy {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.deploys {
		if d.record.ID == id && d.record.Verdict == control.Pending {
			d.goesOn = true
			return d
		}
	}
	return nil
}

// RejectRest rejects the deploys of a supervisor before this one that nobody
// goes on with.
func (b *Book) RejectRest(reason string) {
	b.mu.Lock()
	waits := map[*deploy]bool{}
	for _, d := range b.deploys {
		for _, e := range d.earlier {
			waits[e] = true
		}
	}
	var rest []*deploy
	for _, d := range b.deploys {
		if d.record.Verdict == control.Pending && !d.goesOn && !waits[d] {
			rest = append(rest, d)
		}
	}
	for _, d := range b.deploys {
		if d.roll != nil {
			d.roll.complete()
		}
	}
	b.mu.Unlock()
	for _, d := range rest {
		b.conclude(d, control.Rejected, because(reason))
	}
}

// Changed returns a channel that is closed when a record has changed since.
func (b *Book) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

// step adds to d's timeline and to those of the requests that wait for it. A
// nil d is nobody's deploy.
func (b *Book) step(d *deploy, name, detail string) {
	if d == nil {
		return
	}
	if d.part != nil {
		d, detail = d.part.roll.whole, d.part.of(detail)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(d, name, detail)
}

// of says which instance a detail is about.
func (p *part) of(detail string) string {
	return strings.TrimSpace(fmt.Sprintf("instance %d: %s", p.in.cfg.Index, detail))
}

// swapped notes that d's build serves now.
func (b *Book) swapped(d *deploy) {
	if d == nil {
		return
	}
	if d.part != nil {
		if !d.part.hasSwapped() {
			return
		}
		d = d.part.roll.whole
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, each := range append(d.earlier, d) {
		each.record.SwappedMS = time.Since(each.record.At).Milliseconds()
	}
	b.add(d, "swapped", fmt.Sprintf("in %d ms", d.record.SwappedMS))
}

// baking notes how long d's build is on trial.
func (b *Book) baking(d *deploy, length time.Duration) {
	if d == nil {
		return
	}
	if d.part != nil {
		if d.part.in.cfg.Index > 0 {
			return // they bake side by side
		}
		d = d.part.roll.whole
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	until := time.Now().Add(length)
	b.add(d, "baking", "for "+length.String())
	for _, each := range append(slices.Clone(d.earlier), d) {
		each.steps[len(each.steps)-1].Until = &until
	}
}

// supersede makes old wait for d's verdict.
func (b *Book) supersede(old, d *deploy) {
	if old == nil {
		return
	}
	if old.part != nil {
		if !old.part.roll.supersede() {
			return
		}
		old = old.part.roll.whole
	}
	if d.part != nil {
		d = d.part.roll.whole
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(old, "superseded", "by a later request, "+d.record.ID)
	d.earlier = append(append(d.earlier, old.earlier...), old)
	old.earlier = nil
}

// conclude gives d, and the requests that wait for it, their verdict.
func (b *Book) conclude(d *deploy, v control.Verdict, reason cause) {
	if d == nil {
		return
	}
	if d.part != nil {
		last, whole, why := d.part.roll.conclude(d.part, v, reason)
		if !last {
			return
		}
		d, v, reason = d.part.roll.whole, whole, why
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, each := range append(d.earlier, d) {
		each.record.Verdict, each.record.Reason, each.record.Output = v, reason.String(), reason.output
	}
	b.add(d, string(v), reason.why)
	d.earlier = nil
}

// add is step with the mutex held.
func (b *Book) add(d *deploy, name, detail string) {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
	for _, each := range append(slices.Clone(d.earlier), d) {
		record := each.record
		each.steps = append(each.steps, control.Step{At: time.Now(), Step: name, Detail: detail, Deploy: &record})
		close(each.changed)
		each.changed = make(chan struct{})
	}
}

// Deploys returns the latest deploys, oldest first.
func (b *Book) Deploys() []control.Deploy {
	b.mu.Lock()
	defer b.mu.Unlock()
	records := make([]control.Deploy, len(b.deploys))
	for i, d := range b.deploys {
		records[i] = d.record
	}
	return records
}

// Follow calls each with every step of deploy id, from its first to its
// verdict, as they happen. It returns [control.ErrNoDeploy] if there is no
// such deploy, each's error, or that of ctx.
func (b *Book) Follow(ctx context.Context, id string, each func(control.Step) error) error {
	d, err := b.find(id) // once: the book may forget it before its verdict
	if err != nil {
		return err
	}
	for told := 0; ; {
		steps, changed := b.since(d, told)
		for _, s := range steps {
			if err := each(s); err != nil {
				return err
			}
			if s.Deploy.Verdict != control.Pending {
				return nil
			}
		}
		told += len(steps)
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *Book) find(id string) (*deploy, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.deploys, func(d *deploy) bool { return d.record.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("%w: %s", control.ErrNoDeploy, id)
	}
	return b.deploys[i], nil
}

func (b *Book) since(d *deploy, told int) ([]control.Step, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(d.steps[told:]), d.changed
}
