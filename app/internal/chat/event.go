package chat

import (
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// Event is one entry of a room's append-only log. It never changes once it has
// a Seq, but for being erased: a deletion takes the texts of its post away, and
// what a room's limits exclude becomes of kind void (see [PostStore]).
type Event struct {
	Room  string
	Seq   int64 // dense from 1 within the room
	At    time.Time
	Kind  wire.EventKind
	User  User // the author as named at the time
	Nonce string
	Text  string // of a post or an edit
	Of    int64  // the seq of the post that an edit, del or react is about
	Emoji string // of a react
	On    bool   // of a react: it is put there, not taken away
}

// User is who somebody is (ID, never reused) and how they are called.
type User struct {
	ID   string
	Name string
}

// Draft is an event that has no place in the log yet.
type Draft struct {
	Room  string
	Kind  wire.EventKind
	User  User
	Nonce string
	Text  string
	Of    int64
	Emoji string
	On    bool
}

// Event returns the draft as it is stored.
func (d Draft) Event(seq int64, at time.Time) Event {
	return Event{
		Room: d.Room, Seq: seq, At: at, Kind: d.Kind, User: d.User, Nonce: d.Nonce,
		Text: d.Text, Of: d.Of, Emoji: d.Emoji, On: d.On,
	}
}

// Void returns what is left of an event that a room's limits exclude: its place,
// its time, and whose nonce it has.
func (e Event) Void() Event {
	return Event{Room: e.Room, Seq: e.Seq, At: e.At, Kind: wire.EventVoid, User: User{ID: e.User.ID}, Nonce: e.Nonce}
}

// Appended is what became of a draft.
type Appended struct {
	Event     Event // as stored: of a duplicate, the first one's
	Duplicate bool  // (room, author, nonce) was stored before
}
