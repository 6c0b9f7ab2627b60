package supervise

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
)

// Generations of the snapshots below, each of the build of its number, and the
// deploys that they have.
const (
	goodGen      = 1 // of the last good build
	trialGen     = 2 // on trial
	candidateGen = 3

	ofCandidate = "deploy of the candidate"
	ofTrial     = "deploy on trial"
)

// before is what a supervisor before leaves in a state.
func before(state State) snapshot {
	has := partsOf(state)
	s := snapshot{
		Version: snapshotVersion, State: state.String(), Generated: candidateGen, Swaps: 7, Restarts: 2, LastExit: "exit status 9",
		Plans: []json.RawMessage{json.RawMessage(`"plan"`)}, LastGood: &pinnedSnapshot{Build: 0},
	}
	for i := range candidateGen {
		number := fmt.Sprint(i + 1)
		s.Builds = append(s.Builds, buildSnapshot{Name: "chat/0/build/" + number, About: control.Build{Path: "/srv/app", SHA256: number}})
	}
	if has.serving {
		s.Serving = generationOf(goodGen)
	}
	if has.trial {
		s.Serving = generationOf(trialGen)
		s.Trial = &trialSnapshot{Deploy: ofTrial, Until: time.Now().Add(10 * time.Second)}
	}
	if state == Returning || state == Ailing {
		s.Trial.Unfit = "unhealthy: 3 checks in a row failed"
	}
	if has.candidate {
		s.Candidate = generationOf(candidateGen)
		s.Candidate.Served = time.Time{}
		switch state {
		case Restarting, Returning:
			s.Candidate.Build = 0
		case Queued:
			s.Candidate.Build = 0
			s.Deploy = ofCandidate // it waits
		default:
			s.Deploy = ofCandidate
		}
	}
	if state == Stopping {
		leaving := generationOf(goodGen)
		leaving.Deadline = time.Now().Add(10 * time.Second)
		s.Leaving = []generationSnapshot{*leaving}
	}
	return s
}

func generationOf(number int) *generationSnapshot {
	return &generationSnapshot{
		Number: number, Build: number - 1, About: control.Build{Path: "/srv/app", SHA256: fmt.Sprint(number), Commit: "abc"},
		PID: 1000 + number, Joined: true, Formats: proto.Formats{"app": {1}}, Files: 1024,
		Started: time.Now().Add(-2 * time.Minute), Served: time.Now().Add(-time.Minute),
	}
}

// past is what a supervisor before has left.
type past struct {
	snapshot snapshot
	word     proto.Owner // who owns the connections
	lost     []int       // generations whose handles are not whole

	lostBuilds []string // names
}

// tookOver is the ownership word of a candidate that has taken over.
var tookOver = proto.Owner{Generation: candidateGen, Phase: proto.PhaseServing}

// own writes the ownership word of an arena.
func own(t *testing.T, arena int, word proto.Owner) {
	t.Helper()
	a, err := proto.MapArena(arena)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if !a.Claim(a.Owner(), word) {
		t.Fatal("the arena is somebody's")
	}
}

