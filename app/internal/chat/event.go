package chat

import (
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// Event is one entry of a room's append-only log. It never changes once it has
// a Seq.
type Event struct {
	Room  string
	Seq   int64 // dense from 1 within the room
	At    time.Time
	Kind  wire.EventKind
	User  User // the author as named at the time
	Nonce string
	Text  string
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
}

// Appended is what became of a draft.
type Appended struct {
	Event     Event // as stored: of a duplicate, the first one's
	Duplicate bool  // (room, author, nonce) was stored before
}
