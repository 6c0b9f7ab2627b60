package chat

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// counter is an outlet that waits for a seq and keeps nothing.
type counter struct {
	target int64
	done   *sync.WaitGroup
}

func (c *counter) Send(lines []byte) error {
	for _, line := range wire.Lines(lines) {
		if !bytes.HasPrefix(line, []byte(`{"t":"live"`)) {
			continue
		}
		m, err := wire.ParseServer(line)
		if l, ok := m.(*wire.Live); ok && err == nil && l.Seq >= c.target {
			c.done.Done()
		}
	}
	return nil
}

func (c *counter) Await() {}

// taker counts what it is told, without reading it.
type taker struct {
	mu    sync.Mutex
	bytes int
}

func (c *taker) Send(lines []byte) error {
	c.mu.Lock()
	c.bytes += len(lines)
	c.mu.Unlock()
	return nil
}

func (c *taker) Await() {}

func (c *taker) got() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// BenchmarkFanOut is from a commit to the last member's Send, one event at a
// time.
func BenchmarkFanOut(b *testing.B) {
	for _, members := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			h := run(b, Options{Store: NewMemory()})
			takers := make([]*taker, members)
			for i := range takers {
				takers[i] = &taker{}
				m := h.Connect(User{ID: fmt.Sprint(i), Name: fmt.Sprint("user ", i)}, takers[i])
				m.Join("lobby", Cursor{})
				b.Cleanup(m.Close)
			}
			speaker := h.Connect(User{ID: "s", Name: "Speaker"}, &taker{})
			speaker.Join("lobby", Cursor{})
			b.Cleanup(speaker.Close)
			time.Sleep(time.Second) // presence settles
			want := make([]int, members)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				for k, t := range takers {
					want[k] = t.got() + 150
				}
				p, err := speaker.Post("lobby", fmt.Sprint("n", i), "a text of some sixty characters, as people write them in chats")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := p.Wait(); err != nil {
					b.Fatal(err)
				}
				for k, t := range takers {
					for t.got() < want[k] {
						time.Sleep(10 * time.Microsecond)
					}
				}
			}
			b.ReportMetric(float64(b.N*members)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// BenchmarkResume is a member that comes back, from Join to live.
func BenchmarkResume(b *testing.B) {
	for _, missed := range []int{0, 100, 500} {
		b.Run(fmt.Sprint(missed), func(b *testing.B) {
			h := run(b, Options{Store: filled(b, 1000)})
			keep := h.Connect(User{ID: "k", Name: "Keeper"}, &taker{})
			keep.Join("lobby", Cursor{Seq: 1000})
			b.Cleanup(keep.Close)
			time.Sleep(100 * time.Millisecond)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				var done sync.WaitGroup
				done.Add(1)
				m := h.Connect(User{ID: fmt.Sprint(i % 100), Name: "Resumer"}, &counter{target: 1000, done: &done})
				m.Join("lobby", Cursor{Seq: int64(1000 - missed)})
				done.Wait()
				m.Close()
			}
		})
	}
}

// BenchmarkHerd is 5000 members who come back at once, from the first Join to the
// last live. Each has missed the last 20 events, and says which one it holds.
func BenchmarkHerd(b *testing.B) {
	const members = 5000
	store := filled(b, 1000)
	held, err := store.After(b.Context(), "lobby", 979, 1)
	if err != nil {
		b.Fatal(err)
	}
	at := Cursor{Seq: 980, At: held[0].At.UnixMilli()}
	b.ReportAllocs()
	for range b.N {
		b.StopTimer()
		h := NewHub(Options{Store: store})
		ctx, cancel := context.WithCancel(b.Context())
		var running, done sync.WaitGroup
		running.Go(func() { h.Run(ctx) })
		done.Add(members)
		all := make([]*Member, members)
		for i := range all {
			all[i] = h.Connect(User{ID: fmt.Sprint(i), Name: fmt.Sprint("user ", i)}, &counter{target: 1000, done: &done})
		}
		b.StartTimer()
		for _, m := range all {
			m.Join("lobby", at)
		}
		done.Wait()
		b.StopTimer()
		for _, m := range all {
			m.Close()
		}
		cancel()
		running.Wait()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N*members)/b.Elapsed().Seconds(), "members/s")
}

// BenchmarkPost is from Post to its commit, by many at once.
func BenchmarkPost(b *testing.B) {
	h := run(b, Options{Store: NewMemory()})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		m := h.Connect(User{ID: fmt.Sprintf("%p", pb), Name: "Poster"}, &taker{})
		defer m.Close()
		m.Join("lobby", Cursor{Seq: -1})
		for i := 0; pb.Next(); i++ {
			p, err := m.Post("lobby", fmt.Sprint("n", i), "text")
			if err == nil {
				_, err = p.Wait()
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}