// document is a descriptor of a document that holds text.
func document(t testing.TB, text string) int {
	t.Helper()
	d, err := fdstore.NewDocument("test")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Write(text); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(uintptr(d.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// leave is what the store of the next supervisor has of p.
func (p past) leave(t *testing.T) map[string]int {
	t.Helper()
	text, err := json.Marshal(p.snapshot)
	if err != nil {
		t.Fatal(err)
	}
	arena, err := proto.MakeArena(100)
	if err != nil {
		t.Fatal(err)
	}
	own(t, arena, p.word)
	left := map[string]int{"chat/0/state": document(t, string(text)), "chat/0/arena": arena}
	for _, b := range p.snapshot.Builds {
		if !slices.Contains(p.lostBuilds, b.Name) {
			left[b.Name] = -1 // the launcher's builds are not files
		}
	}
	return left
}

// book has the deploys that are under way.
func (p past) enter(b *Book) {
	var entries []Entry
	for _, id := range p.deploys() {
		entries = append(entries, Entry{Deploy: control.Deploy{ID: id, Program: "chat", Verdict: control.Pending, At: time.Now()}})
	}
	b.Restore(entries)
}

func (p past) deploys() (ids []string) {
	if p.snapshot.Deploy != "" {
		ids = append(ids, p.snapshot.Deploy)
	}
	if p.snapshot.Trial != nil {
		ids = append(ids, p.snapshot.Trial.Deploy)
	}
	return ids
}

// replay goes on with what before returns. Between Restore and the loop it calls
// meanwhile, if there is any.
func replay(t *testing.T, before func() past, meanwhile, scene func(s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := before()
		s := newStage(t)
		s.lost = map[int]bool{}
		for _, gen := range p.lost {
			s.lost[gen] = true
		}
		p.enter(s.book)
		plan := Plan{Config: Config{Program: "chat", Bake: 30 * time.Second}, Launcher: s.launcher, Text: json.RawMessage(`"plan"`)}
		s.in = NewInstance(plan, Parts{
			Book: s.book, Log: slog.New(slog.DiscardHandler), Store: fdstore.New(nil, p.leave(t)),
			Remake: func(json.RawMessage) (*Plan, error) { again := plan; return &again, nil },
		})
		if !s.in.Restore() {
			t.Fatal("there was nothing to go on with")
		}
		if meanwhile != nil {
			meanwhile(s)
		}
		s.perform(func(s *stage) {
			if left, err := s.in.Store.Drop(); len(left) > 0 || err != nil {
				t.Errorf("left in the store: %q, %v", left, err)
			}
			scene(s)
		})
		if left := s.in.Store.All(); len(left) > 0 {
			t.Errorf("left in the store at the end: %v", left)
		}
	})
}

// becomes is what a state comes to: at once, and after a minute.
type becomes struct {
	state     State
	gen       int
	later     State
	laterGen  int
	candidate control.Verdict // of its deploy, "" if it has none
	trial     control.Verdict // of the deploy on trial
}

func (o becomes) check(s *stage) {
	s.Helper()
	s.tells(o.state, o.gen)
	pass(time.Minute)
	s.tells(o.later, o.laterGen)
	for id, want := range map[string]control.Verdict{ofCandidate: o.candidate, ofTrial: o.trial} {
		if want != "" {
			s.verdict(id, want)
		}
		if d := s.book.Deploys(); want == "" && slices.ContainsFunc(d, func(d control.Deploy) bool { return d.ID == id }) {
			s.Errorf("nothing is expected of the %s", id)
		}
	}
}

// tells checks the state as operators are told it.
func (s *stage) tells(state State, gen int) {
	s.Helper()
	if got := s.status(); got.State != stateTold(state) || got.Gen != gen {
		s.Fatalf("generation %d, %s; want generation %d, %s", got.Gen, got.State, gen, stateTold(state))
	}
}

const (
	accepted = control.Accepted
	rejected = control.Rejected
	returned = control.Returned
)

// A candidate that had not taken over is given up, whether it lives, was not
// started yet, or cannot be reached.
var givenUp = map[State]becomes{
	Stopped:    {Stopped, 0, Stopped, 0, "", ""},
	Starting:   {Running, 4, Running, 4, rejected, ""},
	Restarting: {Running, 4, Running, 4, "", ""},
	Queued:     {Baking, 4, Running, 4, accepted, ""}, // the deploy begins now
	Running:    {Running, 1, Running, 1, "", ""},
	Baking:     {Baking, 2, Running, 2, "", accepted},
	Swapping:   {Running, 1, Running, 1, rejected, ""},
	Replacing:  {Baking, 2, Running, 2, rejected, accepted},
	Returning:  {Running, 4, Running, 4, "", returned},
	Ailing:     {Running, 4, Running, 4, "", returned},
	Backoff:    {Running, 4, Running, 4, "", ""},
	Stopping:   {Stopping, 0, Stopped, 0, "", ""},
}

func TestEveryStateGoesOn(t *testing.T) {
	for _, state := range States {
		t.Run(state.String(), func(t *testing.T) {
			replay(t, func() past { return past{snapshot: before(state)} }, nil, func(s *stage) {
				if got := s.status(); got.Restarts < 2 {
					s.Errorf("%d restarts, want those of before counted", got.Restarts)
				}
				givenUp[state].check(s)
				has := partsOf(state)
				if !has.candidate {
					return
				}
				if got := s.worker(candidateGen).signalled(); !slices.Equal(got, []syscall.Signal{syscall.SIGKILL}) {
					s.Errorf("the candidate got %v, want SIGKILL", got)
				}
				if id := before(state).Deploy; givenUp[state].candidate == rejected {
					s.verdict(id, rejected, interrupted)
				}
			})
		})
	}
}

// whoServed is the generation that serves in a state.
func whoServed(s State) int {
	if partsOf(s).trial {
		return trialGen
	}
	return goodGen
}

// Who serves tells again what it keeps, and goes on in case that it stood still.
func TestWhoServesIsAskedAndResumed(t *testing.T) {
	for _, state := range States {
		if !partsOf(state).serving {
			continue
		}
		t.Run(state.String(), func(t *testing.T) {
			replay(t, func() past { return past{snapshot: before(state)} }, nil, func(s *stage) {
				g := s.worker(whoServed(state))
				if n := heard[proto.Rekeep](g); n != 1 {
					s.Errorf("it was asked %d times", n)
				}
				resumes := g.received(proto.KindResume)
				if want := partsOf(state).candidate; len(resumes) > 0 != want || want && resumes[0] != proto.Message(proto.Resume{Swap: 7}) {
					s.Errorf("it was told %v", resumes)
				}
			})
		})
	}
}

func TestACandidateThatWasNotStartedOrIsLostIsGivenUp(t *testing.T) {
	for _, state := range States {
		if !partsOf(state).candidate {
			continue
		}
		for name, change := range map[string]func(*past){
			"not started": func(p *past) { p.snapshot.Candidate.PID = 0 },
			"not pinned":  func(p *past) { p.snapshot.Candidate.PID, p.snapshot.Candidate.Build = 0, -1 },
			"lost":        func(p *past) { p.lost = []int{candidateGen} },
		} {
			t.Run(state.String()+" "+name, func(t *testing.T) {
				replay(t, func() past {
					p := past{snapshot: before(state)}
					change(&p)
					return p
				}, nil, givenUp[state].check)
			})
		}
	}
}

// A candidate that owns the connections serves.
func TestACandidateThatTookOverServes(t *testing.T) {
	for state, want := range map[State]becomes{
		Starting:   {Baking, 3, Running, 3, accepted, ""},
		Restarting: {Running, 3, Running, 3, "", ""},
		Queued:     {Baking, 4, Running, 4, accepted, ""},
		Swapping:   {Baking, 3, Running, 3, accepted, ""},
		Replacing:  {Baking, 3, Running, 3, accepted, accepted},
		Returning:  {Running, 3, Running, 3, "", returned},
	} {
		t.Run(state.String(), func(t *testing.T) {
			replay(t, func() past { return past{snapshot: before(state), word: tookOver} }, nil, func(s *stage) {
				want.check(s)
				if n := heard[proto.Rekeep](s.worker(candidateGen)); n != 1 {
					s.Errorf("it was asked %d times what it keeps", n)
				}
				if !partsOf(state).serving {
					return
				}
				old := s.worker(whoServed(state))
				if heard[proto.Release](old) != 1 || heard[proto.Drain](old) != 1 || heard[proto.Resume](old) > 0 || len(old.signalled()) > 0 {
					s.Errorf("the one before got %v, %v", old.got, old.signalled())
				}
			})
		})
	}
}

// A candidate that took over and cannot serve is followed by the last good build:
// the one before it has nothing any more.
func TestACandidateThatTookOverAndFell(t *testing.T) {
	fallen := map[State]becomes{
		Starting:   {Running, 4, Running, 4, returned, ""},
		Restarting: {Running, 4, Running, 4, "", ""},
		Queued:     {Baking, 4, Running, 4, accepted, ""},
		Swapping:   {Running, 4, Running, 4, returned, ""},
		Replacing:  {Running, 4, Running, 4, returned, accepted},
		Returning:  {Running, 4, Running, 4, "", returned},
	}
	for state, want := range fallen {
		t.Run(state.String()+" while it was killed", func(t *testing.T) {
			replay(t, func() past { return past{snapshot: before(state)} },
				func(s *stage) { own(t, s.in.keep.Arena(), tookOver) }, want.check)
		})
		t.Run(state.String()+" and is lost", func(t *testing.T) {
			replay(t, func() past { return past{snapshot: before(state), word: tookOver, lost: []int{candidateGen}} }, nil, want.check)
		})
	}
}

// A serving worker that cannot be reached counts as crashed.
func TestAServingWorkerThatIsLost(t *testing.T) {
	for state, want := range map[State]becomes{
		Running:   {Running, 4, Running, 4, "", ""},
		Baking:    {Running, 4, Running, 4, "", returned},
		Ailing:    {Running, 4, Running, 4, "", returned},
		Swapping:  {Running, 4, Running, 4, rejected, ""},
		Replacing: {Running, 4, Running, 4, rejected, returned},
		Returning: {Running, 4, Running, 4, "", returned},
	} {
		t.Run(state.String(), func(t *testing.T) {
			replay(t, func() past { return past{snapshot: before(state), lost: []int{whoServed(state)}} }, nil, func(s *stage) {
				want.check(s)
				if got := s.status().LastExit; state == Running && !strings.Contains(got, lostHold) {
					s.Errorf("last exit %q", got)
				}
			})
		})
	}
}

// A crash restart of what was taken over starts the same build.
func TestTheLastGoodBuildIsStillPinned(t *testing.T) {
	replay(t, func() past { return past{snapshot: before(Running)} }, nil, func(s *stage) {
		s.crash(goodGen)
		s.expect(Running, 4)
		if n := s.worker(4).build.number; n != 1 {
			s.Errorf("build %d was started, want 1", n)
		}
		if s.pinned() != 3 {
			s.Errorf("%d builds, want those of before only", s.pinned())
		}
		id := s.reload()
		pass(time.Minute)
		s.verdict(id, accepted)
	})
}

// Without the pinned build what is there by now is started, and a supervisor
// after this one can go on all the same.
func TestALostBuildIsPinnedAnew(t *testing.T) {
	replay(t, func() past {
		p := past{snapshot: before(Running)}
		p.snapshot.Previous = &pinnedSnapshot{Build: 1}
		p.lostBuilds = []string{"chat/0/build/1", "chat/0/build/2"}
		return p
	}, nil, func(s *stage) {
		s.crash(goodGen)
		s.expect(Running, 4)
		id, err := s.in.Rollback()
		if err != nil {
			s.Fatal(err)
		}
		synctest.Wait()
		s.verdict(id, rejected, ErrNoPrevious.Error())
		for range 2 {
			id := s.reload()
			pass(time.Minute)
			s.verdict(id, accepted)
		}
		if id, err = s.in.Rollback(); err != nil {
			s.Fatal(err)
		}
		pass(time.Minute)
		s.verdict(id, accepted)
	})
}

// A rollback that waits for a restart goes on with the build that it chose.
func TestAChosenBuildIsStillStarted(t *testing.T) {
	replay(t, func() past {
		p := past{snapshot: before(Queued)}
		p.snapshot.Chosen = &pinnedSnapshot{Build: 1}
		return p
	}, nil, func(s *stage) {
		s.tells(Baking, 4)
		if n := s.worker(4).build.number; n != 2 {
			s.Errorf("build %d was started, want 2", n)
		}
		pass(time.Minute)
		s.verdict(ofCandidate, accepted)
	})
	play(t, func(s *stage) {
		s.reload()
		s.next(manner{behave: (*process).join})
		s.crash(2)
		if _, err := s.in.Rollback(); err != nil {
			s.Fatal(err)
		}
		synctest.Wait()
		got, err := parseSnapshot(s.written())
		if err != nil || got.State != Queued.String() || got.Chosen == nil || got.Builds[got.Chosen.Build].About.SHA256 != "1" {
			s.Errorf("it is written %s, %v", s.written(), err)
		}
		s.next(good)
	})
}

// What was on its way out is: at its deadline, or now if it was to be killed.
func TestWhatWasLeavingLeaves(t *testing.T) {
	replay(t, func() past {
		p := past{snapshot: before(Running), lost: []int{5}}
		p.snapshot.Generated = 6
		for number := 2; number <= 5; number++ {
			g := *generationOf(number)
			g.Build = 1
			g.Deadline = time.Now().Add(time.Duration(number) * 5 * time.Second)
			p.snapshot.Leaving = append(p.snapshot.Leaving, g)
		}
		p.snapshot.Leaving[1].Sealed = "killed on request"
		p.snapshot.Leaving[2].Deadline = time.Now().Add(-time.Second)
		return p
	}, nil, func(s *stage) {
		if d := s.status().Draining; len(d) != 1 || d[0].Gen != 2 || time.Until(d[0].Deadline) != 10*time.Second {
			s.Errorf("draining %+v", d)
		}
		pass(9 * time.Second)
		if got := s.worker(2).signalled(); len(got) > 0 {
			s.Errorf("it got %v before its deadline", got)
		}
		pass(2 * time.Second)
		for _, number := range []int{2, 3, 4} {
			if got := s.worker(number).signalled(); !slices.Equal(got, []syscall.Signal{syscall.SIGKILL}) {
				s.Errorf("generation %d got %v, want SIGKILL", number, got)
			}
		}
		if d := s.status().Draining; len(d) > 0 {
			s.Errorf("draining %+v", d)
		}
	})
}

// A serving worker that was being ended is.
func TestASealedWorkerIsEnded(t *testing.T) {
	replay(t, func() past {
		p := past{snapshot: before(Running)}
		p.snapshot.Serving.Sealed = "hung: no answer to 10 pings"
		return p
	}, nil, func(s *stage) {
		s.expect(Running, 4)
		if got := s.status().LastExit; !strings.HasPrefix(got, "hung: no answer") {
			s.Errorf("last exit %q", got)
		}
	})
}

// What was written is what is restored.
func TestASnapshotIsRestoredAsItWas(t *testing.T) {
	for _, state := range []State{Stopped, Running, Baking} {
		t.Run(state.String(), func(t *testing.T) {
			replay(t, func() past {
				p := past{snapshot: before(state)}
				p.snapshot.Builds = p.snapshot.Builds[:2]
				p.snapshot.Previous, p.snapshot.Failures = &pinnedSnapshot{Build: 1}, 3
				return p
			}, nil, func(s *stage) {
				want := before(state)
				want.Builds, want.Previous, want.Failures = want.Builds[:2], &pinnedSnapshot{Build: 1}, 3
				text, err := json.Marshal(want)
				if err != nil {
					s.Fatal(err)
				}
				if got := s.written(); got != string(text) {
					s.Errorf("written is\n%s\nwant\n%s", got, text)
				}
			})
		})
	}
}

// What cannot be gone on with is forgotten, and the instance begins anew.
func TestWhatCannotBeRestored(t *testing.T) {
	text := func(s snapshot) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for name, test := range map[string]struct {
		text   string
		remake error
	}{
		"ended":          {text: ""},
		"no snapshot":    {text: "{"},
		"another":        {text: text(snapshot{Version: snapshotVersion + 1})},
		"plan not known": {text: text(before(Running)), remake: errDisk},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.in = NewInstance(Plan{Config: Config{Program: "chat"}, Launcher: s.launcher}, Parts{
					Book: s.book, Log: slog.New(slog.DiscardHandler),
					Store:  fdstore.New(nil, map[string]int{"chat/0/state": document(t, test.text), "chat/0/3/pidfd": -1}),
					Remake: func(json.RawMessage) (*Plan, error) { return nil, test.remake },
				})
				if s.in.Restore() {
					t.Fatal("it was restored")
				}
				if left := s.in.Store.Left(""); !slices.Equal(left, []string{"chat/0/3/pidfd"}) || len(s.in.Store.All()) > 0 {
					t.Errorf("left %q, registered %v", left, s.in.Store.All())
				}
				s.perform(func(s *stage) { s.expect(Running, 1) })
			})
		})
	}
	in := NewInstance(Plan{}, Parts{Log: slog.New(slog.DiscardHandler)})
	if in.Restore() {
		t.Error("nothing was restored")
	}
}

func TestTheKeysOfASupervisorBefore(t *testing.T) {
	text, err := json.Marshal(before(Running))
	if err != nil {
		t.Fatal(err)
	}
	s := fdstore.New(nil, map[string]int{
		"chat/0/state": document(t, string(text)), "chat/1/state": -1, "mail/0/state": document(t, ""), "mail/0/arena": -1, "listener/x/y": -1,
	})
	defer s.Drop()
	if got := Keys(s); !slices.Equal(got, []string{"chat", "mail"}) {
		t.Errorf("programs %q", got)
	}
	if got, err := PlansBefore(s, "chat"); err != nil || string(got[0]) != `"plan"` {
		t.Errorf("chosen: %s, %v", got, err)
	}
	for program, says := range map[string]string{"mail": "it had ended", "none": "no document"} {
		if _, err := PlansBefore(s, program); err == nil || !strings.Contains(err.Error(), "state of "+program+": "+says) {
			t.Errorf("%s: %v", program, err)
		}
	}
	if got := slices.Collect(maps.Keys(s.All())); len(got) > 0 {
		t.Errorf("taken: %q", got)
	}
}
