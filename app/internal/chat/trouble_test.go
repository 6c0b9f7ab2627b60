package chat

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

func TestStoreAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := &moody{Memory: NewMemory()}
		h := run(t, Options{Store: store})
		ann := meet(t, h, "Ann", inLobby())
		defer ann.Close()
		for i := range 5 {
			ann.post("lobby", fmt.Sprint("n", i), fmt.Sprint(i))
		}
		soon(time.Second)

		for _, why := range []error{ErrUnavailable, ErrFull} {
			store.fail(fmt.Errorf("append: %w", why))
			if _, err := ann.post("lobby", "lost", "lost"); !errors.Is(err, why) {
				t.Errorf("post: got %v, want %v", err, why)
			}
		}
		bob := meet(t, h, "Bob", map[string]int64{"lobby": 2}) // from memory
		defer bob.Close()
		elsewhere := meet(t, h, "Carol", map[string]int64{"other": 0}) // cannot be known yet
		defer elsewhere.Close()
		ahead := meet(t, h, "Dan", map[string]int64{"lobby": 9}) // nor this
		defer ahead.Close()
		soon(time.Second)
		if got := bob.told(); len(got) != 3 {
			t.Errorf("while the store is away: got %q, want the three missed", got)
		}
		for _, s := range []*screen{elsewhere, ahead} {
			if got := taken[*wire.Live](s); len(got) != 0 {
				t.Errorf("live without having read the store: %+v", got[0])
			}
		}

		store.fail(nil)
		soon(5 * time.Second)
		for _, s := range []*screen{elsewhere, ahead} {
			if got := taken[*wire.Live](s); len(got) != 1 {
				t.Errorf("got %d lives after the store came back, want 1", len(got))
			}
		}
		if _, err := ann.post("lobby", "lost", "lost"); err != nil {
			t.Errorf("the same nonce again: %v", err)
		}
		soon(time.Second)
		if got := bob.told(); len(got) != 4 {
			t.Errorf("got %q, want the post after the store came back too", got)
		}
	})
}

func TestNonceIsStoredOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory()})
		ann := meet(t, h, "Ann", inLobby())
		defer ann.Close()
		first, _ := ann.post("lobby", "n1", "one")
		ann.post("lobby", "n2", "two")
		again, err := ann.post("lobby", "n1", "one")
		if err != nil || again.Event.Seq != first.Event.Seq || !again.Duplicate {
			t.Errorf("got %+v, %v; want the first one's seq %d", again, err, first.Event.Seq)
		}
		soon(time.Second)
		if got := ann.told(); len(got) != 2 {
			t.Errorf("got %q, want each once", got)
		}
	})
}

func TestPostsShareCommits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		store := &moody{Memory: NewMemory(), slow: 10 * time.Millisecond}
		h := run(t, Options{Store: store})
		ann := meet(t, h, "Ann", inLobby())
		defer ann.Close()
		soon(time.Second)
		var posts []*Pending
		const n = maxBatch + 100
		for i := range n {
			p, err := ann.Post("lobby", fmt.Sprint("n", i), "x")
			if err != nil {
				t.Fatal(err)
			}
			posts = append(posts, p)
		}
		for i, p := range posts {
			if a, err := p.Wait(); err != nil || a.Event.Seq != int64(i+1) {
				t.Fatalf("post %d: got %+v, %v", i, a.Event, err)
			}
		}
		if store.appends > 4 {
			t.Errorf("%d posts took %d commits, want at most 4", n, store.appends)
		}
	})
}

func TestQueueOfPostsIsBounded(t *testing.T) {
	w := newWriter(NewMemory(), slog.New(slog.DiscardHandler), unmetered{}, func([]Appended) {})
	for range maxQueue {
		w.post(Draft{})
	}
	if _, err := w.post(Draft{}).Wait(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want %v", err, ErrUnavailable)
	}
}

// wireBus joins hubs in memory, and loses what it is told to.
type wireBus struct {
	mu   sync.Mutex
	hubs []*Hub
	lose func(n int) bool
	n    int
}

type port struct {
	bus *wireBus
	i   int
}

