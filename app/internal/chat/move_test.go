package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// passage is the way to a screen through one of the processes that have its
// connection one after the other.
type passage struct {
	screen *screen

	mu    sync.Mutex
	moved bool
	still bool
	sends int
}

func (p *passage) Send(lines []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sends++
	switch {
	case p.moved:
		return errGone
	case p.still:
		return fmt.Errorf("outlet: %w", ErrStill)
	}
	return p.screen.Send(lines)
}

func (p *passage) Await() { p.screen.Await() }

func (p *passage) set(still, moved bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.still, p.moved = still, moved
}

// traveller is somebody whose connection moves.
type traveller struct {
	*screen
	passage *passage
	user    User
}

func travel(t *testing.T, h *Hub, name string, cursors map[string]int64) *traveller {
	t.Helper()
	v := &traveller{screen: &screen{t: t, cursors: map[string]int64{}, texts: map[string][]string{}}, user: User{"id-" + name, name}}
	v.passage = &passage{screen: v.screen}
	v.Member = h.Connect(v.user, v.passage)
	if err := v.Open("", believed(cursors)); err != nil {
		t.Fatal(err)
	}
	return v
}

// through is v as another build reads it: it knows fields that we do not.
func through[T any](t *testing.T, v T) (out T) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	b = []byte(strings.Replace(string(b), "{", `{"later":[1],`, 1))
	b = []byte(strings.Replace(string(b), `,}`, `}`, 1))
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return out
}

// freeze lets travellers stand still, and returns their states and the hub's.
func freeze(t *testing.T, old *Hub, all []*traveller) ([]MemberState, HubState) {
	var states []MemberState
	for _, v := range all {
		v.passage.set(true, false)
		states = append(states, through(t, v.State()))
	}
	return states, through(t, old.State())
}

// restore makes a traveller a member of h, where it still stands still, and
// ends it in the hub that it came from.
func (v *traveller) restore(h *Hub, s MemberState) {
	before, was := v.passage, v.Member
	v.passage = &passage{screen: v.screen, still: true}
	m, err := h.Restore(v.user, v.passage, s)
	if err != nil {
		v.t.Fatal(err)
	}
	v.Member = m
	before.set(false, true)
	was.Close()
}

// move moves travellers to another hub.
func move(t *testing.T, old, next *Hub, all ...*traveller) {
	t.Helper()
	next.Hold()
	next.Warm([]string{"lobby"})
	states, hub := freeze(t, old, all)
	if err := next.Load(hub); err != nil {
		t.Fatal(err)
	}
	for i, v := range all {
		v.restore(next, states[i])
	}
	for _, v := range all {
		v.passage.set(false, false)
	}
	next.Wake()
}

// heard returns what a screen was told, and forgets it.
func (s *screen) heard() []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.lines
	s.lines = nil
	return all
}

func TestWhoStandsStillLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory()})
		v := travel(t, h, "Ann", inLobby())
		defer v.Close()
		other := meet(t, h, "Bob", inLobby())
		defer other.Close()
		soon(time.Second)
		v.passage.set(true, false)
		v.passage.sends = 0
		for i := range 600 { // far past the tail
			other.post("lobby", fmt.Sprint("n", i), fmt.Sprint(i))
		}
		soon(10 * time.Second)
		if got := len(v.told()); got != 0 {
			t.Errorf("it was told %d events while it stood still", got)
		}
		if v.passage.sends > 700 {
			t.Errorf("it was tried %d times in ten seconds", v.passage.sends)
		}
		v.passage.set(false, false)
		h.Wake()
		soon(time.Millisecond)
		if got := len(v.told()); got != 600 || v.resets > 0 {
			t.Errorf("got %d events and %d resets, want all 600", got, v.resets)
		}
	})
}

