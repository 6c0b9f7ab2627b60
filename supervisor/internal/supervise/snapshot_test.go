package supervise

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
)

func TestASnapshotHasWhatItsStateStandsFor(t *testing.T) {
	for _, state := range States {
		for _, has := range []parts{
			{}, {candidate: true}, {serving: true}, {candidate: true, serving: true}, {serving: true, trial: true},
			{trial: true}, {candidate: true, trial: true}, {candidate: true, serving: true, trial: true},
		} {
			for _, good := range []bool{true, false} {
				s := before(state)
				s.Candidate, s.Serving, s.Trial = nil, nil, nil
				if has.candidate {
					s.Candidate = generationOf(candidateGen)
				}
				if has.serving {
					s.Serving = generationOf(goodGen)
				}
				if has.trial {
					s.Trial = new(trialSnapshot)
				}
				if !good {
					s.LastGood = nil
				}
				s.Leaving = nil
				want := has == partsOf(state) && (good || canBeFirst(state))
				if err := parse(t, s); (err == nil) != want {
					t.Errorf("%s with %+v, a good build %v: %v", state, has, good, err)
				}
			}
		}
	}
}

// parse returns what is wrong with s.
func parse(t *testing.T, s snapshot) error {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	_, err = parseSnapshot(string(text))
	return err
}

func TestAForeignSnapshotIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(s *snapshot)
		says   string
	}{
		"another version":       {func(s *snapshot) { s.Version++ }, "it is of version 2, known is 1"},
		"no version":            {func(s *snapshot) { s.Version = 0 }, "it is of version 0"},
		"another state":         {func(s *snapshot) { s.State = "dancing" }, `its state "dancing" is not known`},
		"no state":              {func(s *snapshot) { s.State = "" }, `its state "" is not known`},
		"no plans":              {func(s *snapshot) { s.Plans = nil }, "a plan that is not in it"},
		"plan below":            {func(s *snapshot) { s.Plan = -1 }, "a plan that is not in it"},
		"plan beyond":           {func(s *snapshot) { s.Plan = 1 }, "a plan that is not in it"},
		"a generation's plan":   {func(s *snapshot) { s.Serving.Plan = 1 }, "a plan that is not in it"},
		"a leaving one's plan":  {func(s *snapshot) { s.Leaving[0].Plan = 1 }, "a plan that is not in it"},
		"the good plan":         {func(s *snapshot) { s.LastGood.Plan = 1 }, "a plan that is not in it"},
		"no builds":             {func(s *snapshot) { s.Builds = nil }, "a build that is not in it"},
		"the good build":        {func(s *snapshot) { s.LastGood.Build = 3 }, "a build that is not in it"},
		"the previous build":    {func(s *snapshot) { s.Previous = &pinnedSnapshot{Build: 3} }, "a build that is not in it"},
		"the chosen build":      {func(s *snapshot) { s.Chosen = &pinnedSnapshot{Build: 3} }, "a build that is not in it"},
		"a generation's build":  {func(s *snapshot) { s.Candidate.Build = 3 }, "a build that is not in it"},
		"a leaving one's build": {func(s *snapshot) { s.Leaving[0].Build = 3 }, "a build that is not in it"},
		"twice the good build":  {func(s *snapshot) { s.Previous = &pinnedSnapshot{Build: 0} }, "cannot be"},
		"no good build":         {func(s *snapshot) { s.Previous, s.LastGood = &pinnedSnapshot{Build: 0}, nil }, "cannot be"},
		"generation 0":          {func(s *snapshot) { s.Serving.Number = 0 }, "generation 0 of 3"},
		"generation beyond":     {func(s *snapshot) { s.Generated = 2 }, "generation 3 of 2"},
		"twice the same":        {func(s *snapshot) { s.Serving.Number = candidateGen }, "there twice"},
	} {
		t.Run(name, func(t *testing.T) {
			s := before(Swapping)
			s.Leaving = []generationSnapshot{*generationOf(trialGen)}
			if err := parse(t, s); err != nil {
				t.Fatalf("as it was: %v", err)
			}
			test.change(&s)
			if err := parse(t, s); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
	for _, text := range []string{"", "null", "[]", "{}", `{"version":1}`, `{"version":"1"}`} {
		if _, err := parseSnapshot(text); err == nil {
			t.Errorf("%q was understood", text)
		}
	}
}

// Fields of a later supervisor are ignored.
func TestAnUnknownFieldIsIgnored(t *testing.T) {
	text, err := json.Marshal(before(Running))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseSnapshot(strings.Replace(string(text), "{", `{"colour":"red",`, 1)); err != nil {
		t.Error(err)
	}
}

// Whatever is accepted can be gone on with, and ends. A seed other than 0 changes
// the snapshot in places, so that not all depends on the luck of whoever makes up
// text.
func FuzzSnapshot(f *testing.F) {
	for i, state := range States {
		text, err := json.Marshal(before(state))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), uint64(0), true)
		for seed := range uint64(20) {
			f.Add(string(text), seed+uint64(100*i), false)
		}
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64, taken bool) {
		s, err := parseSnapshot(text)
		if err != nil {
			return
		}
		if seed > 0 {
			scramble(rand.New(rand.NewPCG(seed, 0)), &s)
			changed, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			if s, err = parseSnapshot(string(changed)); err != nil {
				return
			}
			text = string(changed)
		}
		if len(s.Builds) > 100 || len(s.Leaving) > 100 {
			return
		}
		synctest.Test(t, func(t *testing.T) { restoreAnything(t, text, s, taken) })
	})
}

