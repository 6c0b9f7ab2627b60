package ws

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkEcho is a message and its answer, the client's part included.
func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{100, 2000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			client, s := begin(b, 0)
			client.SetDeadline(time.Time{})
			defer finish(b, client, s)
			message := masked(0x81, string(make([]byte, size)))
			answer := make([]byte, len(message)-4)
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu(b)
			for range b.N {
				client.Write(message)
				if _, err := io.ReadFull(client, answer); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkMove moves 1000 idle connections that have been adopted already:
// the pause is from the first Freeze to the last Resume.
func BenchmarkMove(b *testing.B) {
	const n = 1000
	var clients []*net.TCPConn
	var sides []*side
	for range n {
		client, s := begin(b, 0)
		clients, sides = append(clients, client), append(sides, s)
	}
	var pause, adopting time.Duration
	size := 0
	b.ResetTimer()
	for range b.N {
		began := time.Now()
		next := make([]*side, n)
		for i, s := range sides {
			fd, _, err := s.c.Duplicate()
			if err != nil {
				b.Fatal(err)
			}
			next[i] = adopt(b, fd, Options{}, 0)
		}
		adopting += time.Since(began)
		time.Sleep(20 * time.Millisecond) // their readers wait
		began = time.Now()
		done := make(chan *Conn, n)
		for _, s := range sides {
			s.c.Freeze(done)
		}
		for range n {
			<-done
		}
		var state []byte
		for i, s := range sides {
			snap, err := s.c.Snapshot(state[:0])
			if err != nil {
				b.Fatal(err)
			}
			state, size = snap, len(snap)
			if err := next[i].c.Load(snap); err != nil {
				b.Fatal(err)
			}
		}
		for _, s := range next {
			if err := s.c.Resume(); err != nil {
				b.Fatal(err)
			}
		}
		pause += time.Since(began)
		for _, s := range sides {
			if err := s.c.Release(); err != nil {
				b.Fatal(err)
			}
			s.wait(b)
		}
		sides = next
	}
	b.ReportMetric(float64(pause.Microseconds())/float64(b.N)/n, "pause-µs/conn")
	b.ReportMetric(float64(adopting.Microseconds())/float64(b.N)/n, "adopt-µs/conn")
	b.ReportMetric(float64(size), "bytes/conn")
	for i, s := range sides {
		finish(b, clients[i], s)
	}
}

// BenchmarkIdle measures the heap and the stack of a connection that has had
// one message and waits, when accepted and when adopted from another process.
func BenchmarkIdle(b *testing.B) {
	const n = 1000
	memory := func() uint64 {
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	for range b.N {
		var clients []*net.TCPConn
		var fds []int
		for range n {
			client, fd := tcpPair(b)
			clients, fds = append(clients, client), append(fds, fd)
		}
		before := memory()
		var sides []*side
		for i, fd := range fds {
			s := adopt(b, fd, Options{}, 0)
			if err := s.c.Resume(); err != nil {
				b.Fatal(err)
			}
			clients[i].Write(masked(0x81, "x"))
			if _, err := io.ReadFull(clients[i], make([]byte, 3)); err != nil {
				b.Fatal(err)
			}
			sides = append(sides, s)
		}
		b.ReportMetric(float64(memory()-before)/n, "B/conn")
		for i, s := range sides {
			finish(b, clients[i], s)
		}
	}
}