// A Wake in the moment in which a client turned out to stand still counts.
func TestNoWakeIsMissed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory(), PresenceEvery: time.Hour})
		out := &sleepyOutlet{asked: make(chan struct{}), answer: make(chan error)}
		m := h.Connect(User{"a", "Ann"}, out)
		defer m.Close()
		m.Join("lobby", Cursor{})
		<-out.asked
		h.Wake()
		out.answer <- ErrStill
		select {
		case <-out.asked:
			out.answer <- nil
		case <-time.After(time.Minute):
			t.Error("told nothing after the wake")
		}
	})
}

type sleepyOutlet struct {
	asked  chan struct{}
	answer chan error
}

func (o *sleepyOutlet) Send([]byte) error {
	o.asked <- struct{}{}
	return <-o.answer
}

func (o *sleepyOutlet) Await() {}

// A store that hangs holds up neither a leave nor a move.
func TestAHungReadHoldsUpNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := &hung{Memory: filled(t, 5), entered: make(chan struct{}), leave: make(chan struct{})}
		h := run(t, Options{Store: store})
		v := travel(t, h, "Ann", map[string]int64{"lobby": 99}) // beyond the head: the store is asked
		defer v.Close()
		<-store.entered
		began := time.Now()
		v.State()
		if err := v.Leave("lobby"); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("waited %v for the store", took)
		}
		close(store.leave)
		soon(time.Second)
		if got := v.heard(); len(got) > 0 {
			t.Errorf("of a room that was left it was told %+v", got[0])
		}
	})
}

// hung is a store whose Head waits.
type hung struct {
	*Memory
	once           sync.Once
	entered, leave chan struct{}
}

func (s *hung) Head(ctx context.Context, room string) (int64, error) {
	s.once.Do(func() { close(s.entered) })
	<-s.leave
	return s.Memory.Head(ctx, room)
}

// Nobody notices a move: neither who moves nor who is waited for, nor who was
// told of by a peer.
func TestNobodyNoticesAMove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := filled(t, 20)
		old, next := run(t, Options{Store: store}), run(t, Options{Store: store})
		ann, bob := travel(t, old, "Ann", inLobby()), travel(t, old, "Bob", inLobby())
		gone := meet(t, old, "Gone", inLobby())
		soon(time.Second)
		gone.Close()
		soon(2 * time.Second)
		old.Deliver([]byte(`{"here":{"lobby":[{"id":"id-Peer","name":"Peer"}]}}`))
		soon(time.Second)
		ann.heard()
		bob.heard()

		move(t, old, next, ann, bob)
		soon(1500 * time.Millisecond) // Gone's grace is not over
		back := meet(t, next, "Gone", inLobby())
		defer back.Close()
		next.Deliver([]byte(`{"here":{"lobby":[{"id":"id-Peer","name":"Peer"}]}}`))
		soon(3 * time.Second)
		for _, v := range []*traveller{ann, bob} {
			if got := v.heard(); len(got) > 0 {
				t.Errorf("%s was told %d lines, the first %+v", v.user.Name, len(got), got[0])
			}
		}
		if got, want := crowd(t, taken[*wire.Pres](back)), []string{"Ann", "Bob", "Gone", "Peer"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		soon(5 * time.Second)
		ann.Close()
		soon(10 * time.Second)
		if got := taken[*wire.Pres](bob.screen); len(got) != 2 {
			t.Errorf("got %+v, want the peer's and Ann's leaving", got)
		}
		bob.Close()
	})
}

// Who is gone stays missed for what is left of their grace, and no longer.
func TestAGraceGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := NewMemory()
		old, next := run(t, Options{Store: store}), run(t, Options{Store: store})
		ann := travel(t, old, "Ann", inLobby())
		gone := meet(t, old, "Gone", inLobby())
		soon(time.Second)
		gone.Close()
		soon(4 * time.Second)
		ann.heard()
		move(t, old, next, ann)
		defer ann.Close()
		soon(500 * time.Millisecond)
		if got := ann.heard(); len(got) > 0 {
			t.Errorf("told too early: %+v", got[0])
		}
		soon(time.Second)
		if got := taken[*wire.Pres](ann.screen); len(got) != 1 || !slices.Equal(got[0].Left, []string{"id-Gone"}) {
			t.Errorf("got %+v, want one line that Gone left", got)
		}
	})
}

