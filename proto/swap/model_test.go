package swap

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/simpletalk/simpletalk/proto"
)

// The model is a supervisor and two workers that run the real tables, with
// everything between them made visible: a queue in each direction, the
// ownership word, and deaths. One step is one message taken, one timer, one
// death; whatever order the steps can come in, they come in.

type kind uint8

const (
	adopt kind = iota
	built
	freeze
	frozen
	load
	loaded
	goes
	recovers
	live
	refused
	resume
	release
)

type message struct {
	kind kind
	swap uint32
	from proto.Owner
}

// queue holds what is under way in one direction; a swap needs few.
type queue struct {
	n   int
	all [6]message
}

func (q *queue) push(m message) {
	q.all[q.n] = m // a panic here is a finding: somebody talks for ever
	q.n++
}

func (q *queue) pop() message {
	m := q.all[0]
	copy(q.all[:], q.all[1:])
	q.n--
	q.all[q.n] = message{}
	return m
}

// party is a worker.
type party struct {
	gen    uint32
	alive  bool
	doomed bool // SIGKILL is on its way
	told   bool // the supervisor knows that it is dead
	role   Role
	swap   uint32 // that it freezes for
	orphan bool   // it knows that nobody supervises it
	owes   bool   // it has acted, and not yet said so
	says   message
	in     queue // from the supervisor
	out    queue // to it
}

// world is everything at one moment. It is comparable.
type world struct {
	word       proto.Owner
	supervised bool
	stage      Stage
	swap       uint32
	old, young party
}

// begin is a world at the start of a swap, with an old worker or without.
func begin(gen, swap uint32, word proto.Owner, old party) world {
	w := world{word: word, supervised: true, swap: swap, old: old, young: party{gen: gen, alive: true}}
	w.stage = StageOrphaned
	if old.alive {
		w.stage = StageAdopting
	}
	w.young.in.push(message{kind: adopt, swap: swap})
	return w
}

// step is one thing that can happen.
type step struct {
	name string
	free bool // it need not ever happen: deaths, impatience
	do   func(*world)
}

// steps lists what can happen in w.
func (w *world) steps() []step {
	var all []step
	add := func(can bool, free bool, name string, do func(*world)) {
		if can {
			all = append(all, step{name, free, do})
		}
	}
	for _, side := range []struct {
		name string
		of   func(*world) *party
	}{{"old", (*world).theOld}, {"new", (*world).theNew}} {
		p, of := side.of(w), side.of
		busy := p.owes
		add(busy && p.alive, false, side.name+" speaks", func(w *world) { w.speak(of(w)) })
		add(!busy && p.alive && p.in.n > 0, false, side.name+" hears", func(w *world) { w.hear(of(w)) })
		add(!busy && p.alive && p.role == Freezing, false, side.name+" is quiet", func(w *world) { w.cue(of(w), CueQuiet, message{}) })
		add(!busy && p.alive && p.role == Frozen, false, side.name+" hears nothing", func(w *world) { w.cue(of(w), CueSilence, message{}) })
		add(!busy && p.alive && !w.supervised && p.in.n == 0 && !p.orphan, false, side.name+" is orphaned", func(w *world) {
			of(w).orphan = true
			w.cue(of(w), CueOrphaned, message{})
		})
		add(p.alive, !p.doomed, side.name+" dies", func(w *world) { of(w).alive = false; of(w).in = queue{} })
		add(w.supervised && p.out.n > 0, false, "supervisor hears "+side.name, func(w *world) { w.learn(of(w)) })
	}
	add(w.supervised && !w.old.alive && !w.old.told && w.old.out.n == 0, false, "supervisor sees old dead", func(w *world) {
		w.old.told = true
		w.news(NewsOldDied)
	})
	add(w.supervised && !w.young.alive && !w.young.told && w.young.out.n == 0, false, "supervisor sees new dead", func(w *world) {
		w.young.told = true
		if w.word == serving(w.young.gen) {
			w.news(NewsNewFell)
		} else {
			w.news(NewsNewDied)
		}
	})
	add(w.supervised && !w.stage.Over(), true, "supervisor loses patience", func(w *world) { w.news(NewsOverdue) })
	add(w.supervised && !w.stage.Over() && w.old.alive, true, "old hangs", func(w *world) { w.news(NewsOldHangs) })
	add(w.supervised && w.stage.Revocable(), true, "supervisor changes its mind", func(w *world) { w.news(NewsCancelled) })
	add(w.supervised, true, "supervisor dies", func(w *world) {
		w.supervised = false
		w.old.out, w.young.out = queue{}, queue{}
	})
	return all
}

func (w *world) theOld() *party { return &w.old }
func (w *world) theNew() *party { return &w.young }

