package chat

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Memory is a [Store] that forgets everything with its process: guarantee 1
// does not hold, all others do. It serves tests, and it is the shortest
// statement of what a store has to do. Close keeps the data, so that the same
// Memory can be taken for a reopened store.
type Memory struct {
	now func() time.Time

	mu       sync.RWMutex
	epoch    string
	rooms    map[string]*memoryRoom
	sessions map[[32]byte]Session
	reads    map[string]map[string]int64 // by user and room
	accounts map[string]Account          // by user id
	changes  map[string]Change           // by subject
}

// memoryRoom is one log: the event with Seq n is events[n-1].
type memoryRoom struct {
	events []Event
	posts  map[memoryPost]int64 // to its seq
	about  map[int64][]int64    // a post's seq to those of the events about it
	voided int64                // everything up to there is void
}

type memoryPost struct{ author, nonce string }

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store with an epoch of its own.
func NewMemory() *Memory {
	var epoch [16]byte
	rand.Read(epoch[:]) // never fails: it ends the process instead
	return &Memory{
		epoch:    hex.EncodeToString(epoch[:]),
		now:      time.Now,
		rooms:    map[string]*memoryRoom{},
		sessions: map[[32]byte]Session{},
		reads:    map[string]map[string]int64{},
		accounts: map[string]Account{},
		changes:  map[string]Change{},
	}
}

// Append is [Store]'s.
func (m *Memory) Append(ctx context.Context, drafts []Draft) ([]Appended, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := AsKept(m.now())
	appended := make([]Appended, len(drafts))
	for i, d := range drafts {
		appended[i] = m.room(d.Room).append(d, now)
	}
	return appended, nil
}

// room returns a room's log, made if need be. m.mu is held for writing.
func (m *Memory) room(name string) *memoryRoom {
	r := m.rooms[name]
	if r == nil {
		r = &memoryRoom{posts: map[memoryPost]int64{}, about: map[int64][]int64{}}
		m.rooms[name] = r
	}
	return r
}

func (r *memoryRoom) append(d Draft, now time.Time) Appended {
	post := memoryPost{d.User.ID, d.Nonce}
	if seq, stored := r.posts[post]; stored {
		return Appended{Event: r.events[seq-1], Duplicate: true}
	}
	if head := len(r.events); head > 0 && r.events[head-1].At.After(now) {
		now = r.events[head-1].At
	}
	e := d.Event(int64(len(r.events))+1, now)
	r.add(e)
	return Appended{Event: e}
}

// add stores an event behind the last one.
func (r *memoryRoom) add(e Event) {
	r.events = append(r.events, e)
	r.posts[memoryPost{e.User.ID, e.Nonce}] = e.Seq
	if e.Of > 0 {
		r.about[e.Of] = append(r.about[e.Of], e.Seq)
		r.settle(e)
	}
}

// After is [Store]'s.
func (m *Memory) After(ctx context.Context, room string, seq int64, limit int) ([]Event, error) {
	return m.page(ctx, room, func(head int64) (from, to int64) {
		from = min(max(seq, 0), head)
		return from, from + min(int64(max(limit, 0)), head-from)
	})
}

// Before is [Store]'s.
func (m *Memory) Before(ctx context.Context, room string, seq int64, limit int) ([]Event, error) {
	return m.page(ctx, room, func(head int64) (from, to int64) {
		to = min(max(seq, 1)-1, head)
		return max(to-int64(max(limit, 0)), 0), to
	})
}

// page returns the events with from < Seq <= to, of which cut knows only where
// the room ends.
func (m *Memory) page(ctx context.Context, room string, cut func(head int64) (from, to int64)) ([]Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read %q: %w", room, err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	r := m.rooms[room]
	if r == nil {
		return nil, nil
	}
	from, to := cut(int64(len(r.events)))
	return slices.Clone(r.events[from:to]), nil
}

// Head is [Store]'s.
func (m *Memory) Head(ctx context.Context, room string) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("head of %q: %w", room, err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if r := m.rooms[room]; r != nil {
		return int64(len(r.events)), nil
	}
	return 0, nil
}

// Rooms is [Store]'s.
func (m *Memory) Rooms(ctx context.Context) ([]RoomHead, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("rooms: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var heads []RoomHead
	for _, name := range slices.Sorted(maps.Keys(m.rooms)) {
		events := m.rooms[name].events
		if len(events) == 0 {
			continue // nothing could be restored to it
		}
		last := events[len(events)-1]
		heads = append(heads, RoomHead{Room: name, Head: last.Seq, At: last.At})
	}
	return heads, nil
}

// Epoch is [Store]'s.
func (m *Memory) Epoch() string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.epoch
}

// PutSession is [Store]'s.
func (m *Memory) PutSession(ctx context.Context, s Session) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("put session: %w", err)
	}
	s.CreatedAt, s.ExpiresAt, s.SeenAt = AsKept(s.CreatedAt), AsKept(s.ExpiresAt), AsKept(s.SeenAt)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions[s.TokenHash] = s
	return nil
}

// Session is [Store]'s.
func (m *Memory) Session(ctx context.Context, tokenHash [32]byte) (Session, error) {
	if err := ctx.Err(); err != nil {
		return Session{}, fmt.Errorf("session: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[tokenHash]
	if ok && !m.now().Before(s.ExpiresAt) {
		delete(m.sessions, tokenHash)
		ok = false
	}
	if !ok {
		return Session{}, fmt.Errorf("session: %w", ErrNotFound)
	}
	return s, nil
}

// DeleteSession is [Store]'s.
func (m *Memory) DeleteSession(ctx context.Context, tokenHash [32]byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, tokenHash)
	return nil
}

// Ping is [Store]'s: memory can always be written.
func (m *Memory) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

// Close is [Store]'s.
func (m *Memory) Close() error { return nil }
