package load

import "time"

// seat is a client's place in a room: what has arrived there, and what was
// wrong with it. It belongs to its client.
type seat struct {
	room    *room
	seqs    series
	authors []series      // the numbers that arrived, of each of the room's authors
	places  uint64        // of everything that arrived, see place
	again   int64         // up to here the server said that it sends again
	hole    span          // what a reset skipped and is still to be read; none when first is 0
	asked   time.Duration // when for the hole, on this connection; 0: not
	from    int64         // the cursor of the last hello

	heard time.Duration // when the last event came, in the time of the run
	live  bool          // the server said so once

	duplicated int64
	reordered  int64
}

func newSeat(r *room) *seat {
	return &seat{room: r, authors: make([]series, len(r.ledgers))}
}

// place is a number for an event at its place in the log. The sum of all is
// the same for two logs only when they are the same: collisions are as rare as
// with any 64 bit hash.
func place(seq int64, m message) uint64 {
	h := uint64(seq)
	for _, v := range [...]uint64{uint64(m.author), uint64(m.number), uint64(m.due)} {
		h = (h ^ v) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h
}

// take checks an event that the server sent by itself. It reports whether the
// event is a first copy.
func (s *seat) take(seq int64, m message, ours bool) (first bool) {
	how := s.seqs.add(seq)
	if how == arrivedAgain {
		if seq > s.again {
			s.duplicated++
		}
		return false
	}
	s.places += place(seq, m)
	if how == arrivedLate {
		s.reordered++
	}
	if ours {
		s.number(m, how == arrivedLate)
	}
	return true
}

// number checks a message against its author's others. When it came late by
// its seq that is counted already.
func (s *seat) number(m message, late bool) {
	i, l := s.room.ledgerOf(m.author)
	if l == nil {
		return
	}
	switch s.authors[i].add(m.number) {
	case arrivedAgain:
		s.duplicated++
	case arrivedLate:
		if !late && !l.isWaived(m.number) {
			s.reordered++
		}
	}
}

// read takes an event that the client asked for. It may come late, and what is
// there already was only asked for too broadly.
func (s *seat) read(seq int64, m message, ours bool) (first bool) {
	if s.hole.first > 0 && seq >= s.hole.first {
		s.hole.first = seq + 1
		if s.hole.first > s.hole.last {
			s.hole = span{}
		}
	}
	if s.seqs.add(seq) == arrivedAgain {
		return false
	}
	s.places += place(seq, m)
	if i, l := s.room.ledgerOf(m.author); ours && l != nil {
		s.authors[i].add(m.number)
	}
	return true
}

// reset obeys the server: the next event is after+1. It reports whether there
// is something to read that was skipped.
func (s *seat) reset(after int64) bool {
	if after <= s.seqs.top {
		s.again = s.seqs.top
		return false
	}
	if s.hole.first == 0 {
		s.hole.first = s.seqs.top + 1
	}
	s.hole.last = after
	s.asked = 0
	s.seqs.skip(after)
	return true
}

// isComplete reports whether everything acknowledged is here and nothing
// before it missing.
func (s *seat) isComplete() bool {
	return s.seqs.top >= s.room.top.Load() && len(s.seqs.missing) == 0
}