func serving(gen uint32) proto.Owner {
	return proto.Owner{Generation: gen, Phase: proto.PhaseServing}
}

// hear lets a worker take its next message: the worker's shell.
func (w *world) hear(p *party) {
	m := p.in.pop()
	switch m.kind {
	case adopt:
		w.say(p, built, m.swap)
	case load:
		w.cue(p, CueLoad, m)
	case goes:
		w.cue(p, CueGo, m)
	case recovers:
		w.cue(p, CueRecover, m)
	case freeze:
		if p.role == Serving {
			p.swap = m.swap
		}
		w.cue(p, CueFreeze, m)
	case resume:
		if m.swap == p.swap {
			w.cue(p, CueResume, m)
		}
	case release:
		if m.swap == p.swap {
			w.cue(p, CueRelease, m)
		}
	}
}

// cue lets a worker do what follows.
func (w *world) cue(p *party, c Cue, m message) {
	s := Next(p.role, c)
	then := s.Won
	if s.Claim != NoClaim {
		from, to := s.Claim.Words(p.gen, p.swap, m.from)
		if w.word == from {
			w.word = to
		} else {
			then = s.Lost
			if c == CueRecover && w.supervised {
				panic("invariant 6: the word was changed under a recovery")
			}
		}
	}
	p.role = then.Role
	for _, d := range then.Deeds {
		switch d {
		case SayLoaded:
			w.say(p, loaded, m.swap)
		case SayLive:
			w.say(p, live, m.swap)
		case SayRefused:
			w.say(p, refused, m.swap)
		case SayFrozen:
			w.say(p, frozen, p.swap)
		}
	}
}

// say is done in a step of its own: between a claim and the word about it a
// worker may die.
func (w *world) say(p *party, k kind, swap uint32) {
	p.owes, p.says = true, message{kind: k, swap: swap}
}

func (w *world) speak(p *party) {
	if w.supervised {
		p.out.push(p.says)
	}
	p.owes, p.says = false, message{}
}

// learn lets the supervisor take a worker's next message: its shell.
func (w *world) learn(p *party) {
	m := p.out.pop()
	if m.swap != w.swap {
		return
	}
	told := map[kind]News{built: NewsBuilt, frozen: NewsFrozen, loaded: NewsLoaded, live: NewsLive, refused: NewsRefused}
	w.news(told[m.kind])
}

func (w *world) news(n News) {
	var orders []Order
	w.stage, orders = Follow(w.stage, n)
	for _, o := range orders {
		w.obey(o)
	}
}

func (w *world) obey(o Order) {
	tell := func(p *party, k kind) {
		if p.alive {
			p.in.push(message{kind: k, swap: w.swap, from: w.told()})
		}
	}
	switch o {
	case SayFreeze:
		tell(&w.old, freeze)
	case SayLoad:
		tell(&w.young, load)
	case SayGo:
		tell(&w.young, goes)
	case AdoptRest:
		tell(&w.young, adopt)
	case SayRecover:
		tell(&w.young, recovers)
	case SayResume:
		tell(&w.old, resume)
	case SayRelease:
		tell(&w.old, release)
	case KillNew:
		w.young.doomed = true
	case KillOld:
		w.old.doomed = true
	}
}

// told is the word that the supervisor names: of a swap it knows it, of the
// dead it reads it.
func (w *world) told() proto.Owner {
	if w.stage == StageGoing {
		return proto.Owner{Generation: w.old.gen, Phase: proto.PhaseFrozen, Swap: w.swap}
	}
	return w.word
}

// check returns the invariant of doc.go that does not hold at this moment.
func (w *world) check() string {
	touches := func(p *party) bool { return p.alive && p.role.Touches() }
	if touches(&w.old) && touches(&w.young) {
		return "invariant 1: two workers touch the streams"
	}
	for _, p := range []*party{&w.old, &w.young} {
		if touches(p) && w.word != serving(p.gen) {
			return fmt.Sprintf("invariant 2: generation %d touches the streams, the word is %v", p.gen, w.word)
		}
	}
	return ""
}

// checkEnd is check where nothing happens any more by itself.
func (w *world) checkEnd(hadOld bool) string {
	switch {
	case w.supervised && !w.stage.Over():
		return fmt.Sprintf("invariant 3: the swap hangs in %v", w.stage)
	case w.supervised && w.stage == StageFailed && w.old.alive && w.old.role != Serving:
		return fmt.Sprintf("invariant 4: the swap has failed and the old worker is %v", w.old.role)
	case w.supervised && w.stage == StageDone && w.young.alive && w.young.role != Serving:
		return fmt.Sprintf("the swap is done and the new worker is %v", w.young.role)
	case w.supervised && w.stage != StageFailed && w.old.alive && w.old.role != Retired:
		return fmt.Sprintf("the swap is %v and the old worker %v", w.stage, w.old.role)
	case !w.supervised && hadOld && w.old.alive && !w.old.role.Touches() && (!w.young.alive || !w.young.role.Touches()) && w.word != serving(w.young.gen):
		return "invariant 5: nobody serves"
	}
	return ""
}

