package chat

import (
	"context"
	"errors"
	"time"
)

// Errors that a [Store] wraps, for callers that branch on them.
var (
	// ErrUnavailable: the store cannot answer now; the same call may succeed
	// later. For Append the outcome is unknown: repeat it with the same nonces.
	ErrUnavailable = errors.New("store unavailable")
	// ErrFull: no space left. Nothing of the call was stored.
	ErrFull = errors.New("no space left on the device")
	// ErrCorrupt: the data is damaged; only an operator can help.
	ErrCorrupt = errors.New("database is damaged")
	// ErrNotFound: what was asked for does not exist.
	ErrNotFound = errors.New("not found")
)

// Store keeps every room's log, and the sessions. It is the truth: everything
// in memory is a cache of it.
//
// Guarantees, which [chattest.Store] checks for every implementation:
//
//  1. Append is durable when it returns nil: a kill -9 of every process, or a
//     power cut on honest disks, loses nothing that was returned.
//  2. Seqs of a room are dense from 1, whoever appends, in how many processes.
//  3. (room, author, nonce) is unique for ever. Appending it again returns the
//     first event, marked Duplicate, also within one batch.
//  4. A batch is stored in its order. On an error none of it is, or
//     (ErrUnavailable) some first part of it, which repeating it completes.
//     A store may promise that this part is all or nothing.
//  5. Reads see every append that returned before they began, in any process
//     on the same store.
//  6. Within a room At never goes backwards, whatever the clocks do. Times are
//     whole milliseconds in UTC; what is finer is cut off.
//
// All methods may be called concurrently. They honour the context's end by
// returning early, with the context's error wrapped. What Append, PutSession
// or DeleteSession had begun by then may still happen: the error wraps
// ErrUnavailable too.
type Store interface {
	// Append stores drafts in order and returns one result for each. It keeps
	// no reference to drafts, and stores texts as they are, byte for byte.
	Append(ctx context.Context, drafts []Draft) ([]Appended, error)

	// After returns up to limit events of room with Seq > seq, ascending. A
	// seq below 1 means from the start; a limit below 1 gives none.
	After(ctx context.Context, room string, seq int64, limit int) ([]Event, error)

	// Before returns the up to limit events of room that come just before seq,
	// ascending. A seq beyond the head means the room's last events; a limit
	// below 1 gives none.
	Before(ctx context.Context, room string, seq int64, limit int) ([]Event, error)

	// Head returns the last seq of room, 0 if it has none.
	Head(ctx context.Context, room string) (int64, error)

	// Rooms returns every room that has an event, by name in byte order.
	Rooms(ctx context.Context) ([]RoomHead, error)

	// Epoch names this log: it is made with it and never changes, so that
	// clients of another log (or of a restored older one) start over.
	Epoch() string

	// PutSession stores a session under its token's hash, replacing any.
	PutSession(ctx context.Context, s Session) error

	// Session returns the session of a token's hash. ErrNotFound if there is
	// none or it has expired: at ExpiresAt it is over.
	Session(ctx context.Context, tokenHash [32]byte) (Session, error)

	// DeleteSession ends a session; one that does not exist is no error.
	DeleteSession(ctx context.Context, tokenHash [32]byte) error

	Accounts

	// Ping tells whether the store can be written now: nil, or an error that
	// wraps one of the above and says what is wrong.
	Ping(ctx context.Context) error

	// Close releases everything. Nothing else may be called during or after.
	Close() error

	PostStore
}

// RoomHead is a room and where its log ends.
type RoomHead struct {
	Room string
	Head int64
	At   time.Time // of the last event
}

// Session binds a cookie to a user. The token itself is never stored.
type Session struct {
	TokenHash [32]byte // SHA-256 of the token
	User      User
	CreatedAt time.Time
	ExpiresAt time.Time
	SeenAt    time.Time // about when it was last used; zero in one of an older build
	Agent     string    // what the browser said it was, cut short
	Retired   bool      // another one has taken its place; it ends in a moment
}
