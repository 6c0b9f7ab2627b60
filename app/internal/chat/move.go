package chat

import (
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// MemberState is what another process must know of a member, to go on with it
// where this one has stopped.
type MemberState struct {
	Rooms []SeatState `json:"r,omitempty"`
}

// SeatState is a member's place in a room.
type SeatState struct {
	Room  string `json:"n"`
	Phase uint8  `json:"p"` // 0: nothing told yet, 1: catching up, 2: live
	Sent  int64  `json:"s"` // the last seq told, before that the client's cursor
	Told  int64  `json:"t,omitempty"`
	Since int64  `json:"i,omitempty"`
}

// HubState is what another process must know of the rooms. Times travel as
// what has passed of them: two processes may start their clocks anew.
type HubState struct {
	Rooms []RoomState `json:"rooms,omitempty"`
}

// RoomState is who is in a room, as its members were told.
type RoomState struct {
	Name    string       `json:"n"`
	Version int64        `json:"v"` // of the roster
	Target  int64        `json:"h"` // the largest seq heard of
	Guests  []GuestState `json:"g,omitempty"`
}

// GuestState is somebody in a room. An age of 0 is no age.
type GuestState struct {
	ID       string `json:"i"`
	Name     string `json:"n"`
	Told     string `json:"t,omitempty"` // the name that the members were told, "" for none yet
	LeftMS   int64  `json:"l,omitempty"` // since the last connection went
	RemoteMS int64  `json:"r,omitempty"` // since another worker told of them
}

// State returns what another process must know of the member. Its client
// stands still: nothing is sent meanwhile.
func (m *Member) State() MemberState {
	m.turn.Lock()
	defer m.turn.Unlock()
	s := MemberState{Rooms: make([]SeatState, len(m.seats))}
	for i, at := range m.seats {
		s.Rooms[i] = SeatState{Room: at.room.name, Phase: uint8(at.phase), Sent: at.sent, Told: at.told, Since: at.since}
	}
	return s
}

// Restore makes a connection a member that another process has told of, in the
// rooms that [Hub.Load] has loaded. It is told nothing before [Hub.Wake].
func (h *Hub) Restore(u User, out Outlet, s MemberState) (*Member, error) {
	m := h.Connect(u, out)
	for _, at := range s.Rooms {
		if wire.ValidRoom(at.Room) != nil || at.Phase > uint8(seatLive) || at.Sent < -1 || len(m.rooms) >= wire.MaxRooms {
			m.Close()
			return nil, &wire.Error{Code: wire.CodeBadField, Msg: "a member's state makes no sense"}
		}
		r := h.admit(at.Room, m)
		m.rooms = append(m.rooms, at.Room)
		m.seats = append(m.seats, &seat{room: r, phase: seatPhase(at.Phase), sent: at.Sent, told: at.Told, since: at.Since})
	}
	h.later(m)
	return m, nil
}

// admit brings a member into a room without a word to the others: they know.
func (h *Hub) admit(name string, m *Member) *room {
	for {
		r := h.room(name)
		if r.admit(m) {
			return r
		}
	}
}

func (r *room) admit(m *Member) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.retired {
		return false
	}
	if _, twice := r.members[m]; !twice {
		r.members[m] = struct{}{}
		r.att.enter(m.user)
	}
	if r.tail.Load() == nil || len(r.members) == 1 {
		r.fill()
	}
	return true
}

// State returns what another process must know of the rooms.
func (h *Hub) State(now time.Time) HubState {
	var s HubState
	for _, r := range h.all() {
		s.Rooms = append(s.Rooms, r.state(now))
	}
	return s
}

func (r *room) state(now time.Time) RoomState {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := RoomState{Name: r.name, Version: r.roster.Load().version, Target: r.target, Guests: r.att.state(now)}
	if t := r.tail.Load(); t != nil {
		s.Target = max(s.Target, t.head)
	}
	return s
}

// Load takes what another process has told of its rooms, before any of its
// members is restored.
func (h *Hub) Load(s HubState, now time.Time) {
	for i := range s.Rooms {
		if each := &s.Rooms[i]; wire.ValidRoom(each.Name) == nil {
			h.room(each.Name).load(each, now)
		}
	}
}

func (r *room) load(s *RoomState, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.att.load(s.Guests, now)
	if was := r.roster.Load(); was.version < s.Version {
		r.roster.Store(was.at(s.Version, r.att.users()))
	}
	r.hear(s.Target)
}

// Warm begins to read the rooms that members will be restored in.
func (h *Hub) Warm(rooms []string) {
	for _, name := range rooms {
		if wire.ValidRoom(name) != nil {
			continue
		}
		r := h.room(name)
		r.mu.Lock()
		if r.tail.Load() == nil {
			r.fill()
		}
		r.mu.Unlock()
	}
}

// Expect shows somebody as being in rooms, for the grace: their worker has
// died, and they are about to say hello again.
func (h *Hub) Expect(u User, rooms []string) {
	for _, name := range rooms {
		if wire.ValidRoom(name) == nil {
			h.room(name).told([]who{who(u)}, time.Now())
		}
	}
}

// Wake goes on with the members whose clients stood still.
func (h *Hub) Wake() {
	for _, m := range h.takeStalled() {
		m.mark()
	}
}

// at is the roster of another process at a version.
func (r *roster) at(version int64, users []User) *roster {
	n := newRoster(r.room)
	n.version, n.users = version, users
	return n
}

// state returns everybody, for another process.
func (a *attendance) state(now time.Time) []GuestState {
	all := make([]GuestState, 0, len(a.guests))
	for id, g := range a.guests {
		s := GuestState{ID: id, Name: g.user.Name, Told: g.told.Name, LeftMS: age(g.left, now), RemoteMS: age(g.remote, now)}
		if g.conns > 0 {
			s.LeftMS = 1 // should their connection not move, they have just left
		}
		all = append(all, s)
	}
	return all
}

// load adds what another process has told, but for its connections: those
// follow.
func (a *attendance) load(all []GuestState, now time.Time) {
	a.unsettled = true
	for _, s := range all {
		if _, known := a.guests[s.ID]; known {
			continue
		}
		g := &guest{user: User{s.ID, s.Name}, left: since(s.LeftMS, now), remote: since(s.RemoteMS, now)}
		if s.Told != "" {
			g.told = User{s.ID, s.Told}
		}
		a.guests[s.ID] = g
	}
}

// age is how long ago t was in milliseconds, at least 1, and 0 if it never was.
func age(t, now time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(now.Sub(t).Milliseconds(), 1)
}

func since(ms int64, now time.Time) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return now.Add(-time.Duration(ms) * time.Millisecond)
}
