package load

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// room is what is known of a room's conversation by those who made it.
type room struct {
	name    string
	ledgers []*ledger     // of its authors
	pause   time.Duration // the longest in its schedule
	top     atomic.Int64  // the highest seq that was acknowledged
}

func newRoom(name string, authors []int, pause time.Duration) *room {
	r := &room{name: name, pause: pause}
	for _, a := range authors {
		r.ledgers = append(r.ledgers, &ledger{author: a})
	}
	return r
}

// ledgerOf returns the ledger of an author, nil when it does not write here,
// and which of the room's authors it is.
func (r *room) ledgerOf(author int) (int, *ledger) {
	i, ok := slices.BinarySearchFunc(r.ledgers, author, func(l *ledger, a int) int { return l.author - a })
	if !ok {
		return 0, nil
	}
	return i, r.ledgers[i]
}

// acknowledged notes that everything up to seq is in the log.
func (r *room) acknowledged(seq int64) {
	for {
		old := r.top.Load()
		if seq <= old || r.top.CompareAndSwap(old, seq) {
			return
		}
	}
}

// ledger is what one author has written in one room. Its methods may be called
// concurrently.
type ledger struct {
	author    int
	fragments bool // the author sends fragments: its messages have no latency

	mu     sync.Mutex
	posts  []int64        // where each message is, by its acknowledgement; 0: not acknowledged
	waived map[int64]bool // those that may stand behind later ones
	extra  int64          // acknowledgements that contradict an earlier one
}

// write begins the next message and returns its number.
func (l *ledger) write() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posts = append(l.posts, 0)
	return int64(len(l.posts))
}

// acknowledge notes where a message is. One acknowledgement more for the same
// place is the answer to a repetition.
func (l *ledger) acknowledge(number, seq int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch p := &l.posts[number-1]; *p {
	case 0:
		*p = seq
	case seq:
	default:
		l.extra++
	}
}

// waive lets a message stand behind later ones of its author: the server
// refused it for the moment.
func (l *ledger) waive(number int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waived == nil {
		l.waived = map[int64]bool{}
	}
	l.waived[number] = true
}

func (l *ledger) isWaived(number int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waived[number]
}

// totals returns how many messages were written and how many acknowledged.
func (l *ledger) totals() (written, acknowledged int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, seq := range l.posts {
		if seq > 0 {
			acknowledged++
		}
	}
	return int64(len(l.posts)), acknowledged
}
