package chat

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

func lines(s *screen) (all []string) {
	for _, m := range taken[*wire.Typists](s) {
		all = append(all, fmt.Sprint(m.Users))
	}
	return all
}

func typing(t *testing.T, s *screen) {
	t.Helper()
	if err := s.Typing("lobby"); err != nil {
		t.Fatal(err)
	}
}

func TestTypingIsToldOnceASecond(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory()})
		ann, bob := meet(t, h, "Ann", map[string]int64{"lobby": 0}), meet(t, h, "Bob", map[string]int64{"lobby": 0})
		var crowd []*screen
		for i := range 20 {
			crowd = append(crowd, meet(t, h, fmt.Sprintf("Crowd %02d", i), map[string]int64{"lobby": 0}))
		}
		soon(5 * time.Second)
		for range 12 { // each 250 ms for 3 s
			typing(t, ann)
			typing(t, bob)
			soon(250 * time.Millisecond)
		}
		if got := fmt.Sprint(lines(bob)); got != "[[Ann] [Ann Bob]]" {
			t.Errorf("told %s, want Ann and then both, once", got)
		}
		soon(7 * time.Second)
		if got := fmt.Sprint(lines(ann)); got != "[[Ann] [Ann Bob] []]" {
			t.Errorf("told %s, want nobody at the end", got)
		}
		for _, c := range crowd {
			typing(t, c)
		}
		soon(2 * time.Second)
		if all := taken[*wire.Typists](bob); len(all) != 3 || len(all[2].Users) != wire.MaxTypists {
			t.Errorf("told %+v, want at most %d names", all, wire.MaxTypists)
		}
		if err := ann.Typing("den"); err == nil {
			t.Error("typing in a room that is not open is no mistake")
		}
	})
}

// TestTypingAndReadingAtAPeer: both reach the other worker's members.
func TestTypingAndReadingAtAPeer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := filled(t, 9)
		one, two := pair(t, store)
		ann, desk := meet(t, one, "Ann", map[string]int64{"lobby": 9}), meet(t, two, "Ann", map[string]int64{"lobby": 9})
		soon(5 * time.Second)
		typing(t, ann)
		if err := ann.Read("lobby", 4); err != nil {
			t.Fatal(err)
		}
		soon(2 * time.Second)
		if got := fmt.Sprint(lines(desk)); got != "[[Ann]]" {
			t.Errorf("told %s, want Ann", got)
		}
		for _, seq := range []int64{3, 4, 5} {
			if err := ann.Read("lobby", seq); err != nil {
				t.Fatal(err)
			}
		}
		soon(2 * time.Second)
		reads := taken[*wire.Read](desk)
		if len(reads) == 0 || reads[len(reads)-1].Seq != 5 {
			t.Errorf("told %+v, want 5 at last", reads)
		}
		if got, err := two.Reads(t.Context(), "id-Ann"); got["lobby"] != 5 || err != nil {
			t.Errorf("read is %v, %v, want 5", got, err)
		}
	})
}

// pair are two hubs on a store that hear each other.
func pair(t *testing.T, store Store) (one, two *Hub) {
	t.Helper()
	a, b := &line{}, &line{}
	one, two = run(t, Options{Store: store, Bus: a}), run(t, Options{Store: store, Bus: b})
	a.to, b.to = two, one
	one.Peers(1)
	two.Peers(1)
	return one, two
}

type line struct{ to *Hub }

func (l *line) Publish(data []byte) { l.to.Deliver(data) }

// TestTypingAndReadingMove: a member that moves is told what it was not, and
// nothing twice; markers that are not stored yet go along.
func TestTypingAndReadingMove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := filled(t, 9)
		old := run(t, Options{Store: store})
		ann, desk := meet(t, old, "Ann", map[string]int64{"lobby": 9}), meet(t, old, "Ann", map[string]int64{"lobby": 9})
		bob := meet(t, old, "Bob", map[string]int64{"lobby": 9})
		soon(5 * time.Second)
		typing(t, bob)
		soon(500 * time.Millisecond)
		if got := fmt.Sprint(lines(ann)); got != "[[Bob]]" {
			t.Errorf("told %s, want Bob", got)
		}
		taken[any](desk)
		desk.mu.Lock()
		desk.broken = ErrStill
		desk.mu.Unlock()
		if err := ann.Read("lobby", 6); err != nil {
			t.Fatal(err)
		}
		soon(100 * time.Millisecond)

		fresh := run(t, Options{Store: store})
		fresh.Hold()
		hub, member := throughJSON(t, old.State()), throughJSON(t, desk.State())
		if err := fresh.Load(hub); err != nil {
			t.Fatal(err)
		}
		moved := &screen{t: t, cursors: map[string]int64{"lobby": 9}, texts: map[string][]string{}}
		m, err := fresh.Restore(User{"id-Ann", "Ann"}, moved, member)
		if err != nil {
			t.Fatal(err)
		}
		moved.Member = m
		fresh.Wake()
		soon(100 * time.Millisecond)
		moved.mu.Lock()
		told := append([]any(nil), moved.lines...)
		moved.mu.Unlock()
		if len(told) != 1 || told[0].(*wire.Read).Seq != 6 {
			t.Errorf("told %+v, want read up to 6 alone", told)
		}
		soon(7 * time.Second)
		if got := fmt.Sprint(lines(moved)); got != "[[]]" {
			t.Errorf("told %s, want that nobody types any more", got)
		}
		if stored, err := store.Reads(t.Context(), "id-Ann"); stored["lobby"] != 6 || err != nil {
			t.Errorf("stored is %v, %v, want 6", stored, err)
		}
	})
}

// throughJSON is what arrives of a state, with a field of a later build in it.
func throughJSON[S any](t *testing.T, s S) (arrived S) {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	b = append([]byte(`{"later":{"x":[1]},`), b[1:]...)
	if err := json.Unmarshal(b, &arrived); err != nil {
		t.Fatal(err)
	}
	return arrived
}
