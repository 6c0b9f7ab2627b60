package chat

import (
	"fmt"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

func TestCatchUp(t *testing.T) {
	tests := []struct {
		name   string
		head   int
		epoch  string // "" means the log's own
		cursor int64
		at     int64 // 1: it says when the event at its cursor was committed; 2: a millisecond later
		reset  bool
		first  string // the first text told
		n      int    // how many texts
	}{
		{name: "empty room", head: 0, cursor: 0},
		{name: "whole room", head: 30, cursor: 0, first: "text 1", n: 30},
		{name: "up to date", head: 30, cursor: 30},
		{name: "one behind", head: 30, cursor: 29, first: "text 30", n: 1},
		{name: "as much as may be missed", head: 1000, cursor: 500, first: "text 501", n: 500},
		{name: "one more than may be missed", head: 1000, cursor: 499, reset: true, first: "text 951", n: 50},
		{name: "whole room too long", head: 501, cursor: 0, reset: true, first: "text 452", n: 50},
		{name: "last page", head: 80, cursor: -1, reset: true, first: "text 31", n: 50},
		{name: "last page of an empty room", head: 0, cursor: -1, reset: true},
		{name: "ahead of the log", head: 30, cursor: 31, reset: true, first: "text 1", n: 30},
		{name: "the event it holds", head: 30, cursor: 25, at: 1, first: "text 26", n: 5},
		{name: "the event it holds, long ago", head: 900, cursor: 405, at: 1, first: "text 406", n: 495},
		{name: "another event", head: 80, cursor: 60, at: 2, reset: true, first: "text 31", n: 50},
		{name: "another event at the head", head: 80, cursor: 80, at: 2, reset: true, first: "text 31", n: 50},
		{name: "another event, long ago", head: 900, cursor: 405, at: 2, reset: true, first: "text 851", n: 50},
		{name: "another epoch", head: 80, epoch: "other", cursor: 79, reset: true, first: "text 31", n: 50},
		{name: "another epoch at zero", head: 3, epoch: "other", cursor: 0, reset: true, first: "text 1", n: 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := run(t, Options{Store: filled(t, tt.head)})
				s := meet(t, h, "Ann", nil)
				defer s.Close()
				s.cursors["lobby"] = tt.cursor
				epoch := tt.epoch
				if epoch == "" {
					epoch = h.Epoch()
				}
				var at int64
				if tt.at != 0 {
					events, _ := h.store.After(t.Context(), "lobby", tt.cursor-1, 1)
					at = events[0].At.UnixMilli() + tt.at - 1
				}
				if err := s.Open(epoch, map[string]Cursor{"lobby": {Seq: tt.cursor, At: at}}); err != nil {
					t.Fatal(err)
				}
				soon(time.Second)

				texts := s.told()
				if len(texts) != tt.n || tt.n > 0 && texts[0] != tt.first {
					t.Errorf("got %d texts from %.20q, want %d from %q", len(texts), fmt.Sprint(texts), tt.n, tt.first)
				}
				if got := s.resets > 0; got != tt.reset {
					t.Errorf("reset: got %v, want %v", got, tt.reset)
				}
				live := taken[*wire.Live](s)
				if len(live) != 1 || live[0].Seq != int64(tt.head) {
					t.Errorf("got %v, want one live at %d", live, tt.head)
				}
			})
		})
	}
}

func TestNoEpochNeedsNoReset(t *testing.T) {
	for cursor, want := range map[int64]int{0: 3, 2: 1} {
		bubble(t, func(t *testing.T) {
			h := run(t, Options{Store: filled(t, 3)})
			s := meet(t, h, "Ann", nil)
			defer s.Close()
			s.cursors["lobby"] = cursor
			s.Open("", map[string]Cursor{"lobby": {Seq: cursor}})
			soon(time.Second)
			if told := s.told(); s.resets != 0 || len(told) != want {
				t.Errorf("from %d: got %d resets and %q, want %d events", cursor, s.resets, told, want)
			}
		})
	}
}

// TestSlowMemberLosesNothing: it is told what it missed from the store, far
// past the tail, while the others are not held up.
func TestSlowMemberLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory()})
		slow, quick := meet(t, h, "Slow", map[string]int64{"lobby": 0}), meet(t, h, "Quick", map[string]int64{"lobby": 0})
		defer slow.Close()
		defer quick.Close()
		soon(time.Second)
		gate := make(chan struct{})
		slow.mu.Lock()
		slow.gate = gate
		slow.mu.Unlock()

		const n = 3 * tailEvents
		for i := range n {
			if _, err := quick.post("lobby", fmt.Sprint("nonce", i), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		soon(time.Second)
		if got := len(quick.told()); got != n {
			t.Errorf("quick member: got %d texts, want %d", got, n)
		}
		if got := len(slow.told()); got != 0 {
			t.Errorf("slow member: got %d texts before it reads", got)
		}
		close(gate)
		soon(time.Second)
		if got := len(slow.told()); got != n || slow.resets != 0 {
			t.Errorf("slow member: got %d texts and %d resets, want %d and none", got, slow.resets, n)
		}
	})
}

func TestBrokenOutletIsNotUsedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory()})
		s, other := meet(t, h, "Ann", map[string]int64{"lobby": 0}), meet(t, h, "Bob", map[string]int64{"lobby": 0})
		defer other.Close()
		defer s.Close()
		soon(time.Second)
		s.mu.Lock()
		s.broken = errGone
		s.mu.Unlock()
		other.post("lobby", "n1", "one")
		soon(time.Second)
		s.mu.Lock()
		s.broken = nil
		s.mu.Unlock()
		other.post("lobby", "n2", "two")
		soon(time.Second)
		if got := s.told(); len(got) != 0 {
			t.Errorf("got %q through a broken outlet", got)
		}
	})
}

func TestRejoinStartsOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: filled(t, 10)})
		s := meet(t, h, "Ann", map[string]int64{"lobby": 0})
		defer s.Close()
		soon(time.Second)
		s.mu.Lock()
		s.cursors["lobby"] = 8
		s.mu.Unlock()
		if err := s.Join("lobby", Cursor{Seq: 8}); err != nil {
			t.Fatal(err)
		}
		soon(time.Second)
		if got := len(s.told()); got != 12 || s.cursor("lobby") != 10 {
			t.Errorf("got %d events up to %d, want 2 more up to 10", got, s.cursor("lobby"))
		}
	})
}

func TestLeftRoomIsSilent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory()})
		ann, bob := meet(t, h, "Ann", map[string]int64{"lobby": 0}), meet(t, h, "Bob", map[string]int64{"lobby": 0})
		defer ann.Close()
		defer bob.Close()
		if err := bob.Leave("lobby"); err != nil {
			t.Fatal(err)
		}
		ann.post("lobby", "n1", "one")
		soon(time.Second)
		if got := bob.told(); len(got) != 0 {
			t.Errorf("got %q after leave", got)
		}
		for name, err := range map[string]error{"leave": bob.Leave("lobby"), "read": bob.MayRead("lobby")} {
			if e, ok := err.(*wire.Error); !ok || e.Code != wire.CodeNotJoined {
				t.Errorf("%s: got %v, want %s", name, err, wire.CodeNotJoined)
			}
		}
		if _, err := bob.Post("lobby", "n2", "two"); err == nil {
			t.Error("a post into a room that was left is taken")
		}
	})
}

func TestTooManyRooms(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory()})
		s := meet(t, h, "Ann", nil)
		defer s.Close()
		for i := range wire.MaxRooms {
			if err := s.Join(fmt.Sprint("room", i), Cursor{}); err != nil {
				t.Fatal(err)
			}
		}
		if e, ok := s.Join("one-more", Cursor{}).(*wire.Error); !ok || e.Code != wire.CodeTooMany {
			t.Errorf("got %v, want %s", e, wire.CodeTooMany)
		}
		soon(time.Second)
		if got := taken[*wire.Live](s); len(got) != wire.MaxRooms {
			t.Errorf("got %d live rooms, want %d", len(got), wire.MaxRooms)
		}
	})
}

func TestRoomsNobodyNeedsAreForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: filled(t, 3)})
		s := meet(t, h, "Ann", map[string]int64{"lobby": 0})
		soon(time.Second)
		s.Close()
		soon(10 * time.Second)
		if n := len(h.all()); n != 0 {
			t.Errorf("got %d rooms in memory, want none", n)
		}
		again := meet(t, h, "Ann", map[string]int64{"lobby": 2})
		defer again.Close()
		soon(time.Second)
		if got := again.told(); len(got) != 1 {
			t.Errorf("got %q after coming back, want the one missed", got)
		}
	})
}

// TestAResetThatTheStoreInterrupts is told when the store can be read again.
func TestAResetThatTheStoreInterrupts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := &moody{Memory: filled(t, 900)}
		h := run(t, Options{Store: store})
		keeper := meet(t, h, "Keeper", map[string]int64{"lobby": 900})
		defer keeper.Close()
		soon(time.Second) // the tail is read
		store.fail(ErrUnavailable)
		s := meet(t, h, "Ann", nil)
		defer s.Close()
		s.cursors["lobby"] = 405
		s.Open(h.Epoch(), map[string]Cursor{"lobby": {Seq: 405, At: 1}})
		soon(time.Second)
		store.fail(nil)
		soon(3 * time.Second)
		if s.resets != 1 || len(s.told()) != 50 {
			t.Errorf("got %d resets and %d texts, want 1 and the last 50", s.resets, len(s.told()))
		}
	})
}
