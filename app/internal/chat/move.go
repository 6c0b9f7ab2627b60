package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// Members move to another process without a word to anybody: each goes on at
// its cursors, and everybody is as present as before.
//
//	old hub                          new hub
//	                                 Hold, Warm
//	Member.State of each, State ──►  Load, Restore of each
//	(it stays held)                  Wake
//
//	dead hub                         Hold, Warm, Expect of each
//	                                 Wake, then clients say hello again
//
// State and Load hold their hub. If the move is taken back, the old one wakes.

// MemberState is what another process must know of a member.
type MemberState struct {
	Seats []SeatState `json:"r,omitempty"`

	News map[string]int64 `json:"w,omitempty"` // read markers to be told, by room
}

// SeatState is a member's place in a room.
type SeatState struct {
	Room  string `json:"n"`
	Phase uint8  `json:"p,omitempty"` // 0: nothing told yet, 1: catching up, 2: live
	Sent  int64  `json:"s,omitempty"` // the last seq told, before that the client's cursor
	At    int64  `json:"a,omitempty"` // before that: when the event there was committed, as the client has it
	Told  int64  `json:"t,omitempty"` // the roster version told
	Since int64  `json:"i,omitempty"` // the first roster version with this member
	Typed int64  `json:"y,omitempty"` // the version told of who types
}

// HubState is what another process must know of the rooms. Times travel as
// what has passed of them: no two clocks need agree.
type HubState struct {
	Epoch string      `json:"epoch"`
	Rooms []RoomState `json:"rooms,omitempty"`
	Reads []ReadState `json:"reads,omitempty"` // markers that are not stored yet
}

// ReadState is a [Read].
type ReadState struct {
	User string `json:"u"`
	Room string `json:"n"`
	Seq  int64  `json:"s"`
}

// RoomState is who is in a room, as its members were told.
type RoomState struct {
	Room    string            `json:"n"`
	Version int64             `json:"v,omitempty"` // of the roster
	Deltas  []json.RawMessage `json:"d,omitempty"` // the pres lines to the last versions, null for none
	Target  int64             `json:"h,omitempty"` // the largest seq heard of
	Here    []string          `json:"u,omitempty"` // id and name by turns of who is connected, and announced so
	Guests  []GuestState      `json:"g,omitempty"` // everybody else

	Typed   int64         `json:"y,omitempty"` // the version of who types
	Typists []TypistState `json:"k,omitempty"`
	Told    []string      `json:"w,omitempty"` // who types as the members were told, by name
}

// TypistState is somebody who types.
type TypistState struct {
	ID   string `json:"i"`
	Name string `json:"n"`
	MS   int64  `json:"a"` // since they last said so
}

// GuestState is somebody in a room. An age of 0 is none.
type GuestState struct {
	ID       string `json:"i"`
	Name     string `json:"n"`
	New      bool   `json:"new,omitempty"` // the members were not told yet
	Told     string `json:"t,omitempty"`   // the name that they were told, if it is another
	LeftMS   int64  `json:"l,omitempty"`   // since the last connection went
	RemoteMS int64  `json:"r,omitempty"`   // since another worker told of them
}

// maxDeltas bounds the pres lines that travel for a room, in bytes: who missed
// more is told the whole list.
const maxDeltas = 256 << 10

// Hold tells nobody who comes and goes, and forgets no room, until [Hub.Wake]:
// in a process that takes members over it is too early for that, in one that
// has given them away too late.
func (h *Hub) Hold() { h.held.Store(true) }

// Wake goes on after a Hold, and with the members whose clients stood still. It
// waits for nobody.
func (h *Hub) Wake() {
	h.held.Store(false)
	h.wakes.Add(1)
	poke(h.glance) // a doorbell may have rung at the wrong door
	h.resume()
}

// State returns what another process must know of the member. Its client must
// stand still, as its [Outlet] then says: nothing changes meanwhile.
func (m *Member) State() MemberState {
	m.turn.Lock()
	defer m.turn.Unlock()
	s := MemberState{Seats: make([]SeatState, len(m.seats))}
	for i, at := range m.seats {
		s.Seats[i] = SeatState{Room: at.room.name, Phase: uint8(at.phase), Sent: at.sent, At: at.at, Told: at.told, Since: at.since, Typed: at.typed}
	}
	if told := m.news.told.Load(); told != nil {
		s.News = *told
	}
	return s
}

