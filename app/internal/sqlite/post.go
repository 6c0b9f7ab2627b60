package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// PostsBefore is [chat.PostStore]'s.
func (s *Store) PostsBefore(ctx context.Context, room string, seq int64, limit int) ([]chat.Event, error) {
	posts, err := s.page(ctx, s.readers.postsBefore, room, seq, limit)
	slices.Reverse(posts)
	return posts, err
}

// PostsAfter is [chat.PostStore]'s.
func (s *Store) PostsAfter(ctx context.Context, room string, seq int64, limit int) ([]chat.Event, error) {
	return s.page(ctx, s.readers.postsAfter, room, seq, limit)
}

// About is [chat.PostStore]'s.
func (s *Store) About(ctx context.Context, room string, posts []int64) ([]chat.Event, error) {
	list, err := json.Marshal(posts)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	events, err := scanEvents(ctx, s.readers.about, room, room, string(list))
	return events, s.readFault(ctx, err)
}

// Stored is [chat.PostStore]'s.
func (s *Store) Stored(ctx context.Context, room, author, nonce string) (chat.Event, error) {
	e, err := scanEvent(room, s.readers.stored.QueryRowContext(ctx, room, author, nonce))
	if errors.Is(err, sql.ErrNoRows) {
		return chat.Event{}, fmt.Errorf("event of a nonce: %w", chat.ErrNotFound)
	}
	return e, s.readFault(ctx, err)
}

// searchPosts walks down the ids of the index, which within a room is down its
// seqs, and so ends as soon as it has enough.
const searchPosts = `
	SELECT e.seq, e.at, e.kind, e.author, e.name, e.nonce, e.text, e.about, e.emoji, e.is_on
	FROM search
	CROSS JOIN searched ON searched.id = search.rowid
	CROSS JOIN events AS e ON e.room = searched.room AND e.seq = searched.seq
	WHERE search MATCH ?1
	AND search.rowid < coalesce((SELECT id FROM searched WHERE room = ?2 AND seq >= ?3 ORDER BY seq LIMIT 1), 9223372036854775807)
	AND searched.room = ?2
	ORDER BY search.rowid DESC LIMIT ?4`

// Search is [chat.PostStore]'s.
func (s *Store) Search(ctx context.Context, room string, words []string, before int64, limit int) ([]chat.Event, error) {
	if limit < 1 || len(words) == 0 || before < 1 {
		return nil, s.readFault(ctx, ctx.Err())
	}
	found, err := scanEvents(ctx, s.readers.search, room, match(room, words), room, before, limit)
	return found, s.readFault(ctx, err)
}

// match is the expression of FTS5 for words at the beginning of those of a
// room's posts. A word holds no quote. A room's name would be several words:
// its digits are one.
func match(room string, words []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `room : "%X"`, room)
	for _, w := range words {
		fmt.Fprintf(&b, ` AND words : "%s" *`, w)
	}
	return b.String()
}

// roomFloor is the last seq that is older than a time, or before the last posts
// of a number, which -1 is none of.
const roomFloor = `
	SELECT max(
		coalesce((SELECT seq FROM events WHERE room = ?1 AND at < ?2 ORDER BY seq DESC LIMIT 1), 0),
		coalesce((SELECT seq FROM events WHERE room = ?1 AND kind = 'post' AND ?3 > 0 ORDER BY seq DESC LIMIT 1 OFFSET max(?3, 0)), 0))`

// Expire is [chat.PostStore]'s.
func (s *Store) Expire(ctx context.Context, room string, before time.Time, keep, limit int) (voided int, last int64, err error) {
	at := int64(math.MinInt64)
	if !before.IsZero() {
		at = before.UnixMilli()
	}
	var upTo int64
	if err := s.readers.floor.QueryRowContext(ctx, room, at, keep).Scan(&upTo); err != nil {
		return 0, 0, s.readFault(ctx, err)
	}
	if upTo == 0 {
		return 0, 0, nil
	}
	var from, to int64
	err = s.writer.do(ctx, func(c *writeConn) (err error) {
		from, to, err = c.voidSome(room, upTo, limit)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("expire: %w", err)
	}
	if to <= from {
		return 0, 0, nil
	}
	return int(to - from), to, nil
}

// voidSome voids what follows on what is void: everything behind from up to to.
func (c *writeConn) voidSome(room string, upTo int64, limit int) (from, to int64, err error) {
	if err := c.expired.QueryRow(room).Scan(&from); err != nil {
		return 0, 0, err
	}
	if to = min(upTo, from+int64(limit)); to <= from {
		return 0, 0, nil
	}
	if _, err := c.expire.Exec(room, from, to); err != nil {
		return 0, 0, err
	}
	_, err = c.expiredTo.Exec(room, to)
	return from, to, err
}

// PutReads is [chat.PostStore]'s.
func (s *Store) PutReads(ctx context.Context, reads []chat.Read) error {
	reads = slices.Clone(reads) // the job may outlive the call
	err := s.writer.do(ctx, func(c *writeConn) error {
		for _, r := range reads {
			if _, err := c.putRead.Exec(r.User, r.Room, r.Seq); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("put reads: %w", err)
	}
	return nil
}

// Reads is [chat.PostStore]'s.
func (s *Store) Reads(ctx context.Context, user string) (map[string]int64, error) {
	reads, err := scanReads(ctx, s.readers.reads, user)
	return reads, s.readFault(ctx, err)
}

func scanReads(ctx context.Context, query *sql.Stmt, user string) (map[string]int64, error) {
	rows, err := query.QueryContext(ctx, user)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	reads := map[string]int64{}
	for rows.Next() {
		var room string
		var seq int64
		if err := rows.Scan(&room, &seq); err != nil {
			return nil, err
		}
		reads[room] = seq
	}
	return reads, rows.Err()
}