// Each phase of a seat travels, and what was on its way when the client stood
// still comes afterwards.
func TestWhatWasOnItsWayComesAfterTheMove(t *testing.T) {
	for _, cursor := range []int64{0, 7, 20, -1, 25} {
		t.Run(fmt.Sprint(cursor), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				store := filled(t, 20)
				old, next := run(t, Options{Store: store}), run(t, Options{Store: store})
				v := &traveller{screen: &screen{t: t, cursors: map[string]int64{"lobby": cursor}, texts: map[string][]string{}}, user: User{"id-Ann", "Ann"}}
				v.passage = &passage{screen: v.screen, still: true}
				v.Member = old.Connect(v.user, v.passage)
				v.Join("lobby", Cursor{Seq: cursor})
				soon(time.Second)
				move(t, old, next, v)
				defer v.Close()
				soon(time.Second)
				if got := len(taken[*wire.Live](v.screen)); got != 1 || v.cursor("lobby") != 20 {
					t.Errorf("got %d lives and events up to %d, want one and 20", got, v.cursor("lobby"))
				}
			})
		})
	}
}

// A presence change that only some have been told is told to the others, and
// not the whole list.
func TestHalfToldPresence(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := NewMemory()
		old, next := run(t, Options{Store: store}), run(t, Options{Store: store})
		ann, bob := travel(t, old, "Ann", inLobby()), travel(t, old, "Bob", inLobby())
		soon(time.Second)
		bob.passage.set(true, false)
		carol := travel(t, old, "Carol", inLobby())
		soon(time.Second)
		ann.heard()
		bob.heard()
		move(t, old, next, ann, bob, carol)
		soon(time.Second)
		if got := ann.heard(); len(got) > 0 {
			t.Errorf("Ann was told again: %+v", got[0])
		}
		if got := taken[*wire.Pres](bob.screen); len(got) != 1 || len(got[0].Join) != 1 || got[0].Users != nil {
			t.Errorf("got %+v, want that Carol came", got)
		}
		for _, v := range []*traveller{ann, bob, carol} {
			v.Close()
		}
	})
}

// bell is a bus that notes who was told to be here.
type bell struct {
	mu   sync.Mutex
	here int
}

func (b *bell) Publish(data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if strings.Contains(string(data), "here") {
		b.here++
	}
}

// A straggler in the old process sees nobody go, and follows unnoticed.
func TestAStragglerFollows(t *testing.T) {
	for _, away := range []time.Duration{time.Second, 4 * time.Second, time.Minute} {
		t.Run(away.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				store, bus := NewMemory(), &bell{}
				old, next := run(t, Options{Store: store, Bus: bus}), run(t, Options{Store: store})
				old.Peers(1)
				ann, late := travel(t, old, "Ann", inLobby()), travel(t, old, "Late", inLobby())
				soon(time.Second)
				move(t, old, next, ann)
				defer ann.Close()
				late.Join("den", Cursor{}) // a handler was under way
				ann.heard()
				late.heard()
				soon(away)
				for _, l := range late.heard() {
					if p, ok := l.(*wire.Pres); ok {
						t.Errorf("the straggler was told %+v", p)
					}
				}
				late.passage.set(true, false)
				late.restore(next, through(t, late.State()))
				late.passage.set(false, false)
				next.Wake()
				defer late.Close()
				soon(2 * time.Second)
				told := taken[*wire.Pres](late.screen)
				if got := crowdIn(t, told, "den"); !slices.Equal(got, []string{"Late"}) {
					t.Errorf("in the room it opened it sees %q", got)
				}
				lines := len(ann.heard())
				if away < 5*time.Second && lines > 0 {
					t.Errorf("%d lines tell of a straggler that came in time", lines)
				}
				if got, want := next.people("lobby"), []string{"Ann", "Late"}; !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		})
	}
}

