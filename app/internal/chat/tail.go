package chat

import (
	"sort"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

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
	ends  []int   // ends[i] is where the line of first+i ends
	times []int64 // times[i] is when first+i was committed, Unix milliseconds
	posts []int64 // the seqs of the posts among them
	born  time.Time
}

// emptyTail is the tail of a room whose head is known and nothing else.
func emptyTail(head int64) *tail { return &tail{first: head + 1, head: head} }

// with returns the tail with those of events that follow on its head without a
// gap; others are left out. Only the owner of the newest tail may call it: its
// spare memory is given away once.
func (t *tail) with(events []Event) *tail {
	n := *t
	n.born = time.Now()
	for i := range events {
		if e := &events[i]; e.Seq == n.head+1 {
			n.lines = appendEvent(n.lines, e)
			n.ends = append(n.ends, len(n.lines))
			n.times = append(n.times, e.At.UnixMilli())
			n.head++
			n.note(e)
		}
	}
	n.trim()
	return &n
}

// note takes account of the last event. Nothing before a deletion is kept: it
// may hold what was erased, and the store knows what is left.
func (t *tail) note(e *Event) {
	switch e.Kind {
	case wire.EventPost:
		t.posts = append(t.posts, e.Seq)
	case wire.EventDel:
		t.cut(len(t.ends) - 1)
	}
}

// lastPosts returns the first of the last n posts, if the tail has so many or
// begins with the room. Without any it is what comes next.
func (t *tail) lastPosts(n int) (first int64, ok bool) {
	switch {
	case len(t.posts) >= n:
		return t.posts[len(t.posts)-n], true
	case t.first > 1:
		return 0, false
	case len(t.posts) == 0:
		return t.head + 1, true
	default:
		return t.posts[0], true
	}
}

// forget returns the tail without the events up to seq, which are not in the
// store any more.
func (t *tail) forget(seq int64) *tail {
	n := *t
	if drop := int(min(seq+1-t.first, int64(len(t.ends)))); drop > 0 {
		n.cut(drop)
	}
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
	t.cut(drop)
}

// cut leaves the first events out, in memory of its own.
func (t *tail) cut(drop int) {
	from := t.start(drop)
	ends := make([]int, 0, 2*tailEvents+1)
	for _, e := range t.ends[drop:] {
		ends = append(ends, e-from)
	}
	t.first += int64(drop)
	t.lines = append(make([]byte, 0, len(t.lines)), t.lines[from:]...)
	t.ends = ends
	t.times = append(make([]int64, 0, 2*tailEvents+1), t.times[drop:]...)
	gone := sort.Search(len(t.posts), func(i int) bool { return t.posts[i] >= t.first })
	t.posts = append(make([]int64, 0, 2*tailEvents+1), t.posts[gone:]...)
}

// time returns when an event was committed, in Unix milliseconds, if it is here.
func (t *tail) time(seq int64) (at int64, ok bool) {
	if seq < t.first || seq > t.head {
		return 0, false
	}
	return t.times[seq-t.first], true
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
