package chat

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Whoever is told of is told once, in messages that a bus carries.
func TestHereTellings(t *testing.T) {
	long := strings.Repeat("\u2028", 24) // written \u2028 in JSON
	for _, tt := range []struct{ rooms, users, messages int }{
		{0, 0, 0}, {1, 0, 0}, {1, 1, 1}, {1, 100, 1}, {1, 101, 2}, {100, 1, 1}, {250, 1, 3}, {3, 150, 5},
	} {
		rooms := map[string][]User{}
		for i := range tt.rooms {
			for j := range tt.users {
				name := fmt.Sprintf("%032d", i)
				rooms[name] = append(rooms[name], User{ID: fmt.Sprintf("%016d", j), Name: long})
			}
		}
		told := map[string]int{}
		all := hereTellings(rooms)
		for _, one := range all {
			if n := len(one.encode()); n > MaxBusMessage {
				t.Errorf("%+v: a message of %d bytes", tt, n)
			}
			for room, users := range one.Here {
				for _, u := range users {
					told[room+" "+u.ID]++
				}
			}
		}
		if len(all) != tt.messages || len(told) != tt.rooms*tt.users {
			t.Errorf("%+v: %d users in %d messages", tt, len(told), len(all))
		}
		for who, n := range told {
			if n != 1 {
				t.Errorf("%s is told of %d times", who, n)
			}
		}
	}
}

// A bus that reaches nobody for a while costs no message, and presence is right
// as soon as it is back.
func TestABusThatIsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		away := false
		hubs := join(t, NewMemory(), 2, func(int) bool { return away })
		ann, bob := meet(t, hubs[0], "Ann", inLobby()), meet(t, hubs[1], "Bob", inLobby())
		defer ann.Close()
		defer bob.Close()
		soon(3 * time.Second)

		away = true
		if _, err := ann.post("lobby", "n", "text"); err != nil {
			t.Fatal(err)
		}
		soon(headsEvery)
		if got := bob.told(); len(got) != 1 {
			t.Errorf("got %q a second after it was posted", got)
		}
		soon(10 * time.Second)
		if hubs[0].NameTaken("bob", "id-other") {
			t.Error("somebody who is not heard of is still here")
		}

		away = false
		for _, h := range hubs {
			h.Reached()
		}
		soon(time.Second)
		if !hubs[0].NameTaken("bob", "id-other") || !hubs[1].NameTaken("ann", "id-other") {
			t.Error("they do not see each other again")
		}
	})
}

// membersOf returns how many the list of rooms counts in one.
func membersOf(t *testing.T, h *Hub, room string) int {
	t.Helper()
	rooms, err := h.Rooms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rooms {
		if r.Name == room {
			return r.Members
		}
	}
	return 0
}

// Who is at a peer, in a room that nobody here is in, is counted, and their name
// is taken.
func TestSomebodyAtAPeer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hubs := join(t, NewMemory(), 2, func(int) bool { return false })
		bob := meet(t, hubs[1], "Bob", map[string]int64{"elsewhere": 0})
		soon(hereEvery)
		if !hubs[0].NameTaken("BOB", "id-other") {
			t.Error("the name of somebody at a peer is free")
		}
		if n := membersOf(t, hubs[0], "elsewhere"); n != 1 {
			t.Errorf("%d are counted in a room with somebody at a peer, want 1", n)
		}
		if hubs[0].NameTaken("Bob", "id-Bob") || hubs[0].NameTaken("Ann", "id-other") {
			t.Error("a name that nobody else has is taken")
		}
		bob.Close()
		soon(hubs[0].o.Grace + hereEvery)
		if hubs[0].NameTaken("Bob", "id-other") {
			t.Error("a name is taken by somebody who has gone")
		}
		if n := membersOf(t, hubs[0], "elsewhere"); n != 0 {
			t.Errorf("%d are counted where nobody is any more", n)
		}
	})
}

// distant is a store whose heads take a while to be read.
type distant struct{ *Memory }

const distance = 20 * time.Millisecond

func (d distant) Head(ctx context.Context, room string) (int64, error) {
	time.Sleep(distance)
	return d.Memory.Head(ctx, room)
}

// Without a bus what is new in many rooms is found nearly as soon as in one.
func TestManyRoomsWithoutABus(t *testing.T) {
	const rooms = 160
	bubble(t, func(t *testing.T) {
		hubs := join(t, distant{NewMemory()}, 2, func(int) bool { return true })
		var readers, writers []*screen
		for i := range rooms {
			in := map[string]int64{fmt.Sprint("room", i): 0}
			readers = append(readers, meet(t, hubs[1], fmt.Sprint("Reader ", i), in))
			writers = append(writers, meet(t, hubs[0], fmt.Sprint("Writer ", i), in))
		}
		soon(10 * time.Second)
		for i, w := range writers {
			if _, err := w.post(fmt.Sprint("room", i), "n", "text"); err != nil {
				t.Fatal(err)
			}
		}
		soon(headsEvery + rooms/8*distance)
		for i, r := range readers {
			if r.cursor(fmt.Sprint("room", i)) != 1 {
				t.Errorf("room %d: nothing is heard", i)
			}
		}
		for _, s := range append(readers, writers...) {
			s.Close()
		}
	})
}
