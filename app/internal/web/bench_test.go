package web

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// BenchmarkSockets is the fan-out over real sockets, the clients in the same
// process: events are stored in bursts, and it waits until every client has
// each of them.
func BenchmarkSockets(b *testing.B) {
	for _, clients := range []int{100, 1000} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			store := chat.NewMemory()
			h := open(b, store, func(o *Options, _ *chat.Options) { o.MaxConns = 1 << 20 })
			cookie := h.guest("Listener")
			var got atomic.Int64
			var reading sync.WaitGroup
			var conns []net.Conn
			for range clients {
				c := rawClient(b, h.addr, cookie)
				conns = append(conns, c)
				reading.Go(func() { countEvents(c, &got) })
			}
			defer reading.Wait()
			defer func() {
				for _, c := range conns {
					c.Close()
				}
			}()
			time.Sleep(time.Second) // welcome, live, presence
			said := got.Load()
			b.ReportAllocs()
			b.ResetTimer()
			const burst = 20
			for i := 0; i < b.N; i += burst {
				var drafts []chat.Draft
				for n := range burst {
					drafts = append(drafts, chat.Draft{Room: "lobby", Kind: wire.EventPost, User: chat.User{ID: "s", Name: "Speaker"},
						Nonce: fmt.Sprint(i, "-", n), Text: "a text of some sixty characters, as people write them in chats"})
				}
				done, err := store.Append(b.Context(), drafts)
				if err != nil {
					b.Fatal(err)
				}
				head := done[burst-1].Event.Seq
				h.hub.Deliver(fmt.Appendf(nil, `{"heads":{"lobby":%d}}`, head))
				for got.Load()-said < head*int64(clients) {
					time.Sleep(50 * time.Microsecond)
				}
			}
			b.ReportMetric(float64(got.Load()-said)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// rawClient connects without a WebSocket library: the clients' part of the work
// should be small.
func rawClient(t testing.TB, addr, cookie string) net.Conn {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nCookie: %s\r\nConnection: Upgrade\r\n"+
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", addr, addr, cookie)
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v %v", resp, err)
	}
	c.Write(append([]byte{0x81, 0x80 | byte(len(hello)), 0, 0, 0, 0}, hello...)) // a zero mask
	return c
}

// countEvents counts the lines that end, which no cut can hide; each event of
// the benchmark is one, and what is said before it begins is not counted.
func countEvents(c net.Conn, got *atomic.Int64) {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		got.Add(int64(bytes.Count(buf[:n], []byte("\n"))))
	}
}