// scramble changes some of s, mostly so that it can still be.
func scramble(r *rand.Rand, s *snapshot) {
	some := func(n int) bool { return r.IntN(n) == 0 }
	s.Failures, s.Restarts, s.Generated = r.IntN(40)-2, r.IntN(5), 3+r.IntN(4)
	for n := range r.IntN(3) {
		s.Leaving = append(s.Leaving, *generationOf(candidateGen + 1 + n))
		s.Leaving[len(s.Leaving)-1].Build = r.IntN(3)
	}
	for _, p := range []**pinnedSnapshot{&s.Previous, &s.Chosen} {
		if some(2) {
			*p = &pinnedSnapshot{Build: r.IntN(3)}
		}
	}
	if s.LastGood != nil {
		s.LastGood.Build = r.IntN(3)
	}
	if s.Trial != nil {
		s.Trial.Until = time.Now().Add(time.Duration(r.Int64()) - time.Hour)
		s.Trial.Unfit = []string{"", "unfit"}[r.IntN(2)]
	}
	for _, g := range s.generations() {
		g.Joined, g.Build, g.Deadline = some(2), r.IntN(4)-1, time.Now().Add(time.Duration(r.Int64())-time.Hour)
		if some(3) {
			g.Formats = nil
		}
		if some(3) {
			g.PID = r.IntN(3) - 1
		}
		if some(3) {
			g.Sealed = "killed on request"
		}
	}
	if len(s.Builds) > 1 && some(3) {
		s.Builds[1].Name = s.Builds[0].Name
	}
}

func restoreAnything(t *testing.T, text string, before snapshot, taken bool) {
	l := &launcher{t: t, manner: good}
	left := map[string]int{}
	for _, b := range before.Builds {
		left[b.Name] = -1
	}
	left["chat/0/state"] = document(t, text)
	if p := (past{snapshot: before}); taken {
		p.word = tookOver
		arena := p.leave(t)
		left["chat/0/arena"] = arena["chat/0/arena"]
		fdstore.New(nil, map[string]int{"state": arena["chat/0/state"]}).Drop()
	}
	plan := Plan{Config: Config{Program: "chat", Bake: time.Second}, Launcher: l}
	in := NewInstance(plan, Parts{
		Book: new(Book), Log: slog.New(slog.DiscardHandler), Store: fdstore.New(nil, left),
		Remake: func(json.RawMessage) (*Plan, error) { again := plan; return &again, nil },
	})
	if !in.Restore() {
		t.Fatal("what was understood was not gone on with")
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		in.Run(ctx)
	}()
	time.Sleep(10 * time.Second)
	stop()
	in.Kill() // a deadline may be in a hundred years
	select {
	case <-ended:
	case <-time.After(time.Hour):
		t.Fatal("it does not end")
	}
	l.checkLeft()
	in.Store.Drop()
}