// A straggler whose room was forgotten meanwhile is told anew who is there.
func TestAStragglerOfAForgottenRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := NewMemory()
		old, next := run(t, Options{Store: store}), run(t, Options{Store: store})
		late, gone := travel(t, old, "Late", inLobby()), travel(t, old, "Gone", inLobby())
		soon(time.Second)
		move(t, old, next)
		gone.Close()
		soon(time.Minute)
		if _, there := next.known("lobby"); there {
			t.Error("the room is not forgotten")
		}
		late.passage.set(true, false)
		late.restore(next, late.State())
		late.passage.set(false, false)
		next.Wake()
		defer late.Close()
		soon(time.Second)
		if got := crowd(t, taken[*wire.Pres](late.screen)); !slices.Equal(got, []string{"Late"}) {
			t.Errorf("it sees %q", got)
		}
	})
}

// A straggler that opens a room in which it is already by another connection
// is told who is there.
func TestASecondConnectionFollows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := NewMemory()
		old, next := run(t, Options{Store: store}), run(t, Options{Store: store})
		first, late := travel(t, old, "Ann", inLobby()), travel(t, old, "Ann", nil)
		soon(time.Second)
		move(t, old, next, first)
		defer first.Close()
		late.Join("lobby", Cursor{})
		soon(time.Second)
		late.passage.set(true, false)
		late.restore(next, late.State())
		late.passage.set(false, false)
		next.Wake()
		defer late.Close()
		soon(time.Second)
		if got := crowd(t, taken[*wire.Pres](late.screen)); !slices.Equal(got, []string{"Ann"}) {
			t.Errorf("it sees %q", got)
		}
	})
}

// What was stored between the two hubs' days, without a doorbell, is told.
func TestAPostInBetween(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := NewMemory()
		old, next := run(t, Options{Store: store}), run(t, Options{Store: store})
		ann := travel(t, old, "Ann", inLobby())
		soon(time.Second)
		next.Hold()
		next.Warm([]string{"lobby"})
		soon(time.Second) // a hub that is held forgets no room
		if r, ok := next.known("lobby"); !ok || r.tail.Load() == nil {
			t.Fatal("the room is not warm")
		}
		states, hub := freeze(t, old, []*traveller{ann})
		next.Load(hub)
		ann.restore(next, states[0])
		defer ann.Close()
		soon(10 * time.Millisecond)
		store.Append(t.Context(), []Draft{draft(1)})
		ann.passage.set(false, false)
		next.Wake()
		soon(10 * time.Millisecond)
		if got := ann.told(); len(got) != 1 {
			t.Errorf("got %q, want what was stored", got)
		}
	})
}

func crowdIn(t *testing.T, all []*wire.Pres, room string) []string {
	return crowd(t, slices.DeleteFunc(slices.Clone(all), func(p *wire.Pres) bool { return p.Room != room }))
}

// people returns the names in a room.
func (h *Hub) people(room string) (names []string) {
	r, ok := h.known(room)
	if !ok {
		return nil
	}
	for _, u := range r.roster.Load().users {
		names = append(names, u.Name)
	}
	return names
}

// A swap that is taken back leaves no trace.
func TestAMoveTakenBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := NewMemory()
		old, next := run(t, Options{Store: store}), run(t, Options{Store: store})
		ann, bob := travel(t, old, "Ann", inLobby()), meet(t, old, "Bob", inLobby())
		soon(time.Second)
		ann.heard()
		next.Hold()
		states, hub := freeze(t, old, []*traveller{ann})
		next.Load(hub)
		p := &passage{screen: ann.screen, still: true}
		m, err := next.Restore(ann.user, p, states[0])
		if err != nil {
			t.Fatal(err)
		}
		bob.post("lobby", "n1", "one")
		bob.Close()
		soon(10 * time.Second)
		m.Close()
		ann.passage.set(false, false)
		old.Wake()
		defer ann.Close()
		soon(time.Second)
		if got := ann.told(); !slices.Equal(got, []string{"one"}) {
			t.Errorf("got %q, want what was said meanwhile", got)
		}
		if got := taken[*wire.Pres](ann.screen); len(got) != 1 || !slices.Equal(got[0].Left, []string{"id-Bob"}) {
			t.Errorf("got %+v, want that Bob left", got)
		}
	})
}

