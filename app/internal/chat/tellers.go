package chat

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"sync"
)

// tellers are the few goroutines that tell members what is new, one after the
// other. A goroutine for each member would grow its stack each time, and a
// thousand of them would keep everybody who posts waiting for their turn. A member
// for whom a teller had to wait gets a goroutine of its own until that is over.
type tellers struct {
	most    int // at once
	running sync.WaitGroup

	mu    sync.Mutex
	queue []*Member // those from next on wait
	next  int
	n     int // at work
}

func newTellers() *tellers { return &tellers{most: runtime.GOMAXPROCS(0)} }

// claimed marks members, and returns those that need a teller.
func claimed(members iter.Seq[*Member]) (all []*Member) {
	for m := range members {
		if m.claim() {
			all = append(all, m)
		}
	}
	return all
}

// add finds tellers for members that were claimed. It never blocks.
func (t *tellers) add(members ...*Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next > len(t.queue)/2 {
		t.queue, t.next = slices.Delete(t.queue, 0, t.next), 0
	}
	t.queue = append(t.queue, members...)
	for ; t.n < t.most && t.n < len(t.queue)-t.next; t.n++ {
		t.running.Go(t.work)
	}
}

// take returns the member whose turn it is, nil when nobody waits: then there is
// one teller less.
func (t *tellers) take() *Member {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next == len(t.queue) {
		t.queue, t.next = t.queue[:0], 0
		t.n--
		return nil
	}
	m := t.queue[t.next]
	t.queue[t.next] = nil
	t.next++
	return m
}

// work is one teller's. Whoever else is ready to run goes first: that is people
// who post, and their commits.
func (t *tellers) work() {
	for m := t.take(); m != nil; m = t.take() {
		if !m.flush(true) {
			t.running.Go(func() { m.flush(false) })
		}
		runtime.Gosched()
	}
}

// noStore is the store of whoever has no time to read it.
type noStore struct{ Store }

func (noStore) After(context.Context, string, int64, int) ([]Event, error) {
	return nil, ErrUnavailable
}

func (noStore) PostsBefore(context.Context, string, int64, int) ([]Event, error) {
	return nil, ErrUnavailable
}

func (noStore) Head(context.Context, string) (int64, error) { return 0, ErrUnavailable }
