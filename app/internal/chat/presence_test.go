package chat

import (
	"fmt"
	"slices"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// crowd is what a client knows of who is there, from the pres lines alone.
func crowd(t *testing.T, lines []*wire.Pres) []string {
	t.Helper()
	names := map[string]string{}
	for _, p := range lines {
		if p.Users != nil {
			clear(names)
		}
		for _, u := range append(p.Users, p.Join...) {
			names[u.ID] = u.Name
		}
		for _, id := range p.Left {
			delete(names, id)
		}
		if len(names) != p.N {
			t.Errorf("%+v leaves %d people, but says %d", p, len(names), p.N)
		}
	}
	var all []string
	for _, n := range names {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

func inLobby() map[string]int64 { return map[string]int64{"lobby": 0} }

func TestPresenceTellsAListThenChanges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory()})
		ann := meet(t, h, "Ann", inLobby())
		defer ann.Close()
		soon(time.Second)
		bob := meet(t, h, "Bob", inLobby())
		soon(time.Second)
		carol := meet(t, h, "Carol", inLobby())
		defer carol.Close()
		soon(time.Second)
		bob.Close()
		soon(10 * time.Second)

		lines := taken[*wire.Pres](ann)
		if got, want := crowd(t, lines), []string{"Ann", "Carol"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if len(lines) != 4 || len(lines[0].Users) != 1 {
			t.Fatalf("got %d lines, the first %+v; want a list and three changes", len(lines), lines[0])
		}
		for _, p := range lines[1:] {
			if p.Users != nil {
				t.Errorf("got a whole list again: %+v", p)
			}
		}
		if got, want := crowd(t, taken[*wire.Pres](carol)), []string{"Ann", "Carol"}; !slices.Equal(got, want) {
			t.Errorf("Carol: got %q, want %q", got, want)
		}
	})
}

func TestReconnectDoesNotFlicker(t *testing.T) {
	for _, tt := range []struct {
		away time.Duration
		want int // changes that Ann is told
	}{
		{4900 * time.Millisecond, 0},
		{6 * time.Second, 2},
	} {
		t.Run(tt.away.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := run(t, Options{Store: NewMemory()})
				ann, bob := meet(t, h, "Ann", inLobby()), meet(t, h, "Bob", inLobby())
				defer ann.Close()
				soon(time.Second)
				taken[*wire.Pres](ann)
				bob.Close()
				soon(tt.away)
				again := meet(t, h, "Bob", inLobby())
				defer again.Close()
				soon(10 * time.Second)
				if got := taken[*wire.Pres](ann); len(got) != tt.want {
					t.Errorf("got %d changes, want %d: %+v", len(got), tt.want, got)
				}
			})
		})
	}
}

func TestSeveralConnectionsCountOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory()})
		ann := meet(t, h, "Ann", inLobby())
		defer ann.Close()
		first, second := meet(t, h, "Bob", inLobby()), meet(t, h, "Bob", inLobby())
		soon(time.Second)
		first.Close()
		soon(10 * time.Second)
		if got, want := crowd(t, taken[*wire.Pres](ann)), []string{"Ann", "Bob"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		second.Close()
		soon(10 * time.Second)
		if got := taken[*wire.Pres](ann); len(got) != 1 || !slices.Equal(got[0].Left, []string{"id-Bob"}) {
			t.Errorf("got %+v, want Bob gone", got)
		}
	})
}

func TestLeavingIsToldAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory()})
		ann, bob := meet(t, h, "Ann", inLobby()), meet(t, h, "Bob", inLobby())
		defer ann.Close()
		defer bob.Close()
		soon(time.Second)
		taken[*wire.Pres](ann)
		bob.Leave("lobby")
		soon(300 * time.Millisecond)
		if got := taken[*wire.Pres](ann); len(got) != 1 || len(got[0].Left) != 1 {
			t.Errorf("got %+v, want Bob gone", got)
		}
	})
}

func TestPresenceIsGathered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory()})
		ann := meet(t, h, "Ann", inLobby())
		defer ann.Close()
		soon(time.Second)
		for i := range 100 {
			s := meet(t, h, fmt.Sprint("guest ", i), inLobby())
			defer s.Close()
			time.Sleep(10 * time.Millisecond)
		}
		soon(time.Second)
		lines := taken[*wire.Pres](ann)
		if got := len(crowd(t, lines)); got != 101 {
			t.Errorf("got %d people, want 101", got)
		}
		if len(lines) > 7 {
			t.Errorf("got %d lines within a second, want about 4", len(lines))
		}
	})
}

func TestNewNameJoinsAgain(t *testing.T) {
	now := time.Now()
	a := newAttendance(time.Second)
	a.enter(User{"1", "Ann"})
	a.settle(now)
	a.enter(User{"1", "Anna"})
	a.exit("1", now)
	join, left := a.settle(now)
	if !slices.Equal(join, []User{{"1", "Anna"}}) || left != nil {
		t.Errorf("got %v and %v, want the new name", join, left)
	}
}

func TestRosterSince(t *testing.T) {
	r := newRoster("lobby")
	for i := range 40 {
		u := User{fmt.Sprint(i), fmt.Sprint("user ", i)}
		r = r.next(append(slices.Clone(r.users), u), []User{u}, nil)
	}
	for _, tt := range []struct {
		version int64
		lines   int
		whole   bool
	}{{0, 1, true}, {1, 1, true}, {24, 16, false}, {23, 1, true}, {39, 1, false}, {40, 0, false}} {
		lines := wire.Lines(r.appendSince(nil, tt.version))
		if len(lines) != tt.lines {
			t.Errorf("since %d: got %d lines, want %d", tt.version, len(lines), tt.lines)
			continue
		}
		if len(lines) == 0 {
			continue
		}
		m, err := wire.ParseServer(lines[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := m.(*wire.Pres).Users != nil; got != tt.whole {
			t.Errorf("since %d: whole list %v, want %v", tt.version, got, tt.whole)
		}
	}
}

func TestNameTaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory()})
		s := meet(t, h, "Zoë", nil)
		for name, want := range map[string]bool{"zoË": true, " Zoë ": true, "Zoe": false} {
			if got := h.NameTaken(name, "id-other"); got != want {
				t.Errorf("NameTaken(%q): got %v, want %v", name, got, want)
			}
		}
		if h.NameTaken("Zoë", "id-Zoë") {
			t.Error("taken by the user itself")
		}
		s.Close()
		if h.NameTaken("Zoë", "id-other") {
			t.Error("taken by somebody who has gone")
		}
	})
}
