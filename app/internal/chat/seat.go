package chat

import (
	"context"
	"fmt"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

const (
	frameBytes = 64 << 10 // a frame to a member is sent when it has grown so far
	readPage   = 100      // events that one read past the tail takes
)

// seat is one member's place in a room: how far it was told. It belongs to
// whoever has the member's turn.
type seat struct {
	room  *room
	phase seatPhase
	sent  int64 // the last seq told; in seatOpening the client's cursor
	at    int64 // in seatOpening: see Cursor
	told  int64 // the roster version told
	since int64 // the first roster version that this member is in
	typed int64 // the version told of who types
}

// seatPhase says what a member knows of a room.
type seatPhase uint8

const (
	seatOpening  seatPhase = iota // nothing: reset or not is still to be decided
	seatCatching                  // the events after its cursor are on their way
	seatLive                      // everything, and live was said
)

// due says what is left after a round.
type due uint8

const (
	dueNothing due = iota // everything is told
	dueLater              // the store could not be read
	dueMore               // the frame is full
)

// append appends what the member has to be told of this room, as far as a
// frame goes.
func (s *seat) append(b []byte, store Store) ([]byte, due) {
	t := s.room.tail.Load()
	if t == nil {
		return b, dueNothing // the filler will wake us
	}
	if s.phase == seatOpening {
		var err error
		if b, err = s.open(b, t, store); err != nil {
			return b, dueLater
		}
	}
	b, d := s.appendEvents(b, t, store)
	if d != dueNothing {
		return b, d
	}
	if s.phase == seatCatching && s.sent >= t.head {
		b = wire.AppendLine(b, &wire.Live{T: wire.KindLive, Room: s.room.name, Seq: s.sent})
		s.phase = seatLive
	}
	return s.appendTyping(s.appendRoster(b)), dueNothing
}

// open decides where the member starts: at its cursor, or by a reset at the
// last page.
func (s *seat) open(b []byte, t *tail, store Store) ([]byte, error) {
	head := t.head
	if s.sent > head { // another worker may know more
		var err error
		if head, err = readHead(store, s.room.name); err != nil {
			return b, err
		}
	}
	meter := s.room.hub.o.Meter
	follows, err := s.follows(t, head, store)
	if err != nil {
		return b, err
	}
	if follows {
		s.phase = seatCatching
		meter.Resumed(ResumedWhole, head-s.sent)
		return b, nil
	}
	how := ResumedReset
	if s.sent == -1 {
		how = ResumedNew
	}
	after, err := s.lastPage(t, head, store)
	if err != nil {
		return b, err
	}
	s.phase, s.sent = seatCatching, after
	meter.Resumed(how, head-after)
	return wire.AppendLine(b, &wire.Reset{T: wire.KindReset, Room: s.room.name, After: s.sent, Head: head}), nil
}

// follows reports whether the client can go on from its cursor: it has not
// missed too much, and what it holds there is what the log has there.
func (s *seat) follows(t *tail, head int64, store Store) (bool, error) {
	if s.sent < 0 || s.sent > head || head-s.sent > wire.MaxMissed {
		return false, nil
	}
	if s.sent == 0 || s.at == 0 {
		return true, nil
	}
	if at, ok := t.time(s.sent); ok {
		return at == s.at, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	events, err := store.After(ctx, s.room.name, s.sent-1, 1)
	if err != nil {
		return false, err
	}
	return len(events) == 1 && events[0].Seq == s.sent && events[0].At.UnixMilli() == s.at, nil
}

// lastPage returns the seq before the last posts of a page, or as many events as
// a client may miss if they are among more.
func (s *seat) lastPage(t *tail, head int64, store Store) (after int64, err error) {
	if head == t.head {
		if first, ok := t.lastPosts(wire.PageSize); ok {
			return max(first-1, head-wire.MaxMissed), nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	posts, err := store.PostsBefore(ctx, s.room.name, head+1, wire.PageSize)
	if err != nil {
		return 0, err
	}
	if len(posts) == 0 {
		return head, nil
	}
	return max(posts[0].Seq-1, head-wire.MaxMissed), nil
}

func readHead(store Store, room string) (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	return store.Head(ctx, room)
}

// appendEvents appends the events up to the tail's head, from memory where it
// holds them.
func (s *seat) appendEvents(b []byte, t *tail, store Store) ([]byte, due) {
	for s.sent < t.head {
		if len(b) >= frameBytes {
			return b, dueMore
		}
		if t.holds(s.sent) {
			var lines []byte
			lines, s.sent = t.after(s.sent, frameBytes-len(b))
			b = append(b, lines...)
			continue
		}
		var err error
		if b, err = s.appendRead(b, store); err != nil {
			return b, dueLater
		}
	}
	return b, dueNothing
}

// appendRead appends events read from the store.
func (s *seat) appendRead(b []byte, store Store) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	events, err := store.After(ctx, s.room.name, s.sent, readPage)
	if err != nil {
		return b, err
	}
	from := s.sent
	for i := range events {
		if e := &events[i]; e.Seq == s.sent+1 && len(b) < frameBytes {
			b = appendEvent(b, e)
			s.sent++
		}
	}
	if s.sent == from {
		return b, fmt.Errorf("read room %s after %d: nothing there: %w", s.room.name, from, ErrUnavailable)
	}
	return b, nil
}

// appendRoster appends who is there, once the list has this member in it.
func (s *seat) appendRoster(b []byte) []byte {
	r := s.room.roster.Load()
	if r.version < s.since || r.version == s.told {
		return b
	}
	b = r.appendSince(b, s.told)
	s.told = r.version
	return b
}
