package chat

import "sort"

// Size of a tail: so many events and bytes are kept at least, if there are so
// many, and twice as much at most.
const (
	tailEvents = 256
	tailBytes  = 128 << 10
)

// tail is the end of a room's log, encoded once for everybody: the lines of
// the events first to head, one behind the other. A tail never changes; a
// later one may share its memory and add behind its end.
type tail struct {
	first int64 // head+1 when it holds none
	head  int64 // the last seq of the room, as far as this process knows
	lines []byte
	ends  []int // ends[i] is where the line of first+i ends
}

// emptyTail is the tail of a room whose head is known and nothing else.
func emptyTail(head int64) *tail { return &tail{first: head + 1, head: head} }

// with returns the tail with those of events that follow on its head without a
// gap; others are left out. Only the owner of the newest tail may call it: its
// spare memory is given away once.
func (t *tail) with(events []Event) *tail {
	n := *t
	for i := range events {
		if e := &events[i]; e.Seq == n.head+1 {
			n.lines = appendEvent(n.lines, e)
			n.ends = append(n.ends, len(n.lines))
			n.head++
		}
	}
	n.trim()
	return &n
}

// trim moves the newer part to memory of its own when the whole has grown to
// twice its size. A single line larger than that stays alone.
func (t *tail) trim() {
	if len(t.ends) <= 2*tailEvents && len(t.lines) <= 2*tailBytes {
		return
	}
	drop := max(0, len(t.ends)-tailEvents)
	for drop < len(t.ends)-1 && len(t.lines)-t.start(drop) > tailBytes {
		drop++
	}
	from := t.start(drop)
	ends := make([]int, 0, 2*tailEvents+1)
	for _, e := range t.ends[drop:] {
		ends = append(ends, e-from)
	}
	t.first += int64(drop)
	t.lines = append(make([]byte, 0, len(t.lines)), t.lines[from:]...)
	t.ends = ends
}

// start is where the i-th line begins.
func (t *tail) start(i int) int {
	if i == 0 {
		return 0
	}
	return t.ends[i-1]
}

// holds reports whether the event after seq is here, or there is none.
func (t *tail) holds(seq int64) bool { return seq+1 >= t.first }

// after returns the lines after seq, at least one and then as many as fit
// limit bytes, and the seq of the last. The tail must hold seq, and seq be
// below its head.
func (t *tail) after(seq int64, limit int) (lines []byte, last int64) {
	i := int(seq + 1 - t.first)
	from := t.start(i)
	n := sort.Search(len(t.ends)-i, func(k int) bool { return t.ends[i+k]-from > limit })
	n = max(n, 1)
	return t.lines[from:t.ends[i+n-1]], seq + int64(n)
}
