package chat

import (
	"cmp"
	"sync"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// rosterDeltas is how many changes a roster remembers: a member that missed
// more is told the whole list.
const rosterDeltas = 16

// roster is who is in a room as its members are told: a version, the pres
// lines of the last changes, and the whole list. Like a tail it never changes,
// and a member holds a cursor into it: the version it was told.
type roster struct {
	room    string
	version int64
	users   []User
	deltas  [][]byte // the line that led to each of the last versions; nil: nothing to tell
	whole   func() []byte
}

func newRoster(room string) *roster {
	r := &roster{room: room}
	r.whole = sync.OnceValue(r.encode)
	return r
}

// next returns the roster after a change.
func (r *roster) next(users []User, join []User, left []string) *roster {
	n := &roster{room: r.room, version: r.version + 1, users: users}
	n.whole = sync.OnceValue(n.encode)
	n.deltas = append(n.deltas, r.deltas[max(0, len(r.deltas)-rosterDeltas+1):]...)
	var line []byte
	if len(join)+len(left) > 0 {
		line = wire.AppendLine(nil, &wire.Pres{
			T: wire.KindPres, Room: r.room, N: len(users), Join: wireUsers(join), Left: left,
		})
	}
	n.deltas = append(n.deltas, line)
	return n
}

// encode is the pres line with everybody, made when the first member needs it.
func (r *roster) encode() []byte {
	return wire.AppendLine(nil, &wire.Pres{T: wire.KindPres, Room: r.room, N: len(r.users), Users: wireUsers(r.users)})
}

// appendSince appends what a member that was told version has to be told now;
// 0 is a member that was told nothing.
func (r *roster) appendSince(b []byte, version int64) []byte {
	missed := r.version - version
	if version == 0 || missed > int64(len(r.deltas)) {
		return append(b, r.whole()...)
	}
	for _, line := range r.deltas[int64(len(r.deltas))-missed:] {
		b = append(b, line...)
	}
	return b
}

func wireUsers(users []User) []wire.User {
	var all []wire.User
	for _, u := range users {
		all = append(all, u.Wire())
	}
	return all
}

func byName(a, b User) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) }
