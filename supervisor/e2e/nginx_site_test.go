package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"

	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// Everything that the site has is there through nginx, with TLS and without.
func TestTheSiteThroughNginx(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	for _, file := range []siteFile{sitePlain, siteTLS} {
		t.Run(string(file), func(t *testing.T) {
			p := newProxy(t, file, s.addr)
			c := p.client(1)
			page := ask(t, c, "GET", p.url()+"/r/lobby", "", "Accept-Encoding: gzip")
			if page.StatusCode != http.StatusOK || page.Header.Get("Content-Encoding") != "gzip" {
				t.Errorf("the page: %s, encoded %q, want 200 and gzip", page.Status, page.Header.Get("Content-Encoding"))
			}
			again := ask(t, c, "GET", p.url()+"/r/lobby", "", "Accept-Encoding: gzip", "If-None-Match: "+page.Header.Get("ETag"))
			if again.StatusCode != http.StatusNotModified || again.body != "" {
				t.Errorf("the page again: %s, %d bytes, want 304 and none", again.Status, len(again.body))
			}
			rooms := ask(t, c, "GET", p.url()+"/api/rooms", "", "Accept-Encoding: gzip")
			if rooms.StatusCode != http.StatusOK || rooms.Header.Get("Content-Encoding") != "" || !strings.Contains(rooms.body, `"rooms"`) {
				t.Errorf("the rooms: %s, encoded %q: %s", rooms.Status, rooms.Header.Get("Content-Encoding"), rooms.body)
			}
			missing := ask(t, c, "GET", p.url()+"/api/nowhere", "")
			if missing.StatusCode != http.StatusNotFound || !strings.Contains(missing.body, `"code":"not_found"`) {
				t.Errorf("the site's own mistake: %s: %s", missing.Status, missing.body)
			}
			signedIn := ask(t, c, "POST", p.url()+"/api/session", `{"name":"Ada"}`)
			if signedIn.StatusCode != http.StatusOK {
				t.Fatalf("sign in: %s: %s", signedIn.Status, signedIn.body)
			}
			cookie := signedIn.Cookies()[0]
			if secure := file == siteTLS; cookie.Secure != secure || strings.HasPrefix(cookie.Name, "__Host-") != secure {
				t.Errorf("the session's cookie is %s", cookie)
			}
			converse(t, p, cookie)
		})
	}
}

// converse talks over a WebSocket.
func converse(t *testing.T, p *proxy, cookie *http.Cookie) {
	t.Helper()
	c, err := p.dial(t.Context(), 1, cookie)
	if err != nil {
		t.Fatalf("open a WebSocket: %v", err)
	}
	defer c.CloseNow()
	hello(t, c)
	say(t, c, t.Name())
}

// hello makes a WebSocket a member of the lobby.
func hello(t *testing.T, c *ws.Client) {
	t.Helper()
	h := wire.Hello{T: wire.KindHello, V: wire.Version, Rooms: map[string]int64{"lobby": 0}}
	if err := c.Write(t.Context(), ws.Text, wire.AppendLine(nil, h)); err != nil {
		t.Fatal(err)
	}
}

// say posts to the lobby and waits for the acknowledgement.
func say(t *testing.T, c *ws.Client, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	post := wire.Post{T: wire.KindPost, Room: "lobby", Nonce: text, Text: text}
	if err := c.Write(ctx, ws.Text, wire.AppendLine(nil, post)); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := c.Read(ctx)
		if err != nil {
			t.Fatalf("no acknowledgement of %s: %v", text, err)
		}
		for _, line := range wire.Lines(frame) {
			m, err := wire.ParseServer(line)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			switch m := m.(type) {
			case *wire.Err:
				t.Fatalf("%s is refused: %s", text, m.Msg)
			case *wire.Nak:
				t.Fatalf("%s is refused: %s", text, m.Msg)
			case *wire.Ack:
				if m.Nonce == text {
					return
				}
			}
		}
	}
}

// One HTTP/2 connection brings the whole page; plain HTTP only leads there and to
// the proof for the certificate; other names are told nothing.
func TestNginxWithTLS(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, siteTLS, s.addr)
	p.put("www/.well-known/acme-challenge/token", "proof")
	c := p.client(1)
	if page := ask(t, c, "GET", p.url()+"/", ""); page.ProtoMajor != 2 {
		t.Errorf("the page comes over %s, want HTTP/2", page.Proto)
	}
	for path, want := range map[string]struct {
		status         int
		location, body string
	}{
		"/r/lobby?x=1":                      {http.StatusMovedPermanently, "https://localhost/r/lobby?x=1", "301"},
		"/.well-known/acme-challenge/token": {http.StatusOK, "", "proof"},
		"/.well-known/acme-challenge/none":  {http.StatusNotFound, "", "404"},
	} {
		got := ask(t, c, "GET", "http://"+p.plain+path, "", "Host: localhost")
		if got.StatusCode != want.status || got.Header.Get("Location") != want.location || !strings.Contains(got.body, want.body) {
			t.Errorf("%s: %s, location %q: %s", path, got.Status, got.Header.Get("Location"), got.body)
		}
	}
	if _, err := c.Get("https://" + p.tls + "/"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("by address: %v, want unrecognized name", err)
	}
	if got := ask(t, c, "GET", p.url()+"/", "", "Host: other.example.org"); got.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("another name inside TLS: %s, want 421", got.Status)
	}
}

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

// Where the site does not answer, nginx does in its language, and says when to
// come back.
func TestNginxWithoutTheSite(t *testing.T) {
	p := newProxy(t, sitePlain, freeAddress(t))
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/":          {http.StatusBadGateway, "502"},
		"/api/rooms": {http.StatusServiceUnavailable, `{"error":{"code":"unavailable",`},
	} {
		got := ask(t, p.client(1), "GET", p.url()+path, "")
		if got.StatusCode != want.status || !strings.Contains(got.body, want.body) || got.Header.Get("Retry-After") != "2" {
			t.Errorf("%s: %s, Retry-After %q: %s", path, got.Status, got.Header.Get("Retry-After"), got.body)
		}
	}
}

// The machine's own eyes have an address of their own.
func TestNginxTellsHowItIs(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, sitePlain, s.addr)
	for path, want := range map[string]string{"/status": "Active connections: ", "/readyz": "ready"} {
		if got := ask(t, p.client(1), "GET", "http://"+p.private+path, ""); got.StatusCode != http.StatusOK || !strings.Contains(got.body, want) {
			t.Errorf("%s: %s: %s", path, got.Status, got.body)
		}
	}
	if got := ask(t, p.client(1), "GET", p.url()+"/status", ""); got.StatusCode != http.StatusNotFound {
		t.Errorf("everybody can read the status: %s", got.Status)
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
