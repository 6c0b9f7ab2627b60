package chat

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// ErrStill is an [Outlet]'s answer while its client stands still, to move to
// another process: nothing was sent.
var ErrStill = errors.New("the client stands still")

// ErrBusy is an [Outlet]'s answer while its client does not read: nothing was
// sent.
var ErrBusy = errors.New("the client does not read")

// Outlet is a member's way to its client.
type Outlet interface {
	// Send writes lines as one frame, without waiting for the client. After
	// [ErrStill] it is called again, with the same lines and perhaps more, after
	// [Hub.Wake], and after [ErrBusy] when Await has returned; after any other
	// error it is not. lines is valid only during the call.
	Send(lines []byte) error

	// Await waits, for a bounded time, until the client reads or Send has another
	// error to tell.
	Await()
}

// Member is one connection of a user. It has no queue: in each room it has a
// cursor, and one of a few tellers writes everything from the cursor to the head
// in one frame.
//
// Open, Join, Leave, Post and Close are called by one goroutine, the one that
// reads the client's messages.
type Member struct {
	hub   *Hub
	user  User
	out   Outlet
	rooms []string // those that are open; of the calling goroutine alone
	state atomic.Int32

	opened  atomic.Bool // by Open, or where it was restored from: it may be told of reading
	news    news
	sibling *Member // the next of the user's members; the hub's, under its lock

	turn  sync.Mutex // guards what follows; held while a frame is sent, never while the store is read
	seats []seat
	plan  int // counts who took or left a seat: a frame of before that is not sent
	next  int // whose turn it is first, so that a loud room starves no other
}

// States of a member. Only mark and flush go from one to another, and Close to
// the last.
const (
	memberIdle     int32 = iota // nothing to tell
	memberFlushing              // it is a teller's, or waits for one
	memberMarked                // the same, and there is something new
	memberClosed
)

// frame is what a member is told next, and where it is after that.
type frame struct {
	lines []byte
	seats []seat
	plan  int
	first int
	news  *markersTold // nil: nothing
}

// frames are lent to members while they are told something.
var frames = sync.Pool{New: func() any { return new(frame) }}

// free gives the frame back.
func (f *frame) free() {
	f.news = nil
	clear(f.seats) // rooms may be forgotten
	if cap(f.lines) <= 2*frameBytes {
		frames.Put(f)
	}
}

// Cursor is where a client stands in a room.
type Cursor struct {
	Seq int64 // of the last event that it holds; 0: none; -1: it asks for the last page
	At  int64 // when that was committed, Unix milliseconds; 0: it does not say, and is believed
}

// Open joins several rooms at once: the ones a hello names, at the cursors of
// a log's epoch. A client that names no epoch has its cursors believed.
func (m *Member) Open(epoch string, rooms map[string]Cursor) error {
	m.opened.Store(true)
	m.mark()
	for _, name := range sortedKeys(rooms) {
		cursor := rooms[name]
		if epoch != "" && epoch != m.hub.Epoch() {
			cursor = Cursor{Seq: -1} // it speaks of another log
		}
		if err := m.Join(name, cursor); err != nil {
			return err
		}
	}
	return nil
}

// Join opens a room at a cursor (see the wire's invariant 2). A room that is
// open already starts over at the cursor. Its error is a *[wire.Error].
func (m *Member) Join(name string, at Cursor) error {
	if slices.Contains(m.rooms, name) {
		m.unseat(name)
	} else {
		if len(m.rooms) >= wire.MaxRooms {
			return &wire.Error{Code: wire.CodeTooMany, Msg: fmt.Sprintf("at most %d rooms can be open", wire.MaxRooms)}
		}
		m.rooms = append(m.rooms, name)
	}
	r, version := m.hub.enter(name, m)
	m.seat(seat{room: r, sent: at.Seq, at: at.At, since: version})
	m.mark()
	return nil
}

func (m *Member) seat(s seat) {
	m.turn.Lock()
	defer m.turn.Unlock()
	m.seats = append(m.seats, s)
	m.plan++
}

// Leave closes a room: nothing more of it is told, and the others see the user
// go. Its error is a *[wire.Error].
func (m *Member) Leave(name string) error {
	if err := m.mustBeIn(name); err != nil {
		return err
	}
	m.rooms = slices.DeleteFunc(m.rooms, func(s string) bool { return s == name })
	if r := m.unseat(name); r != nil {
		r.exit(m, true)
	}
	return nil
}

// unseat takes a seat away, after what is being sent of it, and returns its
// room.
func (m *Member) unseat(name string) *room {
	m.turn.Lock()
	defer m.turn.Unlock()
	i := slices.IndexFunc(m.seats, func(s seat) bool { return s.room.name == name })
	if i < 0 {
		return nil
	}
	r := m.seats[i].room
	m.seats = slices.Delete(m.seats, i, i+1)
	m.plan++
	return r
}

// Post says something in an open room. An error is a *[wire.Error]: it is
// refused for good. What became of it otherwise tells [Pending.Wait].
func (m *Member) Post(room, nonce, text string) (*Pending, error) {
	if err := m.mustBeIn(room); err != nil {
		return nil, err
	}
	return m.hub.writer.post(Draft{Room: room, Kind: wire.EventPost, User: m.user, Nonce: nonce, Text: text}), nil
}

