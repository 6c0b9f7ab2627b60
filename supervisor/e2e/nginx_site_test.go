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
