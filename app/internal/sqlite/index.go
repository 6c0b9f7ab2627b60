package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"
)

// How posts get into the search that were stored before there was one: so many
// in a transaction, with a pause that leaves the disk to people.
const (
	indexChunk = 200
	indexPause = 20 * time.Millisecond
	indexRetry = 5 * time.Second
)

// unsearchedRoom is a room with posts before its first one in the search.
const unsearchedRoom = `
	WITH RECURSIVE names (room) AS (
		SELECT min(room) FROM events
		UNION ALL
		SELECT (SELECT min(room) FROM events WHERE room > names.room) FROM names WHERE names.room IS NOT NULL
	)
	SELECT room FROM names WHERE room IS NOT NULL AND
		(SELECT min(seq) FROM events WHERE events.room = names.room AND kind = 'post') <
		coalesce((SELECT min(seq) FROM searched WHERE searched.room = names.room), 9223372036854775807)
	LIMIT 1`

// unsearchedPosts are the last posts before a room's first one in the search,
// with their latest texts.
const unsearchedPosts = `
	SELECT seq, coalesce((SELECT edit.text FROM events AS edit WHERE edit.room = post.room AND edit.about = post.seq
		AND edit.about > 0 AND edit.kind = 'edit' AND edit.author = post.author ORDER BY edit.seq DESC LIMIT 1), text)
	FROM events AS post WHERE room = ?1 AND kind = 'post'
	AND seq < coalesce((SELECT min(seq) FROM searched WHERE room = ?1), 9223372036854775807)
	ORDER BY seq DESC LIMIT ?2`

// indexAll brings the posts of before into the search, the newest of a room
// first, until there are none or ctx ends. Others may do the same at once.
func (s *Store) indexAll(ctx context.Context) {
	for {
		var room string
		err := s.readers.unsearched.QueryRowContext(ctx).Scan(&room)
		if errors.Is(err, sql.ErrNoRows) {
			return
		}
		wait := indexPause
		if err == nil {
			err = s.writer.do(ctx, func(c *writeConn) error { return c.indexSome(room) })
		}
		if err != nil {
			wait = indexRetry
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// indexSome gives posts ids below all others: within a room the search walks
// them down.
func (c *writeConn) indexSome(room string) error {
	posts, err := c.readUnsearched(room)
	if err != nil {
		return err
	}
	id := int64(math.MaxInt64)
	if err := c.searchedFrom.QueryRow().Scan(&id); err != nil {
		return err
	}
	for _, p := range posts {
		id--
		if _, err := c.found.Exec(id, room, p.seq); err != nil {
			return err
		}
		if _, err := c.index.Exec(id, room, p.text); err != nil {
			return err
		}
	}
	return nil
}

type unsearchedPost struct {
	seq  int64
	text string
}

func (c *writeConn) readUnsearched(room string) (posts []unsearchedPost, err error) {
	rows, err := c.unsearched.Query(room, indexChunk)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var p unsearchedPost
		if err := rows.Scan(&p.seq, &p.text); err != nil {
			return nil, err
		}
		posts = append(posts, p)
	}
	return posts, rows.Err()
}
