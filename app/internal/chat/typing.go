package chat

import (
	"cmp"
	"slices"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// typingEvery is the shortest time between two lines that tell who types in a
// room.
const typingEvery = time.Second

// typists are who types in a room. They have no lock and no clock of their own.
type typists struct {
	of   map[string]typist // by user id
	told []string          // as last told
	at   time.Time         // when that was
}

type typist struct {
	name  string
	since time.Time // when they last said so
}

// typingLine is who types as the members are told, with a version as a roster's.
type typingLine struct {
	version int64
	users   []string
	line    []byte
}

// say notes that a user types, and reports whether others should hear of it:
// they did not know, or would soon forget.
func (t *typists) say(u User, now time.Time) bool {
	if t.of == nil {
		t.of = map[string]typist{}
	}
	before, known := t.of[u.ID]
	if known && now.Sub(before.since) < typingEvery {
		return false
	}
	t.of[u.ID] = typist{u.Name, now}
	return true
}

// stop notes that a user has said what they typed.
func (t *typists) stop(id string) { delete(t.of, id) }

// settle forgets who said nothing for long, and returns who types if that has
// changed and may be told at now.
func (t *typists) settle(now time.Time) (users []string, changed bool) {
	if len(t.of) == 0 && len(t.told) == 0 || now.Sub(t.at) < typingEvery {
		return nil, false
	}
	type named struct{ id, name string }
	var all []named
	for id, who := range t.of {
		if now.Sub(who.since) >= wire.TypingLimit {
			delete(t.of, id)
			continue
		}
		all = append(all, named{id, who.name})
	}
	slices.SortFunc(all, func(a, b named) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id)) })
	users = []string{}
	for _, who := range all[:min(len(all), wire.MaxTypists)] {
		users = append(users, who.name)
	}
	if slices.Equal(users, t.told) {
		return nil, false
	}
	t.told, t.at = users, now
	return users, true
}

// Typing says that the member's user types in an open room. Its error is a
// *[wire.Error].
func (m *Member) Typing(room string) error {
	if err := m.mustBeIn(room); err != nil {
		return err
	}
	r, ok := m.hub.known(room)
	if ok && r.typing(m.user, time.Now()) {
		m.hub.tell(telling{Typing: map[string][]who{room: {who(m.user)}}})
	}
	return nil
}

// typing notes that a user types, and reports whether other hubs should know.
func (r *room) typing(u User, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.typists.say(u, now) {
		return false
	}
	r.announceTyping(now)
	return true
}

// announceTyping tells the members who types, if that has changed and it is not
// too soon; then the tick will. mu is held.
func (r *room) announceTyping(now time.Time) {
	if r.hub.held.Load() {
		return
	}
	users, changed := r.typists.settle(now)
	if !changed {
		return
	}
	r.typed.Store(newTypingLine(r.name, r.typed.Load().version+1, users))
	r.wake()
}

func newTypingLine(room string, version int64, users []string) *typingLine {
	if users == nil {
		users = []string{} // in JSON a list, too
	}
	return &typingLine{
		version: version, users: users,
		line: wire.AppendLine(nil, &wire.Typists{T: wire.KindTyping, Room: room, Users: users}),
	}
}

// appendTyping appends who types, if the member was told otherwise.
func (s *seat) appendTyping(b []byte) []byte {
	t := s.room.typed.Load()
	if t.version == s.typed {
		return b
	}
	if s.typed > 0 || len(t.users) > 0 {
		b = append(b, t.line...)
	}
	s.typed = t.version
	return b
}
