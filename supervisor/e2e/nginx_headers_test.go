package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// What an answer says of security it says once, whoever answers.
func TestNginxDoublesNoHeader(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, siteTLS, s.addr)
	away := newProxy(t, siteTLS, freeAddress(t))
	security := map[string]string{
		"Content-Security-Policy":   "default-src 'none'",
		"X-Content-Type-Options":    "nosniff",
		"Referrer-Policy":           "no-referrer",
		"Strict-Transport-Security": "max-age=31536000",
		"Permissions-Policy":        "camera=()",
	}
	for who, got := range map[string]reply{
		"the site":                  ask(t, p.client(1), "GET", p.url()+"/", ""),
		"the site, of a mistake":    ask(t, p.client(1), "GET", p.url()+"/api/nowhere", ""),
		"nginx, of a large body":    ask(t, p.client(1), "POST", p.url()+"/api/session", strings.Repeat("x", 5000)),
		"nginx, without the site":   ask(t, away.client(1), "GET", away.url()+"/", ""),
		"nginx, of the API as well": ask(t, away.client(1), "GET", away.url()+"/api/rooms", ""),
	} {
		for name, want := range security {
			if values := got.Header.Values(name); len(values) != 1 || !strings.HasPrefix(values[0], want) {
				t.Errorf("%s says %s: %q, want %s once", who, name, values, want)
			}
		}
		if server := got.Header.Get("Server"); server != "nginx" {
			t.Errorf("%s says it is %q", who, server)
		}
	}
	plain := ask(t, p.client(1), "GET", "http://"+p.plain+"/", "")
	if hsts := plain.Header.Get("Strict-Transport-Security"); hsts != "" {
		t.Errorf("plain HTTP says Strict-Transport-Security: %s", hsts)
	}
}

// The header of a WebSocket's answer names the host twice, and has a small buffer.
func TestNginxUpgradesUnderALongName(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, sitePlain, s.addr)
	c := p.client(1)
	session := ask(t, c, "POST", p.url()+"/api/session", `{"name":"Ada"}`).Cookies()[0]
	r, err := http.NewRequestWithContext(t.Context(), "GET", p.url()+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = strings.Repeat("x", 200)
	r.AddCookie(session)
	for name, value := range map[string]string{
		"Origin": "http://" + r.Host, "Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	} {
		r.Header.Set(name, value)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("a host of %d characters: %s, want 101", len(r.Host), resp.Status)
	}
}