// After a crash nobody flickers while clients say hello again, one by one.
func TestExpectedAreThere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory()})
		h.Hold()
		h.Warm([]string{"lobby"})
		for _, name := range []string{"Ann", "Bob", "Never"} {
			h.Expect(User{"id-" + name, name}, []string{"lobby"})
		}
		soon(time.Second)
		h.Wake()
		ann := meet(t, h, "Ann", inLobby())
		defer ann.Close()
		soon(3 * time.Second)
		bob := meet(t, h, "Bob", inLobby())
		defer bob.Close()
		soon(500 * time.Millisecond)
		lines := taken[*wire.Pres](ann)
		if got, want := crowd(t, lines), []string{"Ann", "Bob", "Never"}; len(lines) != 1 || !slices.Equal(got, want) {
			t.Errorf("got %q in %d lines, want %q in one", got, len(lines), want)
		}
		soon(5 * time.Second)
		if got := taken[*wire.Pres](ann); len(got) != 1 || !slices.Equal(got[0].Left, []string{"id-Never"}) {
			t.Errorf("got %+v, want that Never left", got)
		}
	})
}

// What was expected of a crash is forgotten when a state comes.
func TestAStateKnowsBetter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := NewMemory()
		old, next := run(t, Options{Store: store}), run(t, Options{Store: store})
		ann := travel(t, old, "Ann", inLobby())
		soon(time.Second)
		next.Hold()
		next.Expect(User{"id-Left", "Left"}, []string{"lobby", "den"})
		move(t, old, next, ann)
		defer ann.Close()
		ann.heard()
		soon(time.Second)
		if got := next.people("den"); len(got) > 0 {
			t.Errorf("in a room that the state does not know there are %q", got)
		}
		soon(10 * time.Second)
		if got := ann.heard(); len(got) > 0 {
			t.Errorf("told %+v", got[0])
		}
		if _, kept := next.known("den"); kept {
			t.Error("the room of somebody who had left is still there")
		}
	})
}

// A process on another log starts everybody over.
func TestMoveToAnotherLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		old, next := run(t, Options{Store: filled(t, 30)}), run(t, Options{Store: filled(t, 3)})
		v := travel(t, old, "Ann", inLobby())
		soon(time.Second)
		v.heard()
		move(t, old, next, v)
		defer v.Close()
		soon(time.Second)
		if r := v.heard(); v.resets != 1 || v.cursor("lobby") != 3 {
			t.Errorf("got %d resets and events up to %d (%d lines), want a reset and 3", v.resets, v.cursor("lobby"), len(r))
		}
	})
}

