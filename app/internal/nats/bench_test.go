package nats

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/nats/natstest"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// BenchmarkDoorbell is from Publish at one host to Deliver at another, through a
// NATS server in a process of its own.
func BenchmarkDoorbell(b *testing.B) {
	server := natstest.Start(b, "")
	var mu sync.Mutex
	var took []time.Duration
	got := make(chan struct{}, 1)
	l := &listener{hook: func(data []byte) {
		if len(data) != 100 {
			return
		}
		mu.Lock()
		took = append(took, time.Duration(time.Now().UnixNano()-int64(binary.BigEndian.Uint64(data))))
		mu.Unlock()
		got <- struct{}{}
	}}
	from := run(b, Options{URL: server.URL()}, "log", &listener{})
	run(b, Options{URL: server.URL()}, "log", l)
	eventually(b, "they are connected", func() bool {
		from.Publish([]byte("hello"))
		return l.hears("hello") > 0
	})
	b.ResetTimer()
	for range b.N {
		data := make([]byte, 100)
		binary.BigEndian.PutUint64(data, uint64(time.Now().UnixNano()))
		from.Publish(data)
		<-got
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// counted is a store that counts who reads it, and a bus that counts what it
// carries.
type counted struct {
	chat.Store
	reads, messages, bytes atomic.Int64
}

func (c *counted) After(ctx context.Context, room string, seq int64, limit int) ([]chat.Event, error) {
	c.reads.Add(1)
	return c.Store.After(ctx, room, seq, limit)
}

func (c *counted) Head(ctx context.Context, room string) (int64, error) {
	c.reads.Add(1)
	return c.Store.Head(ctx, room)
}

type countedBus struct {
	chat.Bus
	c *counted
}

func (b countedBus) Publish(data []byte) {
	b.c.messages.Add(1)
	b.c.bytes.Add(int64(len(data)))
	b.Bus.Publish(data)
}

// sink is a member's client: it counts its bytes.
type sink struct{ events *atomic.Int64 }

// eventPrefix begins every event's line.
var eventPrefix = []byte(`{"t":"` + string(wire.KindEvent) + `"`)

func (sink) Await() {}

func (s sink) Send(lines []byte) error {
	for _, line := range wire.Lines(lines) {
		if len(line) > len(eventPrefix) && string(line[:len(eventPrefix)]) == string(eventPrefix) {
			s.events.Add(1)
		}
	}
	return nil
}

const (
	benchMembers = 1000 // of each host
	benchRooms   = 20   // that they are spread over
)

// hosts are hubs on one store in memory, each with its own connection to one NATS
// server and a thousand members. What is measured is the price of several hosts,
// without WebSockets, and without a database's.
type hosts struct {
	counted
	events  atomic.Int64
	members [][]*chat.Member
}

func newHosts(b *testing.B, n int) *hosts {
	h := &hosts{counted: counted{Store: chat.NewMemory()}}
	server := natstest.Start(b, "")
	for i := range n {
		bus, err := New(Options{URL: server.URL()})
		if err != nil {
			b.Fatal(err)
		}
		hub := chat.NewHub(chat.Options{Store: &h.counted, Bus: countedBus{bus, &h.counted}})
		ctx, stop := context.WithCancel(context.Background())
		var loops sync.WaitGroup
		loops.Go(func() { hub.Run(ctx) })
		loops.Go(func() { bus.Run(ctx, hub.Epoch(), hub) })
		b.Cleanup(func() { stop(); loops.Wait() })
		if n > 1 {
			hub.Peers(1)
		}
		var members []*chat.Member
		for k := range benchMembers {
			id := fmt.Sprintf("host%02d-member%04d", i, k)
			m := hub.Connect(chat.User{ID: id, Name: id}, sink{&h.events})
			b.Cleanup(m.Close)
			if err := m.Join(roomOf(k), chat.Cursor{Seq: -1}); err != nil {
				b.Fatal(err)
			}
			members = append(members, m)
		}
		h.members = append(h.members, members)
	}
	time.Sleep(3 * time.Second) // presence settles
	return h
}

func roomOf(member int) string { return fmt.Sprint("room", member%benchRooms) }

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail with these arguments
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// heap is what this process holds, in bytes.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// used are the counters at a moment.
type used struct {
	at                     time.Time
	cpu                    time.Duration
	reads, messages, bytes int64
}

func (h *hosts) used() used {
	return used{time.Now(), cpu(), h.reads.Load(), h.messages.Load(), h.bytes.Load()}
}

// BenchmarkIdleHosts is what hosts with a thousand members each cost when nobody
// says anything, each of them and a second, whatever b.N. One that is alone has
// nobody to tell.
func BenchmarkIdleHosts(b *testing.B) {
	for _, n := range []int{1, 2, 3} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			empty := heap()
			h := newHosts(b, n)
			b.ReportMetric(float64(heap()-empty)/1024/float64(n), "heap-KiB")
			before := h.used()
			time.Sleep(10 * time.Second)
			after := h.used()
			each := after.at.Sub(before.at).Seconds() * float64(n)
			b.ReportMetric(float64((after.cpu-before.cpu).Milliseconds())/each, "cpu-ms/s")
			b.ReportMetric(float64(after.reads-before.reads)/each, "reads/s")
			b.ReportMetric(float64(after.messages-before.messages)/each, "nats/s")
			b.ReportMetric(float64(after.bytes-before.bytes)/1024/each, "nats-KiB/s")
		})
	}
}

// BenchmarkTalkingHosts is what a message costs all hosts together: as fast as
// they can, twenty people of each host at once, each in a room of fifty members of
// each host.
func BenchmarkTalkingHosts(b *testing.B) {
	for _, n := range []int{1, 2, 3} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := newHosts(b, n)
			events, before := h.events.Load(), h.used()
			b.ResetTimer()
			var talking sync.WaitGroup
			for i, members := range h.members {
				for k := range benchRooms {
					talking.Go(func() { talk(b, members[k], roomOf(k), fmt.Sprint(i, "-"), share(b.N, n*benchRooms, i*benchRooms+k)) })
				}
			}
			talking.Wait()
			want := events + int64(b.N)*benchMembers/benchRooms*int64(n)
			for h.events.Load() < want {
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			after := h.used()
			each := float64(b.N)
			b.ReportMetric(float64((after.cpu-before.cpu).Microseconds())/each, "cpu-µs/msg")
			b.ReportMetric(float64(after.reads-before.reads)/each, "reads/msg")
			b.ReportMetric(float64(after.messages-before.messages)/each, "nats/msg")
			b.ReportMetric(each/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64(want-events)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// share is the i-th part of n in so many parts.
func share(n, parts, i int) int {
	if i < n%parts {
		return n/parts + 1
	}
	return n / parts
}

// talk posts n messages, each when the one before is stored.
func talk(b *testing.B, m *chat.Member, room, nonce string, n int) {
	for i := range n {
		p, err := m.Post(room, fmt.Sprint(nonce, i), "a text of some sixty characters, as people write them in chats")
		if err == nil {
			_, err = p.Wait()
		}
		if err != nil {
			b.Error(err)
			return
		}
	}
}
