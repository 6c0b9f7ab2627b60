package e2e

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// What nginx needs for the WebSocket of a browser that is silent. The kernel's
// part, two more sockets, is not in it.
func TestNginxMemory(t *testing.T) {
	const addresses, each = 15, 100
	for file, limit := range map[siteFile]float64{sitePlain: 17 << 10, siteTLS: 36 << 10} {
		t.Run(string(file), func(t *testing.T) {
			s := open(t, binaries.app(t, "aaaa"))
			p := newProxy(t, file, s.addr)
			cookie := ask(t, p.client(99), "POST", p.url()+"/api/session", `{"name":"Ada"}`).Cookies()[0]
			empty := p.settled()
			var opening sync.WaitGroup
			for n := range addresses {
				opening.Go(func() {
					for range each {
						p.browse(byte(1+n), cookie)
					}
				})
			}
			opening.Wait()
			got := float64(p.settled()-empty) / (addresses * each)
			t.Logf("%.1f KiB of nginx for each WebSocket; %.1f MB without any", got/(1<<10), float64(empty)/1e6)
			if got > limit {
				t.Errorf("%.0f bytes for each WebSocket, at most %.0f are allowed", got, limit)
			}
		})
	}
}

// browser is what a browser says beside what every client does. It is of the
// usual length.
var browser = map[string]string{
	"User-Agent":               "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
	"Accept-Encoding":          "gzip, deflate, br, zstd",
	"Accept-Language":          "en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7",
	"Cache-Control":            "no-cache",
	"Pragma":                   "no-cache",
	"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
}

// browse opens a WebSocket as a browser does, and stays until the test ends.
func (p *proxy) browse(n byte, session *http.Cookie) {
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	header := http.Header{"Origin": {p.url()}, "Cookie": {session.Name + "=" + session.Value}}
	for name, value := range browser {
		header.Set(name, value)
	}
	c, _, err := ws.Dial(ctx, p.url()+"/ws", ws.DialOptions{Header: header, HTTP: p.client(n)})
	if err == nil {
		p.t.Cleanup(func() { c.CloseNow() })
		hello := wire.Hello{T: wire.KindHello, V: wire.Version, Rooms: map[string]int64{"lobby": 0}}
		err = c.Write(ctx, ws.Text, wire.AppendLine(nil, hello))
	}
	if err != nil {
		p.t.Errorf("a browser's WebSocket: %v", err)
	}
}

// settled is the memory once it hardly changes any more: nginx answers before
// its processes have made all that they need.
func (p *proxy) settled() int64 {
	before, now := int64(-1), p.memory()
	for end := time.Now().Add(patience); max(now, before)-min(now, before) > 64<<10 && time.Now().Before(end); {
		time.Sleep(300 * time.Millisecond)
		before, now = now, p.memory()
	}
	return now
}

// memory is that of all processes of nginx.
func (p *proxy) memory() (total int64) {
	for _, pid := range append(p.workers(), p.process.Process.Pid) {
		total += share(p.t, pid)
	}
	return total
}
