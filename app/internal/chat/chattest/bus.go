package chattest

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// busPatience is how long a message may take where nothing is in its way.
const busPatience = 20 * time.Second

// Bus checks what a [chat.Bus] promises. join gives n ends of one bus, which end
// with the test and hand what they receive to deliver.
func Bus(t *testing.T, join func(t *testing.T, n int, deliver func(end int, data []byte)) []chat.Bus) {
	t.Run("reaches everybody else", func(t *testing.T) {
		heard := newHearing()
		ends := join(t, 3, heard.deliver)
		for from := range ends {
			heard.eventually(t, ends[from], from, fmt.Appendf(nil, "from %d", from), len(ends))
		}
		if n := heard.echoes(); n > 0 {
			t.Errorf("an end heard itself %d times", n)
		}
	})
	t.Run("carries the largest message", func(t *testing.T) {
		heard := newHearing()
		ends := join(t, 2, heard.deliver)
		heard.eventually(t, ends[0], 0, bytes.Repeat([]byte{'x'}, chat.MaxBusMessage), len(ends))
	})
	t.Run("never blocks", func(t *testing.T) {
		release := make(chan struct{})
		ends := join(t, 2, func(int, []byte) { <-release })
		t.Cleanup(func() { close(release) }) // before the ends end
		began := time.Now()
		for range 10_000 {
			ends[0].Publish(make([]byte, 1<<10))
		}
		if took := time.Since(began); took > busPatience {
			t.Errorf("10,000 messages to somebody who does not listen took %s", took)
		}
	})
}

// hearing is what the ends have received.
type hearing struct {
	mu  sync.Mutex
	got map[string]map[int]int // message → end → how often
	own map[string]int         // message → who published it
}

func newHearing() *hearing {
	return &hearing{got: map[string]map[int]int{}, own: map[string]int{}}
}

func (h *hearing) deliver(end int, data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.got[string(data)] == nil {
		h.got[string(data)] = map[int]int{}
	}
	h.got[string(data)][end]++
}

// eventually publishes until all others have heard: a bus may lose messages.
func (h *hearing) eventually(t *testing.T, bus chat.Bus, from int, data []byte, ends int) {
	t.Helper()
	h.mu.Lock()
	h.own[string(data)] = from
	h.mu.Unlock()
	for end := time.Now().Add(busPatience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		bus.Publish(data)
		h.mu.Lock()
		others := len(h.got[string(data)])
		if h.got[string(data)][from] > 0 {
			others--
		}
		h.mu.Unlock()
		if others == ends-1 {
			return
		}
	}
	t.Fatalf("what %d published is not heard by all", from)
}

func (h *hearing) echoes() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for message, from := range h.own {
		n += h.got[message][from]
	}
	return n
}
