package supervise

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/supervisor/internal/keep"
)

// bequest is how an instance that ends for good leaves its connections to another
// one of its program, whose worker serves on:
//
//	leaving worker       its instance          the heir             the heir's worker
//	     │  ◄── freeze ──────│                    │                        │
//	     │ ─── frozen ─────► │                    │                        │
//	     │  ◄─ release{apart}│                    │                        │
//	     │ ─── late{state} ► │ ── descriptor ───► │ ── adopt, late ──────► │
//	     │                   │ ◄──────────────────│ ◄─────────── built ────│
//	     │  ◄─ release{id} ──│
//
// The last four steps are of one connection each, so that nothing has two owners
// whoever dies: a worker that has sent late touches it no more. What does not get
// that far is told goodbye, as without an heir.
type bequest struct {
	to    *Instance
	swap  uint32
	timer *time.Timer // until the worker stands still
}

// LeaveTo has the connections go to another instance when this one ends, if they
// can.
func (in *Instance) LeaveTo(heir *Instance) {
	in.ask(func() { in.heir = heir })
}

// bequeath begins to leave g's connections to the heir. It reports false when there
// is none, or nothing to leave.
func (in *Instance) bequeath(g *generation) bool {
	if in.heir == nil || in.keep == nil || !g.moves() || in.keep.Count(g.number) == 0 {
		return false
	}
	formats, err := proto.NegotiateFormats(g.formats, g.formats)
	if err != nil {
		return false
	}
	in.swaps++
	b := &bequest{to: in.heir, swap: in.swaps}
	b.timer = time.AfterFunc(in.cfg.StepTimeout, func() { in.post(func() { in.renounce(g) }) })
	g.bequest = b
	g.send(proto.Freeze{Swap: b.swap, Formats: formats, DeadlineMS: freezeLimit.Milliseconds()})
	return true
}

// renounce lets a worker that has not frozen tell its clients goodbye instead.
func (in *Instance) renounce(g *generation) {
	if b := g.bequest; b != nil && in.leaving[g] {
		b.timer.Stop()
		g.bequest = nil
		g.send(proto.Resume{Swap: b.swap})
		in.sayDrain(g, proto.WhyStop)
	}
}

// standsStill has a worker that stands still give away its connections, and then go.
func (in *Instance) standsStill(g *generation) {
	g.bequest.timer.Stop()
	g.send(proto.Release{Swap: g.bequest.swap, Apart: true})
	in.sayDrain(g, proto.WhyDeploy)
}

// leave gives one of g's connections to the heir.
func (in *Instance) leave(g *generation, m proto.Late) {
	given := func() { g.send(proto.Release{Swap: m.Swap, IDs: []uint64{m.ID}}) }
	each, fd, ok := in.keep.Part(m.ID, g.number)
	if !ok {
		given()
		return
	}
	heir, taken := g.bequest.to, func() { in.mail.post(given) }
	if !heir.mail.post(func() { heir.whenStill(func() { heir.inherit(each, fd, m, taken) }) }) {
		hangUp(fd)
		given()
	}
}

// hangUp ends a connection whose client then comes back.
func hangUp(fd int) {
	unix.Shutdown(fd, unix.SHUT_RDWR)
	unix.Close(fd)
}

// whenStill runs f now, or once the handover that is under way is over.
func (in *Instance) whenStill(f func()) {
	if h := in.handover; h != nil {
		h.after = append(h.after, f)
		return
	}
	f()
}

// inherit takes a connection that another instance has left, and owns fd. taken is
// called when the worker holds it, or never will.
func (in *Instance) inherit(each proto.Kept, fd int, m proto.Late, taken func()) {
	to := in.serving
	if to == nil || !to.moves() || in.keep == nil || to.files > 0 && in.keep.Count(to.number)+spareFiles >= to.files {
		hangUp(fd)
		taken()
		return
	}
	in.keep.Keep(keep.Nobody, []proto.Kept{each}, []int{fd}, false)
	each, fd, ok := in.keep.Give(each.ID, keep.Nobody, to.number)
	if !ok { // there is no room for it
		taken()
		return
	}
	in.inheriting = append(in.inheriting, taken)
	to.send(proto.Adopt{Swap: m.Swap, Conns: []proto.Kept{each}}, fd)
	to.send(m)
}

// inheritNothing goes on without a worker that was to hold connections.
func (in *Instance) inheritNothing() {
	for len(in.inheriting) > 0 {
		in.inherited()
	}
}

// inherited takes that a worker holds another connection which it was not offered in
// a handover.
func (in *Instance) inherited() {
	if len(in.inheriting) > 0 {
		taken := in.inheriting[0]
		in.inheriting = in.inheriting[1:]
		taken()
	}
}
