package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// BenchmarkBetweenHosts is from a post at one host to its arrival at its author
// there and at a member of another host, which has to be told and to read it. The
// store is FerretDB: of MongoDB the difference says more than the sums.
func BenchmarkBetweenHosts(b *testing.B) {
	c := newCluster(b, binaries.app(b, "aaaa"), 2)
	author, near := c.listen("Ann", c.hosts[0])
	_, far := c.listen("Bob", c.hosts[1])
	var here, there, between []time.Duration
	b.ResetTimer()
	for i := range b.N {
		text := fmt.Sprint("message-", i) // and nonce
		began := time.Now()
		frame := wire.AppendLine(nil, wire.Post{T: wire.KindPost, Room: "lobby", Nonce: text, Text: text})
		if err := author.Write(b.Context(), ws.Text, frame); err != nil {
			b.Fatal(err)
		}
		n, f := next(b, near), next(b, far)
		here, there, between = append(here, n.Sub(began)), append(there, f.Sub(began)), append(between, f.Sub(n))
		time.Sleep(60 * time.Millisecond) // nobody may say more for long
	}
	b.StopTimer()
	for name, all := range map[string][]time.Duration{"here": here, "there": there, "between": between} {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, name+"-p50-ms")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, name+"-p99-ms")
	}
}

// next waits for an event.
func next(b *testing.B, arrived <-chan time.Time) (at time.Time) {
	b.Helper()
	select {
	case at = <-arrived:
	case <-time.After(patience):
		b.Fatal("a message does not arrive")
	}
	return at
}

// listen connects somebody to a host and tells when events arrive, until the test
// ends.
func (c *cluster) listen(name string, h *host) (*ws.Client, <-chan time.Time) {
	c.t.Helper()
	client, addr := c.front.client(), h.machine.addr+hostPort
	g, err := newGuestOf(client, addr, name, "lobby")
	if err != nil {
		c.t.Fatal(err)
	}
	conn, _, err := ws.Dial(c.t.Context(), g.url, ws.DialOptions{Header: http.Header{"Cookie": {g.cookie}, "Origin": {g.origin}}, HTTP: client})
	if err != nil {
		c.t.Fatal(err)
	}
	hello := wire.AppendLine(nil, wire.Hello{T: wire.KindHello, V: wire.Version, Rooms: map[string]int64{"lobby": 0}})
	if err := conn.Write(c.t.Context(), ws.Text, hello); err != nil {
		c.t.Fatal(err)
	}
	arrived, live, gone := make(chan time.Time, 16), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			frame, err := conn.Read(context.Background())
			if err != nil {
				return
			}
			at := time.Now()
			for _, line := range wire.Lines(frame) {
				switch m, _ := wire.ParseServer(line); m.(type) {
				case *wire.Live:
					close(live)
				case *wire.Event:
					arrived <- at
				}
			}
		}
	}()
	c.t.Cleanup(func() {
		conn.CloseNow()
		<-gone
	})
	select {
	case <-live:
	case <-time.After(patience):
		c.t.Fatalf("%s does not come into the lobby", name)
	}
	return conn, arrived
}