// Rooms are those that are open, in the order in which they were.
func (m *Member) Rooms() []string { return m.rooms }

// MayRead tells by a *[wire.Error] when a room is not open.
func (m *Member) MayRead(room string) error { return m.mustBeIn(room) }

func (m *Member) mustBeIn(room string) error {
	if !slices.Contains(m.rooms, room) {
		return &wire.Error{Code: wire.CodeNotJoined, Msg: fmt.Sprintf("room %q is not open on this connection: join it first", room)}
	}
	return nil
}

// Close takes the member out of its rooms, where it is missed after the grace.
// After Close nothing is sent.
func (m *Member) Close() {
	m.state.Store(memberClosed)
	m.turn.Lock()
	seats := m.seats
	m.seats = nil
	m.plan++
	m.turn.Unlock()
	for _, s := range seats {
		s.room.exit(m, false)
	}
	m.hub.disconnected(m)
}

// mark says that there may be something to tell. It never blocks.
func (m *Member) mark() {
	if m.claim() {
		m.hub.tellers.add(m)
	}
}

// claim is mark, and reports whether the caller has to find it a teller.
func (m *Member) claim() bool {
	for {
		switch s := m.state.Load(); s {
		case memberIdle:
			if m.state.CompareAndSwap(s, memberFlushing) {
				return true
			}
		case memberFlushing:
			if m.state.CompareAndSwap(s, memberMarked) {
				return false
			}
		default:
			return false
		}
	}
}

// flush tells until nothing is left. In a hurry it waits for nobody, neither the
// client nor the store: if it had to, it reports false and the member is still
// the caller's.
func (m *Member) flush(hurry bool) (done bool) {
	store := m.hub.store
	if hurry {
		store = noStore{}
	}
	for {
		m.state.CompareAndSwap(memberMarked, memberFlushing) // this round covers it
		wakes := m.hub.wakes.Load()
		d, err := m.round(store)
		switch busy := errors.Is(err, ErrBusy); {
		case busy && !hurry:
			m.out.Await()
			continue
		case err != nil && !busy:
			m.state.Store(memberClosed)
			return true
		case hurry && (busy || d == dueLater):
			return false
		case d == dueLater && !m.hub.later(m, wakes):
			d = dueMore
		}
		if d != dueMore && m.state.CompareAndSwap(memberFlushing, memberIdle) || m.state.Load() == memberClosed {
			return true
		}
	}
}

// round tells one frame of what is due.
func (m *Member) round(store Store) (due, error) {
	f := frames.Get().(*frame)
	defer f.free()
	m.look(f)
	left := f.gather(store)
	if len(f.lines) == 0 {
		return m.keep(f, left), nil
	}
	return m.send(f, left)
}

// look begins a frame where the member is.
func (m *Member) look(f *frame) {
	f.lines, f.news = f.lines[:0], nil
	if m.opened.Load() {
		f.news = m.news.told.Load()
	}
	m.turn.Lock()
	defer m.turn.Unlock()
	f.seats = append(f.seats[:0], m.seats...)
	f.plan, f.first = m.plan, m.next
	m.next++
}

// gather appends what is due in each room, beginning with another one each
// time.
func (f *frame) gather(store Store) due {
	var left due
	if f.news != nil {
		f.lines = f.news.append(f.lines)
	}
	for i := range f.seats {
		if len(f.lines) >= frameBytes {
			return dueMore
		}
		var d due
		f.lines, d = f.seats[(f.first+i)%len(f.seats)].append(f.lines, store)
		left = max(left, d)
	}
	return left
}

// sampleEvery is how many frames there are to each of which the delay is told:
// to look at the clock for every one would cost a loud room dearly.
const sampleEvery = 16

// meter tells now and then how long it took until a member was told what is new.
// The member is still where it was.
func (f *frame) meter(m *Member) {
	if f.first%sampleEvery != 0 {
		return
	}
	for i, before := range m.seats {
		if before.phase == seatLive && f.seats[i].sent > before.sent {
			m.hub.o.Meter.Delivered(time.Since(before.room.tail.Load().born))
			return
		}
	}
}

// keep moves the member on without a word: what is due elsewhere is the same.
func (m *Member) keep(f *frame, left due) due {
	m.turn.Lock()
	defer m.turn.Unlock()
	if m.plan != f.plan {
		return dueMore
	}
	copy(m.seats, f.seats)
	return left
}

// send sends the frame, and moves the member on if that was done. A client that
// stands still has been told nothing.
func (m *Member) send(f *frame, left due) (due, error) {
	m.turn.Lock()
	defer m.turn.Unlock()
	if m.state.Load() == memberClosed {
		return dueNothing, nil
	}
	if m.plan != f.plan {
		return dueMore, nil
	}
	err := m.out.Send(f.lines)
	if errors.Is(err, ErrStill) {
		return dueLater, nil
	}
	if err == nil {
		f.meter(m)
		copy(m.seats, f.seats)
		m.news.done(f.news)
	}
	return left, err
}
