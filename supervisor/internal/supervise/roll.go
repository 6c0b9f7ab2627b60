package supervise

import (
	"fmt"
	"sync"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// Roll is one deploy of all instances of a program: what befalls one befalls all.
//
//	each    starts its candidate ── ready ──┐
//	all     are ready ──────────────────────┴► each takes over and bakes ──┐
//	all     have baked ────────────────────────────────────────────────────┴► accepted
//	one     fails before that ──► the others give up: rejected, or returned if any had taken over
//
// It may be used concurrently; instances are told in their own time.
type Roll struct {
	book  *Book
	whole *deploy // in the book

	mu         sync.Mutex
	parts      map[int]*part // by the instance's index
	size       int
	waiting    [rollStages][]func() // what goes on when all parts have come to a stage
	failed     cause                // of the first part that failed; the zero value while none has
	superseded bool                 // by a later deploy, whose verdict counts
}

// rollStage is where the parts of a roll wait for each other.
type rollStage int

const (
	readyStage rollStage = iota // the candidate could take over
	bakedStage                  // the build has served for its bake time
	rollStages
)

// part is what a roll is to one instance.
type part struct {
	roll    *Roll
	in      *Instance
	deploy  *deploy // the instance's own, which the book does not show
	swapped bool
	done    bool
}

// Roll returns the roll of a deploy that has begun, over so many instances.
func (b *Book) Roll(id string, size int) *Roll {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.deploys {
		if d.record.ID != id {
			continue
		}
		if d.roll == nil {
			d.roll = &Roll{book: b, whole: d, size: size, parts: map[int]*part{}}
		}
		return d.roll
	}
	return nil
}

// join makes an instance take part.
func (r *Roll) join(in *Instance) *deploy {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &part{roll: r, in: in}
	p.deploy = &deploy{record: r.whole.record, part: p}
	r.parts[in.cfg.Index] = p
	return p.deploy
}

// arrive has goOn run in p's loop once every part has come to a stage; never if
// one of them has failed.
func (p *part) arrive(s rollStage, goOn func()) {
	r := p.roll
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed.why != "" {
		p.giveUp()
		return
	}
	r.waiting[s] = append(r.waiting[s], func() { p.in.mail.post(goOn) })
	r.passOn(s)
}

// passOn has all parts go on that wait at a stage, if those are all. The mutex is
// held.
func (r *Roll) passOn(s rollStage) {
	if len(r.waiting[s]) < r.size {
		return
	}
	for _, each := range r.waiting[s] {
		each()
	}
	r.waiting[s] = nil
}

// count is over how many instances it is.
func (r *Roll) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size
}

// giveUp has p's instance take back what it has done. The roll's mutex is held.
func (p *part) giveUp() {
	why := p.roll.failed
	p.in.mail.post(func() { p.in.unlessSwapping(func() { p.in.giveUp(p.deploy, why) }) })
}

// hasSwapped notes that p's build serves, and reports whether all do.
func (p *part) hasSwapped() (all bool) {
	r := p.roll
	r.mu.Lock()
	defer r.mu.Unlock()
	p.swapped = true
	n := 0
	for _, each := range r.parts {
		if each.swapped {
			n++
		}
	}
	return n == r.size
}

// supersede reports whether this is the first part that gives way to a later
// deploy.
func (r *Roll) supersede() (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first = !r.superseded
	r.superseded = true
	return first
}

// conclude takes the verdict of one part, and has the others follow a failure.
// It reports whether that was the last one, and the verdict of the whole.
func (r *Roll) conclude(p *part, v control.Verdict, reason cause) (last bool, whole control.Verdict, why cause) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.done {
		return false, "", cause{}
	}
	p.done = true
	if v != control.Accepted && r.failed.why == "" {
		r.failed = cause{fmt.Sprintf("instance %d: %s", p.in.cfg.Index, reason.why), reason.output}
		for _, each := range r.parts {
			if !each.done {
				each.giveUp()
			}
		}
	}
	if r.superseded || r.open() > 0 {
		return false, "", cause{}
	}
	return true, r.verdict(), r.failed
}

// open is how many parts have no verdict.
func (r *Roll) open() int {
	n := r.size - len(r.parts)
	for _, p := range r.parts {
		if !p.done {
			n++
		}
	}
	return n
}

func (r *Roll) verdict() control.Verdict {
	if r.failed.why == "" {
		return control.Accepted
	}
	for _, p := range r.parts {
		if p.swapped {
			return control.Returned
		}
	}
	return control.Rejected
}

// complete ends the wait for parts that did not join: their instances are gone.
func (r *Roll) complete() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.size = len(r.parts)
	for s := range rollStages {
		r.passOn(s)
	}
}

// giveUp takes back what d, which fails elsewhere, has done here.
func (in *Instance) giveUp(d *deploy, why cause) {
	switch t := in.trial; {
	case in.deploy == d && in.candidate != nil && in.ofDeploy():
		in.refuse(in.candidate, why.why)
	case t == nil || t.deploy != d || in.state != Baking:
	case in.lastGood == nil:
		in.fire(Baked, cause{}) // there is no other
	default:
		t.unfit = why
		in.Book.step(t.deploy, "returning", why.why)
		in.fire(Unfit, why)
	}
}

// ofDeploy reports whether the candidate is that of the deploy, and not of a
// restart that the deploy waits for.
func (in *Instance) ofDeploy() bool {
	return in.state == Starting || in.state == Swapping || in.state == Replacing
}

// part is that of the candidate's deploy in a roll, nil if there is none.
func (in *Instance) part() *part {
	if in.deploy == nil || !in.ofDeploy() {
		return nil
	}
	return in.deploy.part
}

// mailbox is a queue without a limit whose sender never waits: loops that told
// each other things otherwise could wait for each other.
type mailbox struct {
	ready  chan struct{}
	mu     sync.Mutex
	queue  []func()
	closed bool
}

func newMailbox() *mailbox { return &mailbox{ready: make(chan struct{}, 1)} }

// post queues f. It reports false when the loop has ended.
func (m *mailbox) post(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.queue = append(m.queue, f)
	select {
	case m.ready <- struct{}{}:
	default:
	}
	return true
}

// close runs what is queued, the last of it.
func (m *mailbox) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.empty()
}

// empty runs what is queued.
func (m *mailbox) empty() {
	m.mu.Lock()
	queue := m.queue
	m.queue = nil
	m.mu.Unlock()
	for _, f := range queue {
		f()
	}
}
