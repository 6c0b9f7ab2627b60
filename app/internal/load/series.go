package load

// series is which of the numbers 1, 2, 3, … have arrived. As long as they come
// in order it needs no memory beyond itself.
type series struct {
	top     int64  // the highest that arrived
	missing []span // below top, ascending, apart from each other
}

// span is the numbers from first to last.
type span struct{ first, last int64 }

// arrival says how a number came.
type arrival uint8

const (
	arrivedNext  arrival = iota // right after the highest
	arrivedAhead                // beyond it: others are missing now
	arrivedLate                 // it was missing
	arrivedAgain                // it was there already
)

// add takes a number.
func (s *series) add(n int64) arrival {
	switch {
	case n == s.top+1:
		s.top = n
		return arrivedNext
	case n > s.top:
		s.missing = append(s.missing, span{s.top + 1, n - 1})
		s.top = n
		return arrivedAhead
	case s.fill(n):
		return arrivedLate
	}
	return arrivedAgain
}

// fill takes n out of what is missing, if it is there.
func (s *series) fill(n int64) bool {
	for i := range s.missing {
		m := &s.missing[i]
		if n < m.first || n > m.last {
			continue
		}
		before, after := span{m.first, n - 1}, span{n + 1, m.last}
		var rest []span
		for _, r := range []span{before, after} {
			if r.first <= r.last {
				rest = append(rest, r)
			}
		}
		s.missing = append(s.missing[:i:i], append(rest, s.missing[i+1:]...)...)
		return true
	}
	return false
}

// skip makes everything up to n missing that has not arrived.
func (s *series) skip(n int64) {
	if n > s.top {
		s.missing = append(s.missing, span{s.top + 1, n})
		s.top = n
	}
}

// received is how many have arrived.
func (s *series) received() int64 {
	n := s.top
	for _, m := range s.missing {
		n -= m.last - m.first + 1
	}
	return n
}
