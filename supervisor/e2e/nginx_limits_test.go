package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto/ws"
)

// Whoever asks too fast is slowed down first, then refused, in the site's
// language; others are not.
func TestNginxLimitsRequests(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, sitePlain, s.addr)
	got := p.flood(1, 1000, 4*time.Second)
	if got.served < 100 || got.served > 400 || got.refused < 100 || got.refused > 500 {
		t.Errorf("of 1000 requests at once %d were served in four seconds and %d refused, want some 350 and 450", got.served, got.refused)
	}
	if !strings.Contains(got.refusal.body, `{"error":{"code":"rate",`) || got.refusal.Header.Get("Retry-After") != "2" {
		t.Errorf("refused with Retry-After %q: %s", got.refusal.Header.Get("Retry-After"), got.refusal.body)
	}
	if got := p.flood(2, 45, patience); got.served != 45 {
		t.Errorf("of a page load from another address %d requests of 45 were served", got.served)
	}
}

// When the site hangs, one address cannot have all of nginx's connections wait
// for it.
func TestNginxLimitsWaitingRequests(t *testing.T) {
	hang := make(chan struct{})
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer site.Close()
	defer close(hang)
	p := newProxy(t, sitePlain, site.Listener.Addr().String(), change{"rate=50r/s", "rate=5000r/s"})
	if got := p.flood(1, 650, 2*time.Second); got.refused != 50 {
		t.Errorf("%d of 650 requests that wait for the site were refused, want 50", got.refused)
	}
}

// flooded is what became of many requests at once.
type flooded struct {
	served, refused int
	refusal         reply // one of them
}

// flood makes n requests at once. What has no answer after a while is given up.
func (p *proxy) flood(client byte, n int, after time.Duration) (f flooded) {
	p.t.Helper()
	c := p.client(client)
	ctx, cancel := context.WithTimeout(p.t.Context(), after)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	for range n {
		asking.Go(func() {
			r, err := http.NewRequestWithContext(ctx, "GET", p.url()+"/api/rooms", nil)
			if err != nil {
				p.t.Error(err)
				return
			}
			got, err := whole(c.Do(r))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil && ctx.Err() == nil:
				p.t.Error(err)
			case err != nil: // given up
			case got.StatusCode == http.StatusTooManyRequests:
				f.refused, f.refusal = f.refused+1, got
			default:
				f.served++
			}
		})
	}
	asking.Wait()
	return f
}

// A name is picked two times a second for long, thirty times at once; whoever has
// one already is not held up.
func TestNginxLimitsSignIns(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, sitePlain, s.addr)
	if n := p.signIns(60, func(int) string { return "" }); n < 20 || n > 30 {
		t.Errorf("%d of 60 sign-ins at once were refused, want some 29", n)
	}
	if got := ask(t, p.client(1), "GET", p.url()+"/api/session", ""); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("who asks for a name there: %s, want 401", got.Status)
	}
	if got := ask(t, p.client(2), "POST", p.url()+"/api/session", `{"name":"Bob"}`); got.StatusCode != http.StatusOK {
		t.Errorf("another address signs in: %s", got.Status)
	}
}

// Whoever has an IPv6 address has 2^64 of them: they are counted together. For
// this test nginx believes what address a client says it has.
func TestNginxCountsAnIPv6NetworkAsOne(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	const believe = "server_name _; set_real_ip_from 127.0.0.0/8; real_ip_header X-Address;"
	p := newProxy(t, sitePlain, s.addr, change{"server_name _;\n\tinclude snippets/simpletalk-site", believe + "\n\tinclude snippets/simpletalk-site"})
	// 0a is a line feed, which a pattern may take for the end.
	if n := p.signIns(60, func(i int) string { return fmt.Sprintf("2001:db8:a:a::%x", 1+i) }); n < 20 || n > 30 {
		t.Errorf("%d of 60 sign-ins from one network were refused, want some 29", n)
	}
	if n := p.signIns(60, func(i int) string { return fmt.Sprintf("2001:db8:b:%x::1", i) }); n != 0 {
		t.Errorf("%d of 60 sign-ins from as many networks were refused", n)
	}
	if n := p.signIns(60, func(i int) string { return fmt.Sprintf("192.0.2.%d", i) }); n != 0 {
		t.Errorf("%d of 60 sign-ins from as many IPv4 addresses were refused", n)
	}
}

// signIns picks n names at once and returns how many were refused. from says what
// address each claims to have. What is slowed down is given up.
func (p *proxy) signIns(n int, from func(i int) string) int64 {
	p.t.Helper()
	var refused atomic.Int64
	var signing sync.WaitGroup
	c := p.client(1)
	ctx, cancel := context.WithTimeout(p.t.Context(), 3*time.Second)
	defer cancel()
	for i := range n {
		signing.Go(func() {
			r, err := http.NewRequestWithContext(ctx, "POST", p.url()+"/api/session", strings.NewReader(`{"name":"Ada"}`))
			if err != nil {
				p.t.Error(err)
				return
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-Address", from(i))
			got, err := whole(c.Do(r))
			if err != nil && ctx.Err() == nil {
				p.t.Error(err)
			}
			if err == nil && got.StatusCode == http.StatusTooManyRequests {
				refused.Add(1)
			}
		})
	}
	signing.Wait()
	return refused.Load()
}

// addressLimit is how many WebSockets an address may have.
const addressLimit = 200

// An address has so many WebSockets, for as long as they are open.
func TestNginxLimitsWebSockets(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, sitePlain, s.addr)
	all, dial := p.fill()
	if _, err := dial(1); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("one more than %d: %v, want 429", addressLimit, err)
	}
	if _, err := dial(2); err != nil {
		t.Errorf("another address: %v", err)
	}
	if got := ask(t, p.client(1), "GET", p.url()+"/api/rooms", ""); got.StatusCode != http.StatusOK {
		t.Errorf("a plain request of the same address: %s", got.Status)
	}
	all[0].CloseNow()
	p.await(func() error { _, err := dial(1); return err })
}

// Those that nginx cuts after a reload do not count any more.
func TestNginxForgetsWhomItDrops(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, sitePlain, s.addr, change{"worker_shutdown_timeout 12h;", "worker_shutdown_timeout 1s;"})
	_, dial := p.fill()
	p.reload()
	if _, err := dial(1); err == nil {
		t.Errorf("one more than %d is let in by the reload", addressLimit)
	}
	p.await(func() error { _, err := dial(1); return err })
}

// fill opens as many WebSockets as one address may have. dial opens another.
func (p *proxy) fill() (all []*ws.Client, dial func(address byte) (*ws.Client, error)) {
	p.t.Helper()
	session := ask(p.t, p.client(9), "POST", p.url()+"/api/session", `{"name":"Ada"}`).Cookies()[0]
	dial = func(address byte) (*ws.Client, error) {
		c, err := p.dial(p.t.Context(), address, session)
		if err == nil {
			p.t.Cleanup(func() { c.CloseNow() })
		}
		return c, err
	}
	for i := range addressLimit {
		c, err := dial(1)
		if err != nil {
			p.t.Fatalf("WebSocket %d of an address: %v", i+1, err)
		}
		all = append(all, c)
	}
	return all, dial
}
