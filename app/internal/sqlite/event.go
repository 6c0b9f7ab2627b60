package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// Append is [chat.Store]'s.
func (s *Store) Append(ctx context.Context, drafts []chat.Draft) ([]chat.Appended, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	if len(drafts) == 0 {
		return nil, nil
	}
	drafts = slices.Clone(drafts) // the job may outlive the call
	var appended []chat.Appended
	err := s.writer.do(ctx, func(c *writeConn) (err error) {
		b := batch{conn: c, now: s.now().UnixMilli(), tails: map[string]tail{}}
		appended, err = b.append(drafts)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	return appended, nil
}

// batch is one Append inside its transaction.
type batch struct {
	conn  *writeConn
	now   int64 // Unix milliseconds
	tails map[string]tail
}

// tail is where a room's log ends.
type tail struct{ seq, at int64 }

func (b *batch) append(drafts []chat.Draft) ([]chat.Appended, error) {
	appended := make([]chat.Appended, len(drafts))
	for i, d := range drafts {
		var err error
		if appended[i], err = b.add(d); err != nil {
			return nil, err
		}
	}
	return appended, nil
}

func (b *batch) add(d chat.Draft) (chat.Appended, error) {
	last, err := b.tail(d.Room)
	if err != nil {
		return chat.Appended{}, err
	}
	next := tail{last.seq + 1, max(b.now, last.at)}
	e := d.Event(next.seq, chat.Moment(next.at))
	inserted, err := b.conn.insertEvent(e)
	if err != nil {
		return chat.Appended{}, err
	}
	if !inserted {
		first, err := scanEvent(d.Room, b.conn.post.QueryRow(d.Room, d.User.ID, d.Nonce))
		return chat.Appended{Event: first, Duplicate: true}, err
	}
	b.tails[d.Room] = next
	return chat.Appended{Event: e}, nil
}

// insertEvent reports false, and inserts nothing, if the nonce is stored.
func (c *writeConn) insertEvent(e chat.Event) (inserted bool, err error) {
	result, err := c.insert.Exec(e.Room, e.Seq, e.At.UnixMilli(), string(e.Kind), e.User.ID, e.User.Name, e.Nonce, e.Text,
		e.Of, e.Emoji, e.On)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

func (b *batch) tail(room string) (tail, error) {
	if t, ok := b.tails[room]; ok {
		return t, nil
	}
	var t tail
	err := b.conn.tail.QueryRow(room).Scan(&t.seq, &t.at)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return tail{}, err
	}
	b.tails[room] = t
	return t, nil
}

// After is [chat.Store]'s.
func (s *Store) After(ctx context.Context, room string, seq int64, limit int) ([]chat.Event, error) {
	return s.page(ctx, s.readers.after, room, seq, limit)
}

// Before is [chat.Store]'s.
func (s *Store) Before(ctx context.Context, room string, seq int64, limit int) ([]chat.Event, error) {
	events, err := s.page(ctx, s.readers.before, room, seq, limit)
	slices.Reverse(events)
	return events, err
}

func (s *Store) page(ctx context.Context, query *sql.Stmt, room string, seq int64, limit int) ([]chat.Event, error) {
	if limit < 1 {
		return nil, s.readFault(ctx, ctx.Err()) // to SQLite a negative limit is none
	}
	events, err := scanEvents(ctx, query, room, room, seq, limit)
	if err != nil {
		return nil, s.readFault(ctx, err)
	}
	return events, nil
}

// scanEvents always closes its rows: one set left open would hold back the
// checkpoints of every process, and the log would grow without bound.
func scanEvents(ctx context.Context, query *sql.Stmt, room string, args ...any) ([]chat.Event, error) {
	rows, err := query.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var events []chat.Event
	for rows.Next() {
		e, err := scanEvent(room, rows)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, rows.Err()
}

// columns are those of an event that scanEvent reads.
const columns = "seq, at, kind, author, name, nonce, text, about, emoji, is_on"

// scanEvent reads a row of columns.
func scanEvent(room string, row interface{ Scan(...any) error }) (chat.Event, error) {
	e := chat.Event{Room: room}
	var at int64
	err := row.Scan(&e.Seq, &at, &e.Kind, &e.User.ID, &e.User.Name, &e.Nonce, &e.Text, &e.Of, &e.Emoji, &e.On)
	e.At = chat.Moment(at)
	return e, err
}

// Head is [chat.Store]'s.
func (s *Store) Head(ctx context.Context, room string) (int64, error) {
	var seq int64
	if err := s.readers.head.QueryRowContext(ctx, room).Scan(&seq); err != nil {
		return 0, s.readFault(ctx, err)
	}
	return seq, nil
}

// roomHeads jumps from room to room in the primary key: it costs a few page
// reads a room, however long the logs are.
const roomHeads = `
	WITH RECURSIVE names (room) AS (
		SELECT min(room) FROM events
		UNION ALL
		SELECT (SELECT min(room) FROM events WHERE room > names.room) FROM names WHERE names.room IS NOT NULL
	)
	SELECT names.room, last.seq, last.at FROM names
	JOIN events AS last ON last.room = names.room
		AND last.seq = (SELECT max(seq) FROM events WHERE room = names.room)
	ORDER BY names.room`

// Rooms is [chat.Store]'s.
func (s *Store) Rooms(ctx context.Context) ([]chat.RoomHead, error) {
	heads, err := scanRooms(ctx, s.readers.rooms)
	if err != nil {
		return nil, s.readFault(ctx, err)
	}
	return heads, nil
}

func scanRooms(ctx context.Context, query *sql.Stmt) ([]chat.RoomHead, error) {
	rows, err := query.QueryContext(ctx)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var heads []chat.RoomHead
	for rows.Next() {
		var h chat.RoomHead
		var at int64
		if err := rows.Scan(&h.Room, &h.Head, &at); err != nil {
			return nil, err
		}
		h.At = chat.Moment(at)
		heads = append(heads, h)
	}
	return heads, rows.Err()
}

// readFault says what the error of a read means, nil if it is nil.
func (s *Store) readFault(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // SQLite calls that an interrupt
		return fmt.Errorf("read: %w", ctx.Err())
	default:
		return fmt.Errorf("read: %w", s.writer.noticed(s.dir.fault(err)))
	}
}