func TestStatesThatMakeNoSense(t *testing.T) {
	h := NewHub(Options{Store: NewMemory()})
	for name, seats := range map[string][]SeatState{
		"no room":     {{}},
		"bad room":    {{Room: "No"}},
		"bad phase":   {{Room: "a", Phase: 3}},
		"bad cursor":  {{Room: "a", Sent: -2}},
		"bad version": {{Room: "a", Told: -1}},
		"twice":       {{Room: "a"}, {Room: "a"}},
		"too many":    make([]SeatState, wire.MaxRooms+1),
	} {
		if _, err := h.Restore(User{"a", "A"}, &taker{}, MemberState{Seats: seats}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if len(h.names) > 0 || len(h.rooms) > 0 {
		t.Error("a refused member left something behind")
	}
	if err := h.Load(HubState{Rooms: []RoomState{{Room: "No"}}}); err == nil {
		t.Error("a bad room is taken")
	}
}

// FuzzState: whatever state comes, it is refused or works.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"r":[{"n":"lobby","p":2,"s":3,"t":7,"i":1}]}`), []byte(`{"epoch":"e","rooms":[{"n":"lobby","v":7,"d":[null,{"t":"pres"}],"h":3,"g":[{"i":"a","n":"A","l":1}]}]}`))
	f.Add([]byte(`{"r":[{"n":"lobby","p":2,"s":3,"t":7,"i":9}]}`), []byte(`{"rooms":[{"n":"lobby","v":-3},{"n":"lobby"}]}`))
	f.Fuzz(func(t *testing.T, member, hub []byte) {
		var ms MemberState
		var hs HubState
		if json.Unmarshal(member, &ms) != nil || json.Unmarshal(hub, &hs) != nil {
			return
		}
		h := run(t, Options{Store: NewMemory(), PresenceEvery: time.Millisecond})
		if h.Load(hs) != nil {
			return
		}
		m, err := h.Restore(User{"a", "A"}, &taker{}, ms)
		if err != nil {
			return
		}
		h.Wake()
		again := MemberState{Seats: m.State().Seats}
		time.Sleep(2 * time.Millisecond)
		m.Close()
		if len(again.Seats) != len(ms.Seats) {
			t.Errorf("%d seats of %d", len(again.Seats), len(ms.Seats))
		}
	})
}

func TestStateRoundTrip(t *testing.T) {
	now := time.Now()
	a := newAttendance(5 * time.Second)
	a.guests = map[string]*guest{
		"1": {user: User{"1", "Ann"}, told: User{"1", "Ann"}, left: now.Add(-3 * time.Second)},
		"2": {user: User{"2", "Bea"}, told: User{"2", "Bob"}, remote: now.Add(-time.Second)},
		"3": {user: User{"3", "Cat"}, left: now.Add(-time.Hour)},
		"4": {user: User{"4", "Dan"}, told: User{"4", "Dan"}, conns: 2},
		"5": {user: User{"5", "Eve"}, conns: 1},
	}
	b := newAttendance(5 * time.Second)
	later := now.Add(time.Hour) // another clock
	here, others := a.state(now)
	b.load(through(t, RoomState{Here: here}).Here, through(t, RoomState{Guests: others}).Guests, later)
	for id, g := range a.guests {
		want := *g
		if want.conns > 0 { // they follow one by one
			want.conns, want.left = 0, b.guests[id].left.Add(-time.Hour)
			if gone := later.Sub(b.guests[id].left); gone > time.Millisecond {
				t.Errorf("%s is gone for %v", want.user.Name, gone)
			}
		}
		if !want.left.IsZero() {
			want.left = want.left.Add(time.Hour)
		}
		if !want.remote.IsZero() {
			want.remote = want.remote.Add(time.Hour)
		}
		if got := *b.guests[id]; !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// TestMovesUnderLoad moves members to and fro while texts are posted, some of
// them late, some moves taken back: everybody gets every seq once and in order,
// and nobody is seen to go.
func TestMovesUnderLoad(t *testing.T) {
	const people, rounds, posters = 12, 25, 3
	rnd := rand.New(rand.NewPCG(3, 4))
	store := NewMemory()
	now := run(t, Options{Store: store, PresenceEvery: 5 * time.Millisecond})
	var all []*traveller
	for i := range people {
		all = append(all, travel(t, now, fmt.Sprint("guest ", i), map[string]int64{"lobby": 0, "den": 0}))
	}
	for len(now.people("lobby")) < people || len(now.people("den")) < people {
		time.Sleep(time.Millisecond)
	}
	stop := make(chan struct{})
	var posting sync.WaitGroup
	var serving atomic.Pointer[Hub]
	serving.Store(now)
	for p := range posters {
		posting.Go(func() { postAll(t, store, p, stop, &serving) })
	}
	for range rounds {
		time.Sleep(time.Duration(rnd.IntN(8)) * time.Millisecond)
		next := run(t, Options{Store: store, PresenceEvery: 5 * time.Millisecond})
		rnd.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
		if rnd.IntN(3) == 0 { // taken back
			states, hub := freeze(t, now, all)
			if err := next.Load(hub); err != nil || len(states) != people {
				t.Fatal(err)
			}
			for _, v := range all {
				v.passage.set(false, false)
			}
			now.Wake()
		}
		late := rnd.IntN(3)
		move(t, now, next, all[late:]...)
		for _, v := range all[:late] {
			v.passage.set(true, false)
			v.restore(next, v.State())
			v.passage.set(false, false)
			next.Wake()
		}
		now = next
		serving.Store(now)
	}
	close(stop)
	posting.Wait()
	for _, room := range []string{"lobby", "den"} {
		head, err := store.Head(t.Context(), room)
		if err != nil || head == 0 {
			t.Fatalf("room %s ends at %d: %v", room, head, err)
		}
		if r, ok := now.known(room); ok {
			r.rung(head)
		}
		for _, v := range all {
			for end := time.Now().Add(10 * time.Second); v.cursor(room) < head && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			if got := v.cursor(room); got != head { // the screen checks the order
				t.Errorf("%s: room %s told up to %d of %d", v.user.Name, room, got, head)
			}
		}
	}
	for _, v := range all {
		checkMoved(t, v)
		v.Close()
	}
}

// checkMoved looks through all that a traveller was ever told.
func checkMoved(t *testing.T, v *traveller) {
	t.Helper()
	lives := map[string]int{}
	for _, l := range v.heard() {
		switch l := l.(type) {
		case *wire.Live:
			lives[l.Room]++
		case *wire.Pres:
			if len(l.Left) > 0 {
				t.Errorf("%s saw %v leave", v.user.Name, l.Left)
			}
		}
	}
	if v.resets > 0 || lives["lobby"] != 1 || lives["den"] != 1 {
		t.Errorf("%s: %d resets, lives %v", v.user.Name, v.resets, lives)
	}
}

// postAll stores texts until stop, as another process does: its doorbell may
// ring where everybody has moved away.
func postAll(t *testing.T, store Store, who int, stop <-chan struct{}, serving *atomic.Pointer[Hub]) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rand.IntN(2000)) * time.Microsecond):
		}
		room := []string{"lobby", "den"}[n%2]
		done, err := store.Append(context.Background(), []Draft{{
			Room: room, Kind: wire.EventPost, User: User{"x", "X"}, Nonce: fmt.Sprint(who, "-", n), Text: "text",
		}})
		if err != nil {
			t.Error(err)
			return
		}
		serving.Load().Deliver(fmt.Appendf(nil, `{"heads":{%q:%d}}`, room, done[0].Event.Seq))
	}
}

