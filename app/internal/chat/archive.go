package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// ErrConflict: what is to be restored does not fit what is stored.
var ErrConflict = errors.New("does not fit what is stored")

// Archive is a [Store] whose contents can be taken to another one as they are:
// with their seqs, times, nonces, sessions and epoch. Beyond what Store has:
//
//  1. Restore keeps every guarantee of Store: seqs stay dense, nonces unique,
//     times never go back.
//  2. What is stored already, the same in every field, may be restored again.
//
// [chattest.Archive] checks every implementation.
type Archive interface {
	Store

	// Restore stores events with the seqs and times they have, in order. Each
	// follows on the last of its room, or is stored already just so; else the
	// error wraps ErrConflict and says which. Of events before it some may be
	// stored, as of a batch of Append.
	Restore(ctx context.Context, events []Event) error

	// EachSession calls do with every session that has not ended, in any order,
	// and ends with its first error.
	EachSession(ctx context.Context, do func(Session) error) error

	// Adopt gives an empty log, without an event, the epoch of another. The
	// error wraps ErrConflict if it is not empty.
	Adopt(ctx context.Context, epoch string) error
}

// Follows tells by an error that wraps [ErrConflict] why an event cannot be
// stored behind the last of its room, of which seq and at (Unix milliseconds)
// are 0 if it has none.
func (e Event) Follows(seq, at int64) error {
	switch {
	case e.Seq != seq+1:
		return fmt.Errorf("event %d of room %s %w: its last event is %d", e.Seq, e.Room, ErrConflict, seq)
	case e.At.UnixMilli() < at:
		return fmt.Errorf("event %d of room %s %w: it is older than the one before it", e.Seq, e.Room, ErrConflict)
	}
	return nil
}

// Repeats tells by an error that wraps [ErrConflict] why an event is not the one
// that is stored in its place. Either may be erased.
func (e Event) Repeats(stored Event) error {
	if e == stored || e.erasedAs(stored) || stored.erasedAs(e) {
		return nil
	}
	return fmt.Errorf("event %d of room %s %w: another is stored there", e.Seq, e.Room, ErrConflict)
}

// erasedAs reports whether other is what is left of the event.
func (e Event) erasedAs(other Event) bool {
	if other == e.Void() {
		return true
	}
	e.Text = ""
	return e == other && (e.Kind == wire.EventPost || e.Kind == wire.EventEdit)
}

// StoredElsewhere is the error for an event whose nonce its author has used for
// another one.
func (e Event) StoredElsewhere() error {
	return fmt.Errorf("event %d of room %s %w: its nonce is that of another event", e.Seq, e.Room, ErrConflict)
}

var _ Archive = (*Memory)(nil)

// Restore is [Archive]'s.
func (m *Memory) Restore(ctx context.Context, events []Event) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range events {
		if err := m.room(e.Room).restore(e); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
	}
	return nil
}

func (r *memoryRoom) restore(e Event) error {
	head := int64(len(r.events))
	if 0 < e.Seq && e.Seq <= head {
		return e.Repeats(r.events[e.Seq-1])
	}
	var at int64
	if head > 0 {
		at = r.events[head-1].At.UnixMilli()
	}
	if err := e.Follows(head, at); err != nil {
		return err
	}
	post := memoryPost{e.User.ID, e.Nonce}
	if _, stored := r.posts[post]; stored {
		return e.StoredElsewhere()
	}
	r.add(e)
	return nil
}

// EachSession is [Archive]'s.
func (m *Memory) EachSession(ctx context.Context, do func(Session) error) error {
	for _, s := range m.liveSessions() {
		if err := cmp.Or(ctx.Err(), do(s)); err != nil {
			return fmt.Errorf("sessions: %w", err)
		}
	}
	return nil
}

func (m *Memory) liveSessions() []Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	var live []Session
	for _, s := range m.sessions {
		if m.now().Before(s.ExpiresAt) {
			live = append(live, s)
		}
	}
	return live
}

// Adopt is [Archive]'s.
func (m *Memory) Adopt(ctx context.Context, epoch string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.rooms {
		if len(m.rooms[name].events) > 0 {
			return fmt.Errorf("adopt: epoch %s %w: there are events", epoch, ErrConflict)
		}
	}
	m.epoch = epoch
	return nil
}
