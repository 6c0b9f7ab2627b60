package chat

import (
	"context"
	"time"
)

// PostStore is the part of a [Store] that knows what events are about. Its
// guarantees go on from those of Store:
//
//  7. A del erases: in whatever is read after its Append has returned, the text
//     of its post is empty, and of every edit of that. Nothing else of them
//     changes, and seqs, times and nonces stay. If the Append fails, repeating
//     it completes that.
//  8. Expire voids (see [Event.Void]), and erases nothing that it does not say.
//     Voided events are no posts; the log stays dense, and nonces unique.
//  9. A read marker never goes back.
type PostStore interface {
	// PostsBefore returns the up to limit posts of room just before seq,
	// ascending, as they were posted. Seq and limit are as in Before.
	PostsBefore(ctx context.Context, room string, seq int64, limit int) ([]Event, error)

	// PostsAfter returns the up to limit posts of room just after seq, ascending,
	// as they were posted. Seq and limit are as in After.
	PostsAfter(ctx context.Context, room string, seq int64, limit int) ([]Event, error)

	// About returns every event of room that is about one of the posts, by their
	// seqs, ascending. Posts are at most a few hundred.
	About(ctx context.Context, room string, posts []int64) ([]Event, error)

	// Stored returns the event that an author has stored with a nonce.
	// ErrNotFound if there is none.
	Stored(ctx context.Context, room, author, nonce string) (Event, error)

	// Search returns the up to limit posts of room before seq whose latest text
	// [Matches] the words, as they were posted, the newest first. Without words
	// there are none. A post that was stored by an older build, or a moment ago,
	// may take a while to be found.
	Search(ctx context.Context, room string, words []string, before int64, limit int) ([]Event, error)

	// Expire voids the oldest events of room, at most limit in one call: those
	// before a time (zero: none), and those before the last keep posts (below 1:
	// none). It returns how many it has voided, and the seq of the last of them,
	// 0 if there were none.
	Expire(ctx context.Context, room string, before time.Time, keep, limit int) (voided int, last int64, err error)

	// PutReads sets read markers, but none back.
	PutReads(ctx context.Context, reads []Read) error

	// Reads returns how far a user has read each room.
	Reads(ctx context.Context, user string) (map[string]int64, error)
}

// Read is how far a user has read a room.
type Read struct {
	User string
	Room string
	Seq  int64
}