// BenchmarkMove is what both processes do for 5000 members while nobody is
// served.
func BenchmarkMove(b *testing.B) {
	const n = 5000
	store := filled(b, 100)
	old := run(b, Options{Store: store})
	var all []*Member
	for i := range n {
		m := old.Connect(User{ID: fmt.Sprintf("%016d", i), Name: fmt.Sprint("guest ", i)}, &taker{})
		m.Join("lobby", Cursor{Seq: 100})
		all = append(all, m)
		b.Cleanup(m.Close)
	}
	time.Sleep(time.Second)
	var saving, loading time.Duration
	bytes := 0
	for b.Loop() {
		began := time.Now()
		states := make([][]byte, n)
		for i, m := range all {
			states[i], _ = json.Marshal(m.State())
			bytes += len(states[i])
		}
		hub, _ := json.Marshal(old.State())
		bytes += len(hub)
		saving += time.Since(began)
		b.StopTimer()
		next := NewHub(Options{Store: store})
		b.StartTimer()
		began = time.Now()
		var hs HubState
		if err := json.Unmarshal(hub, &hs); err != nil {
			b.Fatal(err)
		}
		if err := next.Load(hs); err != nil {
			b.Fatal(err)
		}
		for i := range states {
			var s MemberState
			if err := json.Unmarshal(states[i], &s); err != nil {
				b.Fatal(err)
			}
			if _, err := next.Restore(all[i].user, &taker{}, s); err != nil {
				b.Fatal(err)
			}
		}
		loading += time.Since(began)
		next.stopped = nil
	}
	b.ReportMetric(float64(saving.Microseconds())/1000/float64(b.N), "ms/save")
	b.ReportMetric(float64(loading.Microseconds())/1000/float64(b.N), "ms/load")
	b.ReportMetric(float64(bytes)/float64(b.N)/1024, "KiB")
}
