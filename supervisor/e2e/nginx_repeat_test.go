package e2e

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A killed worker takes the requests with it that it had, and in its last moments
// still takes some. nginx repeats each GET until the next worker answers.
func TestNginxLosesNoGETToAKill(t *testing.T) {
	const kills = 6
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, sitePlain, s.addr, change{"rate=50r/s", "rate=5000r/s"}) // as fast as it goes
	ctx, stop := context.WithCancel(t.Context())
	clients := make([]*keepAlive, 20)
	var asking sync.WaitGroup
	for i := range clients {
		clients[i] = &keepAlive{addr: p.plain, from: net.IPv4(127, 1, 0, byte(1+i))}
		asking.Go(func() { clients[i].run(ctx, time.Millisecond) })
	}
	for range kills {
		time.Sleep(300 * time.Millisecond) // every connection is in use by then
		before := s.mustHealth()
		s.killAndWatch(before.PID)
		s.recovered(before)
		if d := s.hangup(); d.Verdict != "accepted" { // so that the next kill is a first one too
			t.Errorf("%+v", d)
		}
	}
	stop()
	asking.Wait()
	answered := 0
	for i, c := range clients {
		for _, err := range c.failures {
			t.Errorf("client %d: %v", i, err)
		}
		answered += c.answered
	}
	if answered < 100*kills {
		t.Errorf("only %d requests were answered", answered)
	}
	t.Logf("%d requests answered over %d kills", answered, kills)
}

// A sign-in is not harmless to repeat, and is not.
func TestNginxRepeatsOnlyWhatIsHarmless(t *testing.T) {
	var asked atomic.Int64
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		panic(http.ErrAbortHandler) // as if the worker were killed
	}))
	defer site.Close()
	p := newProxy(t, sitePlain, site.Listener.Addr().String())
	for method, want := range map[string]int64{"GET": 6, "POST": 1, "DELETE": 6} {
		asked.Store(0)
		got := ask(t, p.client(1), method, p.url()+"/api/session", "")
		if n := asked.Load(); n != want || got.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: asked %d times, and answered %s, want %d times and 503", method, n, got.Status, want)
		}
	}
}
