package chat

import (
	"context"
	"errors"
	"time"
)

// DeletedUser is how the author of a post is called whose account is deleted.
const DeletedUser = "deleted user"

// ErrNameKept: another account keeps the name.
var ErrNameKept = errors.New("name kept by another account")

// Account is what is kept of a user beyond the sessions. A guest has none,
// unless an administrator had to do with them.
type Account struct {
	// User has the name that counts, whatever sessions say; "" for a guest who
	// was not given one.
	User User
	// Key is what the name has in common with all that could be taken for it;
	// of all accounts one has it. "" keeps no name.
	Key       string
	Password  string // a hash that names its algorithm and salt; "" for a guest
	Admin     bool
	CreatedAt time.Time // when the name was first kept; zero: never
	BannedAt  time.Time // zero: not banned
	DeletedAt time.Time // zero: not deleted
}

// Guest reports whether nobody can sign in to the account.
func (a Account) Guest() bool { return a.Password == "" }

// Banned reports whether the user may not talk.
func (a Account) Banned() bool { return !a.BannedAt.IsZero() }

// Change tells that something of a subject has changed which connections live
// by: look at it again.
type Change struct {
	Subject string    // as [UserSubject] and [RoomSubject] make them
	At      time.Time // by the clock of whoever changed it
	Mark    int64     // random: two changes of one moment differ
}

// Accounts are what a [Store] keeps of users. Guarantees, beyond those of
// Store's that speak of all its methods:
//
//  1. What returned nil is durable, and seen by every process on the store.
//  2. Of all accounts at most one has a key, whoever claims it, in how many
//     processes at once.
//  3. An edit is applied to the account as it is: none is lost between two. On
//     MongoDB that is the server's promise to keep.
type Accounts interface {
	// Account returns what is kept of a user; ErrNotFound if nothing is.
	Account(ctx context.Context, userID string) (Account, error)

	// AccountByKey returns the account that keeps a name; ErrNotFound if none
	// does.
	AccountByKey(ctx context.Context, key string) (Account, error)

	// EditAccount stores what edit makes of a user's account, of which only
	// User.ID is set if there is none, and returns it. edit may be called more
	// than once, by any goroutine, and its error ends the call. ErrNameKept if
	// the key is another's.
	EditAccount(ctx context.Context, userID string, edit func(*Account) error) (Account, error)

	// EachAccount calls do with every account, in any order, and ends with its
	// first error.
	EachAccount(ctx context.Context, do func(Account) error) error

	// UserSessions returns the sessions of a user that have not expired, the
	// newest first.
	UserSessions(ctx context.Context, userID string) ([]Session, error)

	// UpdateSession stores the name of a session's user, SeenAt and Agent. Its end
	// is only ever brought forward, and what is retired stays so, whoever updates
	// it at once. ErrNotFound if it has ended: it does not come back.
	UpdateSession(ctx context.Context, s Session) error

	// DeleteSessions ends all sessions of a user but those of keep.
	DeleteSessions(ctx context.Context, userID string, keep ...[32]byte) error

	// Anonymise gives every event of a user, in every room, another name of its
	// author. It is what a deleted account leaves behind.
	Anonymise(ctx context.Context, userID, name string) error

	// Tell says that a subject has changed, to whoever asks for Changes.
	Tell(ctx context.Context, subject string) error

	// Changes returns what was told since a moment, oldest first, of each subject
	// the last. What is older than [ChangesKept] may be forgotten.
	Changes(ctx context.Context, since time.Time) ([]Change, error)
}

// ChangesKept is how long a change is told of at least.
const ChangesKept = 10 * time.Minute

// UserSubject is the subject of a change to a user: name, rights, sessions.
func UserSubject(userID string) string { return "user/" + userID }

// RoomSubject is the subject of a change to a room: somebody outside of the
// chat has appended to its log.
func RoomSubject(room string) string { return "room/" + room }