// Restore makes a connection the member that another process told of. Its error
// says what is wrong with the state; then there is no member.
func (h *Hub) Restore(u User, out Outlet, s MemberState) (*Member, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	m := h.Connect(u, out)
	m.rooms, m.seats = make([]string, 0, len(s.Seats)), make([]seat, 0, len(s.Seats))
	for _, at := range s.Seats {
		m.rooms = append(m.rooms, at.Room)
		m.seat(h.admit(m, at))
	}
	for room, seq := range s.News {
		m.news.add(room, seq)
	}
	m.opened.Store(true)
	if !h.later(m, h.wakes.Load()) {
		m.mark()
	}
	return m, nil
}

func (s *MemberState) validate() error {
	if len(s.Seats) > wire.MaxRooms {
		return fmt.Errorf("a member in %d rooms, at most %d can be open", len(s.Seats), wire.MaxRooms)
	}
	for i, at := range s.Seats {
		twice := slices.ContainsFunc(s.Seats[:i], func(o SeatState) bool { return o.Room == at.Room })
		if err := wire.ValidRoom(at.Room); err != nil {
			return fmt.Errorf("a member's room: %w", err)
		}
		if twice || at.Phase > uint8(seatLive) || at.Sent < -1 || at.Told < 0 || at.Since < 0 || at.Typed < 0 {
			return fmt.Errorf("a member's place in room %s makes no sense", at.Room)
		}
	}
	return nil
}

// admit brings a member into a room without a word to the others.
func (h *Hub) admit(m *Member, at SeatState) seat {
	h.mu.Lock()
	if h.foreign {
		at.Phase, at.Sent = uint8(seatOpening), -1 // as after a hello with another epoch
	}
	h.mu.Unlock()
	for {
		if s, ok := h.room(at.Room).admit(m, at); ok {
			return s
		}
	}
}

// admit is enter for a member that the others know already. It reports false
// if the room is retired.
func (r *room) admit(m *Member, at SeatState) (seat, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.retired {
		return seat{}, false
	}
	r.members[m] = struct{}{}
	r.att.enter(m.user)
	version := r.roster.Load().version
	if at.Told > r.base || at.Since > r.base+1 { // of rosters that this process does not know
		at.Told, at.Since = 0, version+1
	}
	if at.Typed > r.typed.Load().version { // nor of who typed
		at.Typed = 0
	}
	r.entered = r.entered || at.Since > version
	if r.tail.Load() == nil || len(r.members) == 1 {
		r.fill()
	}
	return seat{room: r, phase: seatPhase(at.Phase), sent: at.Sent, at: at.At, told: at.Told, since: at.Since, typed: at.Typed}, true
}

// State holds the hub, and returns what another process must know of it.
func (h *Hub) State() HubState {
	h.Hold()
	s := HubState{Epoch: h.Epoch()}
	now := time.Now()
	for _, r := range h.all() {
		s.Rooms = append(s.Rooms, r.state(now))
	}
	for _, r := range h.markers.list() {
		s.Reads = append(s.Reads, ReadState(r))
	}
	return s
}

func (r *room) state(now time.Time) RoomState {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.roster.Load()
	s := RoomState{Room: r.name, Version: list.version, Deltas: list.lastDeltas(maxDeltas), Target: r.target}
	s.Here, s.Guests = r.att.state(now)
	s.Typed, s.Told = r.typed.Load().version, r.typed.Load().users
	s.Typists = r.typists.state(now)
	if t := r.tail.Load(); t != nil {
		s.Target = max(s.Target, t.head)
	}
	return s
}

// lastDeltas returns the newest deltas that fit limit bytes.
func (r *roster) lastDeltas(limit int) []json.RawMessage {
	from := len(r.deltas)
	for ; from > 0 && limit >= len(r.deltas[from-1]); from-- {
		limit -= len(r.deltas[from-1])
	}
	var all []json.RawMessage
	for _, line := range r.deltas[from:] {
		all = append(all, bytes.TrimSuffix(line, []byte{'\n'}))
	}
	return all
}