func (p port) Publish(data []byte) {
	p.bus.mu.Lock()
	defer p.bus.mu.Unlock()
	p.bus.n++
	if len(data) > MaxBusMessage {
		panic("message too large for a bus")
	}
	if p.bus.lose != nil && p.bus.lose(p.bus.n) {
		return
	}
	for i, h := range p.bus.hubs {
		if i != p.i {
			h.Deliver(data)
		}
	}
}

// join runs hubs on one store, joined by a bus.
func join(t *testing.T, store Store, n int, lose func(int) bool) []*Hub {
	b := &wireBus{lose: lose}
	for i := range n {
		b.hubs = append(b.hubs, run(t, Options{Store: store, Bus: port{b, i}}))
	}
	for _, h := range b.hubs {
		h.Peers(n - 1)
	}
	return b.hubs
}

func TestTwoHubsAreOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hubs := join(t, NewMemory(), 2, nil)
		ann, bob := meet(t, hubs[0], "Ann", inLobby()), meet(t, hubs[1], "Bob", inLobby())
		defer ann.Close()
		soon(3 * time.Second)
		for i := range 10 {
			from := []*screen{ann, bob}[i%2]
			if _, err := from.post("lobby", fmt.Sprint("n", i), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		soon(10 * time.Millisecond) // by the doorbell, long before heads are read
		for _, s := range []*screen{ann, bob} {
			if got := s.told(); len(got) != 10 {
				t.Errorf("got %q, want all ten", got)
			}
			if got := crowd(t, taken[*wire.Pres](s)); len(got) != 2 {
				t.Errorf("got %q, want both", got)
			}
		}
		if !hubs[0].NameTaken("bob", "id-other") {
			t.Error("a name in use at the peer is free")
		}

		bob.Close()
		hubs[0].Peers(0) // the other worker has gone
		soon(time.Second)
		if got := taken[*wire.Pres](ann); len(got) != 0 {
			t.Errorf("within the grace: got %+v", got[0])
		}
		soon(10 * time.Second)
		if got := taken[*wire.Pres](ann); len(got) != 1 || len(got[0].Left) != 1 {
			t.Errorf("after the grace: got %+v, want Bob gone", got)
		}
	})
}

// TestMoveBetweenHubsDoesNotFlicker is what a deploy looks like to the others.
func TestMoveBetweenHubsDoesNotFlicker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hubs := join(t, NewMemory(), 2, nil)
		ann, bob := meet(t, hubs[1], "Ann", inLobby()), meet(t, hubs[0], "Bob", inLobby())
		defer ann.Close()
		soon(3 * time.Second)
		taken[*wire.Pres](ann)
		bob.Close()
		soon(time.Second)
		moved := meet(t, hubs[1], "Bob", inLobby())
		defer moved.Close()
		soon(20 * time.Second)
		if got := taken[*wire.Pres](ann); len(got) != 0 {
			t.Errorf("got %+v, want nothing", got[0])
		}
	})
}

func TestLostDoorbellIsRepaired(t *testing.T) {
	bubble(t, func(t *testing.T) {
		hubs := join(t, NewMemory(), 2, func(int) bool { return true })
		ann, bob := meet(t, hubs[0], "Ann", inLobby()), meet(t, hubs[1], "Bob", inLobby())
		defer ann.Close()
		defer bob.Close()
		soon(time.Second)
		ann.post("lobby", "n1", "one")
		soon(1100 * time.Millisecond)
		if got := bob.told(); len(got) != 1 {
			t.Errorf("got %q, want the post", got)
		}
	})
}

func TestForeignMessagesAreIgnored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := run(t, Options{Store: NewMemory()})
		ann := meet(t, h, "Ann", inLobby())
		defer ann.Close()
		for _, s := range []string{"", "{", "[]", `{"heads":{"lobby":99}}`, `{"later":1}`, `{"here":{"nowhere":[{"id":"1"}]}}`} {
			h.Deliver([]byte(s))
		}
		soon(time.Second)
		if _, err := ann.post("lobby", "n1", "one"); err != nil {
			t.Fatal(err)
		}
		soon(time.Second)
		if got := ann.told(); len(got) != 1 {
			t.Errorf("got %q, want the post", got)
		}
	})
}
