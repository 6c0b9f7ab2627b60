package e2e

import (
	"fmt"

	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Whoever asks too fast is slowed down first, then refused, in the site's
// language; others are not.
func TestNginxLimitsRequests(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, sitePlain, s.addr)
	refused, last := p.flood(1, 1000, "/api/rooms")
	if refused == 0 || refused > 600 {
		t.Errorf("%d of 1000 requests at once were refused, want some 450", refused)
	}
	if !strings.Contains(last.body, `{"error":{"code":"rate",`) || last.Header.Get("Retry-After") != "2" {
		t.Errorf("refused with Retry-After %q: %s", last.Header.Get("Retry-After"), last.body)
	}
	if refused, _ := p.flood(2, 45, "/api/rooms"); refused != 0 {
		t.Errorf("%d of the requests of another address, a page load, were refused", refused)
	}
}

// flood makes n requests at once, and returns how many were refused, and one of
// those. What is slowed down is given up.
func (p *proxy) flood(client byte, n int, path string) (refused int64, last reply) {
	p.t.Helper()
	c := p.client(client)
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	for range n {
		asking.Go(func() {
			r, err := http.NewRequestWithContext(ctx, "GET", p.url()+path, nil)
			if err != nil {
				p.t.Error(err)
				return
			}
			got, err := whole(c.Do(r))
			if err != nil {
				if ctx.Err() == nil {
					p.t.Error(err)
				}
				return
			}
			if got.StatusCode == http.StatusTooManyRequests {
				mu.Lock()
				refused, last = refused+1, got
				mu.Unlock()
			}
		})
	}
	asking.Wait()
	return refused, last
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

// An address has two hundred WebSockets, for as long as they are open.
func TestNginxLimitsWebSockets(t *testing.T) {
	const limit = 200
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, sitePlain, s.addr)
	cookie := ask(t, p.client(9), "POST", p.url()+"/api/session", `{"name":"Ada"}`).Cookies()[0]
	dial := func(n byte) (func() error, error) {
		c, err := p.dial(t.Context(), n, cookie)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { c.CloseNow() })
		return c.CloseNow, nil
	}
	var first func() error
	for i := range limit {
		hangUp, err := dial(1)
		if err != nil {
			t.Fatalf("WebSocket %d of an address: %v", i+1, err)
		}
		first = hangUp
	}
	if _, err := dial(1); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("one more than %d: %v, want 429", limit, err)
	}
	if _, err := dial(2); err != nil {
		t.Errorf("another address: %v", err)
	}
	if got := ask(t, p.client(1), "GET", p.url()+"/api/rooms", ""); got.StatusCode != http.StatusOK {
		t.Errorf("a plain request of the same address: %s", got.Status)
	}
	first()
	p.await(func() error { _, err := dial(1); return err })
}

// What the site would refuse for its size, nginx refuses before the site hears of
// it.
func TestNginxLimitsSizes(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, sitePlain, s.addr)
	name := func(size int) string { return `{"name":"Ada"}` + strings.Repeat(" ", size-len(`{"name":"Ada"}`)) }
	for what, c := range map[string]struct {
		method, path, body, header string
		status                     int
		says                       string
	}{
		"the largest body":   {"POST", "/api/session", name(4096), "", http.StatusOK, `"Ada"`},
		"a larger one":       {"POST", "/api/session", name(4097), "", http.StatusRequestEntityTooLarge, `"code":"too_large"`},
		"a very large one":   {"POST", "/api/session", name(10 << 20), "", http.StatusRequestEntityTooLarge, `"code":"too_large"`},
		"one for the page":   {"POST", "/", name(4097), "", http.StatusRequestEntityTooLarge, "413"},
		"a large header":     {"GET", "/", "", "X-Large: " + strings.Repeat("x", 3<<10), http.StatusOK, "<html"},
		"a larger header":    {"GET", "/", "", "X-Large: " + strings.Repeat("x", 5<<10), http.StatusBadRequest, "400"},
		"a large address":    {"GET", "/" + strings.Repeat("x", 5<<10), "", "", http.StatusRequestURITooLong, "414"},
		"a host with a page": {"GET", "/ws", "", "Host: " + strings.Repeat("x", 200), http.StatusUnauthorized, `"code":"no_session"`},
	} {
		var headers []string
		if c.header != "" {
			headers = append(headers, c.header)
		}
		got := ask(t, p.client(1), c.method, p.url()+c.path, c.body, headers...)
		if got.StatusCode != c.status || !strings.Contains(got.body, c.says) {
			t.Errorf("%s: %s: %.200s, want %d and %s", what, got.Status, got.body, c.status, c.says)
		}
	}
}