// Load holds the hub, and makes it what another process told of it: who was
// expected or told by others before that is forgotten. No member may have been
// there yet. Its error says what is wrong with the state.
func (h *Hub) Load(s HubState) error {
	h.Hold()
	for i := range s.Rooms {
		if err := wire.ValidRoom(s.Rooms[i].Room); err != nil {
			return fmt.Errorf("state of a room: %w", err)
		}
	}
	foreign := s.Epoch != h.Epoch()
	h.mu.Lock()
	h.foreign = foreign
	h.mu.Unlock()
	now := time.Now()
	for _, r := range h.all() {
		r.load(&RoomState{}, now)
	}
	for i := range s.Rooms {
		each := &s.Rooms[i]
		if foreign {
			each.Target = 0
		}
		h.room(each.Room).load(each, now) // a held hub retires none
	}
	for _, r := range s.Reads {
		if !foreign {
			h.markers.set(place{r.User, r.Room}, r.Seq)
		}
	}
	return nil
}

func (r *room) load(s *RoomState, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.att = newAttendance(r.hub.o.Grace)
	r.att.load(s.Here, s.Guests, now)
	list := newRoster(r.name)
	list.version, list.users = s.Version, r.att.users()
	for _, line := range s.Deltas {
		if line = bytes.TrimSpace(line); bytes.Equal(line, []byte("null")) {
			line = nil
		} else {
			line = append(line[:len(line):len(line)], '\n')
		}
		list.deltas = append(list.deltas, line)
	}
	r.roster.Store(list)
	r.base = s.Version
	r.typists = newTypists(s, now)
	r.typed.Store(newTypingLine(r.name, s.Typed, s.Told))
	r.hear(s.Target)
}

// Warm begins to read rooms that are about to have members. It is for a hub
// that is held: another one forgets a room that nobody is in.
func (h *Hub) Warm(rooms []string) {
	for _, name := range rooms {
		h.room(name).warm()
	}
}

func (r *room) warm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tail.Load() == nil && !r.retired {
		r.fill()
	}
}

// Expect shows somebody in rooms for the grace, as if they had just gone: their
// worker has died, and they are about to say hello again.
func (h *Hub) Expect(u User, rooms []string) {
	now := time.Now()
	for _, name := range rooms {
		for !h.room(name).expect(u, now) {
		}
	}
}

func (r *room) expect(u User, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.retired {
		r.att.expect(u, now)
	}
	return !r.retired
}

// expect notes a user as if their last connection had gone at now.
func (a *attendance) expect(u User, now time.Time) {
	if g := a.guest(u); g.conns == 0 {
		g.user, g.left = u, now
	}
}

// state returns them, for another process.
func (t *typists) state(now time.Time) (all []TypistState) {
	for id, who := range t.of {
		all = append(all, TypistState{ID: id, Name: who.name, MS: age(who.since, now)})
	}
	return all
}

// newTypists returns those that another process has told of.
func newTypists(s *RoomState, now time.Time) typists {
	t := typists{of: map[string]typist{}, told: s.Told}
	for _, who := range s.Typists {
		t.of[who.ID] = typist{who.Name, ago(who.MS, now)}
	}
	return t
}

// state returns everybody, for another process.
func (a *attendance) state(now time.Time) (here []string, others []GuestState) {
	for id, g := range a.guests {
		if g.conns > 0 && g.told == g.user && g.remote.IsZero() {
			here = append(here, id, g.user.Name)
			continue
		}
		s := GuestState{ID: id, Name: g.user.Name, New: g.told == User{}, LeftMS: age(g.left, now), RemoteMS: age(g.remote, now)}
		if g.conns > 0 {
			s.LeftMS = age(now, now)
		}
		if g.told != g.user {
			s.Told = g.told.Name
		}
		others = append(others, s)
	}
	return here, others
}

// load takes whom another process has told of. Who was connected there has
// just gone, should their connection not follow.
func (a *attendance) load(here []string, others []GuestState, now time.Time) {
	a.unsettled = true
	for i := 0; i+1 < len(here); i += 2 {
		u := User{here[i], here[i+1]}
		a.guests[u.ID] = &guest{user: u, told: u, left: now}
	}
	for _, s := range others {
		g := &guest{user: User{s.ID, s.Name}, left: ago(s.LeftMS, now), remote: ago(s.RemoteMS, now)}
		switch {
		case s.Told != "":
			g.told = User{s.ID, s.Told}
		case !s.New:
			g.told = g.user
		}
		a.guests[s.ID] = g
	}
}

// age is how long ago t was in milliseconds, at least 1; 0 if it never was.
func age(t, now time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(now.Sub(t).Milliseconds(), 1)
}

// ago is the inverse of age.
func ago(ms int64, now time.Time) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return now.Add(-time.Duration(ms) * time.Millisecond)
}