// visit walks through every world that can follow, each once.
func visit(t *testing.T, start world) (worlds int, ends map[Stage]int) {
	t.Helper()
	type link struct {
		from world
		step string
	}
	seen := map[world]link{start: {}}
	todo := []world{start}
	ends = map[Stage]int{}
	fail := func(w world, what string) {
		var path []string
		for at := w; at != start; at = seen[at].from {
			path = append(path, seen[at].step)
		}
		slices.Reverse(path)
		t.Fatalf("%s\nafter: %q\nworld: %+v", what, path, w)
	}
	for len(todo) > 0 {
		w := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if what := w.check(); what != "" {
			fail(w, what)
		}
		ended := true
		for _, s := range w.steps() {
			ended = ended && s.free
			next := w
			s.do(&next)
			if _, known := seen[next]; !known {
				seen[next] = link{w, s.name}
				todo = append(todo, next)
			}
		}
		if !ended {
			continue
		}
		if what := w.checkEnd(start.old.alive); what != "" {
			fail(w, what)
		}
		if w.supervised {
			ends[w.stage]++
		}
	}
	return len(seen), ends
}

func TestEveryInterleavingOfASwap(t *testing.T) {
	old := party{gen: 7, alive: true, role: Serving}
	worlds, ends := visit(t, begin(8, 3, serving(7), old))
	t.Logf("%d worlds, ends %v", worlds, ends)
	for _, s := range []Stage{StageDone, StageFailed, StageFallen} {
		if ends[s] == 0 {
			t.Errorf("no swap ends %v: nothing was tested", s)
		}
	}
}

func TestEveryInterleavingOfARecovery(t *testing.T) {
	for _, word := range []proto.Owner{{}, serving(7), {Generation: 7, Phase: proto.PhaseFrozen, Swap: 2}} {
		worlds, ends := visit(t, begin(8, 3, word, party{gen: 7, told: true}))
		t.Logf("word %v: %d worlds, ends %v", word, worlds, ends)
		if ends[StageDone] == 0 || ends[StageFailed] == 0 {
			t.Errorf("word %v: ends %v, want some of each", word, ends)
		}
	}
}

// Rows of swaps, at random, each beginning as the one before has ended: what
// was said too late of an earlier swap must not disturb a later one.
func TestRowsOfSwaps(t *testing.T) {
	const rows, swaps = 3000, 12
	done := 0
	for row := range rows {
		r := rand.New(rand.NewPCG(uint64(row), 1))
		old := party{gen: 1, alive: true, role: Serving}
		word := serving(1)
		for n := range uint32(swaps) {
			w := begin(n+2, n+1, word, old)
			var path []string
			for {
				steps := w.steps()
				steps = slices.DeleteFunc(steps, func(s step) bool { return s.free && r.IntN(30) > 0 || s.name == "supervisor dies" })
				if len(steps) == 0 {
					break
				}
				s := steps[r.IntN(len(steps))]
				if w.stage.Over() && s.free {
					break
				}
				// The next swap may begin before all of this one was heard.
				if w.stage.Over() && w.settled() && r.IntN(4) == 0 {
					break
				}
				path = append(path, s.name)
				s.do(&w)
				if what := w.check(); what != "" {
					t.Fatalf("row %d: %s after %q: %+v", row, what, path, w)
				}
			}
			if !w.stage.Over() {
				t.Fatalf("row %d: the swap hangs in %v after %q: %+v", row, w.stage, path, w)
			}
			word, old = w.word, w.survivor()
			if w.stage == StageDone {
				done++
			}
		}
	}
	if done == 0 {
		t.Error("no swap was done: nothing was tested")
	}
	t.Logf("%d of %d swaps done", done, rows*swaps)
}

// settled reports whether a supervisor would begin the next swap: whoever lost
// has ended, or is about to.
func (w *world) settled() bool {
	loser := &w.young
	if w.stage == StageDone {
		return w.young.alive
	}
	return !loser.alive && loser.told
}

// survivor is who is the old worker of the next swap, with what it was told and
// has not heard yet.
func (w *world) survivor() party {
	p := w.old
	if w.stage == StageDone {
		p = w.young
	}
	if w.stage != StageFallen && p.alive && !p.doomed {
		return p
	}
	return party{gen: p.gen, told: true}
}
