package supervise

import (
	"fmt"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/proto/swap"
	"github.com/simpletalk/simpletalk/supervisor/internal/keep"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

const (
	// freezeLimit is how long a handler may keep its connection from standing
	// still; everybody else waits for it that long.
	freezeLimit = 100 * time.Millisecond

	// window is how many batches of descriptors are on their way to a worker:
	// those in flight count against the user's limit (unix(7)).
	window = 2

	// orphanLimit is how long connections wait for a next worker.
	orphanLimit = 30 * time.Second

	// suspicious is how many pings a worker must have left unanswered to be taken
	// for hung when it does not freeze.
	suspicious = 3

	// spareFiles are the descriptors that a worker needs beside its connections.
	spareFiles = 128
)

// handover moves the connections of an instance to its candidate: the shell
// around the supervisor's half of package swap.
type handover struct {
	stage   swap.Stage
	id      uint32
	old     *generation // nil: its worker has died, or there was none that could give
	young   *generation
	formats map[string]int
	offered int       // connections
	unbuilt int       // batches that the young one has not answered
	state   int       // descriptor of what the old one told, -1 before
	late    []uint64  // what did not stand still
	frozen  time.Time // when the old one was asked to stand still; zero: it was not
	why     string    // of a failure
	timer   *time.Timer
	after   []func() // what waits for the end, which must not be called off
}

// openKeep makes room for connections.
func (in *Instance) openKeep() {
	k, err := keep.New(in.keepLimit())
	if err != nil {
		in.log.Error("connections end with their worker", "err", err)
		return
	}
	in.keep = k
	in.put(map[string]int{in.name("arena"): k.Arena()})
}

// keepLimit is this instance's share of the connections.
func (in *Instance) keepLimit() int { return keep.Limit(keep.Files() / max(1, in.cfg.Copies)) }

// arena is what the workers of a plan map, 0 if there is none.
func (in *Instance) arena(plan *Plan) int {
	if in.keep == nil || plan.NoHandover {
		return 0
	}
	return in.keep.Arena()
}

// discardEvent closes what nobody takes any more.
func discardEvent(e worker.Event) {
	if m, ok := e.(worker.Message); ok {
		proto.CloseFDs(m.FDs)
	}
}

// unlessSwapping runs f now, or once the handover that cannot be called off any
// more is over: then it takes milliseconds.
func (in *Instance) unlessSwapping(f func()) {
	if h := in.handover; h != nil && !h.stage.Revocable() {
		h.after = append(h.after, f)
		return
	}
	f()
}

// beginHandover lets g, which is ready, take over what the serving worker has,
// and what dead ones have left.
func (in *Instance) beginHandover(g *generation) {
	in.swaps++
	h := &handover{stage: swap.StageOrphaned, id: in.swaps, young: g, state: -1}
	from := keep.Nobody
	if old := in.serving; old != nil && old.moves() {
		formats, err := proto.NegotiateFormats(old.formats, g.formats)
		if err != nil {
			in.refuse(g, err.Error())
			return
		}
		h.old, h.formats, h.stage, from = old, formats, swap.StageAdopting, old.number
	}
	n := in.keep.Count(from)
	if from != keep.Nobody {
		n += in.keep.Count(keep.Nobody)
	}
	if g.files > 0 && n+spareFiles > g.files {
		in.refuse(g, fmt.Sprintf("%d connections do not fit its %d descriptors (RLIMIT_NOFILE)", n, g.files))
		return
	}
	in.handover = h
	h.offered = n
	h.timer = time.AfterFunc(in.cfg.StepTimeout, func() { in.post(func() { in.overdue(h) }) })
	in.keep.Offer(g.number, from)
	in.offer()
}

// refuse ends a candidate that could not take over.
func (in *Instance) refuse(g *generation, why string) {
	in.discard(why)
	in.failed(g, why, Failed)
}

// offer gives the candidate as many descriptors as may be in flight, and tells
// when it holds them all.
func (in *Instance) offer() {
	h := in.handover
	for h.unbuilt < window && in.keep.Waiting() > 0 {
		if !in.adopt(h) {
			return
		}
	}
	if h.unbuilt == 0 && in.keep.Waiting() == 0 {
		if h.offered > 0 {
			in.Book.step(in.deploy, "adopted", fmt.Sprintf("%d/%d connections", h.offered, h.offered))
			h.offered = 0
		}
		in.follow(swap.NewsBuilt)
	}
}

// adopt gives the candidate the next batch. It reports false when that ended
// the handover.
func (in *Instance) adopt(h *handover) bool {
	conns, fds, err := in.keep.Batch()
	if err != nil {
		h.why = err.Error()
		in.follow(swap.NewsRefused)
		return false
	}
	if len(conns) > 0 {
		h.unbuilt++
		h.young.send(proto.Adopt{Swap: h.id, Conns: conns}, fds...)
	}
	return true
}

// heardOfConns takes what a worker says of its connections. It reports false
// when m is about something else.
func (in *Instance) heardOfConns(g *generation, m proto.Message, fds []int) bool {
	switch m := m.(type) {
	case proto.Keep:
		if err := in.keep.Keep(g.number, m.Conns, fds, m.Anew); err != nil {
			in.kill(g, "broke the protocol: "+err.Error())
		}
		return true
	case proto.Frozen:
		in.heardFrozen(g, m, fds)
		return true
	}
	switch m := m.(type) {
	case proto.Note:
		in.keep.Note(g.number, m.Conns)
	case proto.Drop:
		in.keep.Drop(g.number, m.IDs)
	case proto.Rekept:
		in.keep.Rekept(g.number, m.N)
		in.told(g)
	case proto.Built:
		in.heardBuilt(g, m)
	case proto.Loaded:
		in.heardOfSwap(g, m.Swap, swap.NewsLoaded)
	case proto.Live:
		in.heardLive(g, m)
	case proto.Refused:
		in.heardRefused(g, m)
	case proto.Late:
		in.heardLate(g, m)
	default:
		return false
	}
	proto.CloseFDs(fds)
	return true
}

// concerns reports whether g speaks of the handover under way.
func (h *handover) concerns(g *generation, id uint32) bool {
	return h != nil && h.id == id && (g == h.old || g == h.young)
}

func (in *Instance) heardOfSwap(g *generation, id uint32, n swap.News) {
	if in.handover.concerns(g, id) {
		in.follow(n)
	}
}

func (in *Instance) heardBuilt(g *generation, m proto.Built) {
	h := in.handover
	if !h.concerns(g, m.Swap) || g != h.young {
		in.inherited()
		return
	}
	h.unbuilt--
	h.timer.Reset(in.cfg.StepTimeout)
	if h.stage == swap.StageAdopting || h.stage == swap.StageOrphaned {
		in.offer()
	}
}

func (in *Instance) heardFrozen(g *generation, m proto.Frozen, fds []int) {
	if b := g.bequest; b != nil && b.swap == m.Swap {
		proto.CloseFDs(fds)
		in.standsStill(g)
		return
	}
	h := in.handover
	if !h.concerns(g, m.Swap) || g != h.old || h.state >= 0 || len(fds) != 1 {
		proto.CloseFDs(fds)
		return
	}
	h.state, h.late = fds[0], m.Late
	in.follow(swap.NewsFrozen)
}

func (in *Instance) heardLive(g *generation, m proto.Live) {
	if !in.handover.concerns(g, m.Swap) {
		return
	}
	if m.Broken > 0 {
		in.log.Warn("connections broken in mid-message", "gen", g.number, "conns", m.Broken)
	}
	in.Meter.live(in.cfg.Program, in.handover.frozen, m.Broken)
	in.follow(swap.NewsLive)
}

func (in *Instance) heardRefused(g *generation, m proto.Refused) {
	if b := g.bequest; b != nil && b.swap == m.Swap {
		in.renounce(g)
		return
	}
	h := in.handover
	if !h.concerns(g, m.Swap) {
		return
	}
	h.why = fmt.Sprintf("generation %d refused the handover: %s", g.number, m.Why)
	in.follow(swap.NewsRefused)
}

// learn takes news about a worker, if it is the old one of the handover.
func (in *Instance) learn(g *generation, n swap.News) {
	if h := in.handover; h != nil && h.old == g {
		in.follow(n)
	}
}

// overdue takes the end of patience.
func (in *Instance) overdue(h *handover) {
	if in.handover != h {
		return
	}
	n := swap.NewsOverdue
	h.why = fmt.Sprintf("the handover took too long while %s", h.stage)
	if h.old != nil && h.old.unanswered >= suspicious {
		n = swap.NewsOldHangs
	}
	in.follow(n)
}

// follow lets happen what package swap says.
func (in *Instance) follow(n swap.News) {
	h := in.handover
	before := h.stage
	stage, orders := swap.Follow(before, n)
	if stage != before {
		in.log.Debug("handover", "swap", h.id, "from", before.String(), "to", stage.String(), "news", n.String())
		h.stage = stage
		h.timer.Reset(in.patienceIn(stage))
	}
	for _, o := range orders {
		in.obey(h, o)
	}
	if stage.Over() && in.handover == h {
		in.endHandover(h)
	}
}

// patienceIn is how long a stage may last. A frozen worker takes its
// connections back after swap.Silence, so that there is no use in waiting
// longer.
func (in *Instance) patienceIn(s swap.Stage) time.Duration {
	if s == swap.StageLoading || s == swap.StageGoing {
		return min(swap.Silence, in.cfg.StepTimeout)
	}
	return in.cfg.StepTimeout
}

func (in *Instance) obey(h *handover, o swap.Order) {
	switch o {
	case swap.SayFreeze:
		h.frozen = time.Now()
		h.old.send(proto.Freeze{Swap: h.id, Formats: h.formats, DeadlineMS: freezeLimit.Milliseconds()})
	case swap.SayLoad:
		in.sayLoad(h)
	case swap.SayGo:
		h.young.send(proto.Go{Swap: h.id, From: proto.Owner{Generation: uint32(h.old.number), Phase: proto.PhaseFrozen, Swap: h.id}})
	case swap.AdoptRest:
		in.offer()
	case swap.SayRecover:
		in.sayRecover(h)
	case swap.SayResume:
		h.old.send(proto.Resume{Swap: h.id})
	case swap.SayRelease:
		h.old.send(proto.Release{Swap: h.id})
	case swap.KillNew:
		in.kill(h.young, h.reason())
	case swap.KillOld:
		in.kill(h.old, fmt.Sprintf("hung: it did not freeze and left %d pings unanswered", h.old.unanswered))
	}
}

// reason is why the handover failed.
func (h *handover) reason() string {
	if h.why == "" {
		return "the handover was called off"
	}
	return h.why
}

// sayLoad gives the candidate what came last, and the state of everything.
func (in *Instance) sayLoad(h *handover) {
	for in.keep.Waiting() > 0 {
		if !in.adopt(h) {
			return
		}
	}
	h.young.send(proto.Load{Swap: h.id, Formats: h.formats}, h.state)
	h.state = -1
}

// sayRecover names the word that dead workers have left: nobody else can change
// it.
func (in *Instance) sayRecover(h *handover) {
	word, err := in.keep.Word()
	if err != nil {
		h.why = err.Error()
		in.follow(swap.NewsRefused)
		return
	}
	h.young.send(proto.Recover{Swap: h.id, From: word})
}

// cancelHandover calls the handover off, if there is one.
func (in *Instance) cancelHandover() {
	h := in.handover
	if h == nil {
		return
	}
	in.closeHandover() // whoever discards the candidate tells the rest
	stage, orders := swap.Follow(h.stage, swap.NewsCancelled)
	h.stage = stage
	in.keep.Withdraw()
	for _, o := range orders {
		if o != swap.KillNew {
			in.obey(h, o)
		}
	}
	if in.keep.Count(keep.Nobody) > 0 {
		in.waitForOwner()
	}
}

// closeHandover lets go of the handover and of what it holds. What waited for its
// end still waits, until all that it has led to has been dealt with.
func (in *Instance) closeHandover() {
	h := in.handover
	in.handover = nil
	in.after = append(in.after, h.after...)
	h.timer.Stop()
	if h.state >= 0 {
		proto.CloseFDs([]int{h.state})
		h.state = -1
	}
}

// goOnAfter does what waited for the end of a handover.
func (in *Instance) goOnAfter() {
	for len(in.after) > 0 {
		f := in.after[0]
		in.after = in.after[1:]
		in.unlessSwapping(f)
	}
}

// endHandover concludes a handover that is done, has failed or has fallen.
func (in *Instance) endHandover(h *handover) {
	in.closeHandover()
	switch h.stage {
	case swap.StageDone:
		n := in.keep.Take(h.late)
		in.log.Info("connections moved", "gen", h.young.number, "conns", n, "late", len(h.late), "swap", h.id)
		in.fire(Ready, cause{})
	case swap.StageFailed:
		in.keep.Withdraw()
		in.handoverFailed(h)
	case swap.StageFallen:
		in.keep.Take(h.late)
		in.fell(h)
	}
	if in.keep.Count(keep.Nobody) > 0 {
		in.waitForOwner()
	}
}

// handoverFailed ends the candidate, if it lives.
func (in *Instance) handoverFailed(h *handover) {
	if g := h.young; g == in.candidate {
		in.refuse(g, h.reason())
	}
}

// candidateDied takes the end of a candidate in the middle of its handover.
func (in *Instance) candidateDied(g *generation, how string) {
	h := in.handover
	news := swap.NewsNewDied
	word, err := in.keep.Word()
	if err == nil && word == (proto.Owner{Generation: uint32(g.number), Phase: proto.PhaseServing}) {
		news = swap.NewsNewFell
	}
	h.why = how + " while it took over"
	in.candidate = nil
	in.follow(news)
	in.forget(g)
	if h.stage == swap.StageFailed {
		in.failed(g, h.why, Failed)
	}
}

// fell takes the end of a candidate that had taken over.
func (in *Instance) fell(h *handover) {
	g := h.young
	in.lastExit, in.lastUptime = h.why, 0
	reason := g.ending(h.why)
	in.log.Error("worker crashed", "gen", g.number, "reason", reason.String())
	in.keep.Abandon(g.number)
	in.fire(Fell, reason)
}

// abandon says that g is dead, all of it: what it kept is nobody's.
func (in *Instance) abandon(g *generation) {
	if in.keep != nil && g.process != nil && in.keep.Abandon(g.number) > 0 {
		in.waitForOwner()
	}
}

// waitForOwner ends connections that are nobody's, unless a worker is about to
// take them: at once when one serves that was not offered them, after
// [orphanLimit] when none comes.
func (in *Instance) waitForOwner() {
	switch {
	case in.handover != nil:
	case in.serving != nil:
		in.shutOrphans()
	case in.orphaned == nil:
		var timer *time.Timer
		timer = time.AfterFunc(orphanLimit, func() {
			in.post(func() {
				if in.orphaned == timer {
					in.orphaned = nil
					in.orphansWaited()
				}
			})
		})
		in.orphaned = timer
	}
}

// orphansWaited ends connections that nobody took, unless somebody is taking
// them at this moment.
func (in *Instance) orphansWaited() {
	if in.handover == nil && in.serving == nil {
		in.shutOrphans()
		return
	}
	in.waitForOwner()
}

// shutOrphans ends connections that no worker will take.
func (in *Instance) shutOrphans() {
	if in.keep == nil {
		return
	}
	if in.orphaned != nil {
		in.orphaned.Stop()
		in.orphaned = nil
	}
	if n := in.keep.Shut(keep.Nobody); n > 0 && in.state != Stopped { // whoever stops it means that
		in.log.Warn("connections closed that nobody could take", "conns", n)
	}
}

// heardLate moves what g could not give in its handover. What g said before it has
// told again what it keeps waits for that: it is not known here yet.
func (in *Instance) heardLate(g *generation, m proto.Late) {
	if g.telling {
		g.late = append(g.late, m)
		return
	}
	in.unlessSwapping(func() { in.moveLate(g, m) })
}

// moveLate gives what g could not give in its handover to whoever serves now,
// or leaves it for whoever will.
func (in *Instance) moveLate(g *generation, m proto.Late) {
	if g.bequest != nil {
		in.leave(g, m)
		return
	}
	to := in.serving
	if to == g || to == nil || !to.moves() {
		in.keep.Disown(m.ID, g.number)
		in.waitForOwner()
		g.send(proto.Release{Swap: m.Swap, IDs: []uint64{m.ID}})
		return
	}
	each, fd, ok := in.keep.Give(m.ID, g.number, to.number)
	if ok {
		to.send(proto.Adopt{Swap: m.Swap, Conns: []proto.Kept{each}}, fd)
		to.send(m)
	}
	g.send(proto.Release{Swap: m.Swap, IDs: []uint64{m.ID}})
}
