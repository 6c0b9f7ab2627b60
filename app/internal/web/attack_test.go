package web

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// The tests of this file attack a running server, one a line of the security
// floor.

// from is the header by which a proxy tells whose request it is.
func from(addr string) http.Header { return http.Header{"X-Forwarded-For": {addr}} }

// knock asks for a WebSocket and returns the status; c is there on success.
func (h *house) knock(header http.Header) (status int, c *ws.Client) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, resp, err := ws.Dial(ctx, h.url+"/ws", ws.DialOptions{Header: header, HTTP: &http.Client{Transport: h.http.Transport}})
	if resp == nil {
		h.t.Fatalf("no answer: %v", err)
		return 0, nil
	}
	if err == nil {
		h.t.Cleanup(func() { c.CloseNow() })
	}
	return resp.StatusCode, c
}

// Pages of other sites: whatever they may send, their origin is told.
func TestAttackFromAnotherSite(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann := h.keep("Ann")
	cookie := ann.cookie
	for _, header := range []http.Header{
		{"Origin": {"https://evil.example"}},
		{"Origin": {h.url + ".evil.example"}},
		{"Origin": {"null"}},
		{},
	} {
		header.Set("Cookie", cookie)
		if status, _ := h.knock(header); status != http.StatusForbidden {
			t.Errorf("%v: got %d, want 403", header, status)
		}
	}
	for _, r := range [][2]string{
		{"POST", "/api/session"}, {"DELETE", "/api/session"}, {"DELETE", "/api/sessions"}, {"DELETE", "/api/sessions/x"},
		{"POST", "/api/account"}, {"DELETE", "/api/account"}, {"PUT", "/api/account/password"},
	} {
		for _, header := range []http.Header{
			{"Sec-Fetch-Site": {"cross-site"}}, {"Sec-Fetch-Site": {"same-site"}}, {"Origin": {"https://evil.example"}}, {"Origin": {"null"}},
		} {
			header.Set("Cookie", cookie)
			resp, body := h.do(r[0], r[1], `{"name":"Eve","password":"`+password+`"}`, header)
			wantError(t, resp, body, http.StatusForbidden, kindOrigin)
		}
		resp, body := h.do(r[0], r[1], `{"password":"`+password+`"}`, http.Header{"Cookie": {cookie}, "Content-Type": {"text/plain"}})
		if r[0] != "DELETE" || r[1] == "/api/account" { // a form could send that
			wantError(t, resp, body, http.StatusUnsupportedMediaType, kindContentType)
		}
		if r[0] == "DELETE" && r[1] == "/api/session" {
			ann.cookie = ""
			ann.must("POST", "/api/session", `{"name":"Ann","password":"`+password+`"}`)
			cookie = ann.cookie
		}
	}
	ann.who() // still there
}

func TestForgedForwardedHeaders(t *testing.T) {
	proxied := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	h := open(t, chat.NewMemory(), func(o *Options, _ *chat.Options) { o.Trusted = proxied })
	for _, tt := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"198.51.100.7:5", nil, "198.51.100.7/32"},
		{"198.51.100.7:5", []string{"203.0.113.9"}, "198.51.100.7/32"}, // who is no proxy of ours is not believed
		{"127.0.0.1:5", nil, ""},
		{"127.0.0.1:5", []string{"203.0.113.9"}, "203.0.113.9/32"},
		{"127.0.0.1:5", []string{"1.2.3.4, 203.0.113.9"}, "203.0.113.9/32"}, // the client's own word stands before
		{"127.0.0.1:5", []string{"1.2.3.4", "203.0.113.9"}, "203.0.113.9/32"},
		{"127.0.0.1:5", []string{"1.2.3.4, 203.0.113.9, 10.1.2.3"}, "203.0.113.9/32"},
		{"127.0.0.1:5", []string{"10.9.9.9, 10.1.2.3"}, ""},
		{"127.0.0.1:5", []string{"1.2.3.4, nonsense"}, ""},
		{"127.0.0.1:5", []string{"1.2.3.4, nonsense, 10.1.2.3"}, ""},
		{"127.0.0.1:5", []string{"::ffff:203.0.113.9"}, "203.0.113.9/32"},
		{"127.0.0.1:5", []string{"2001:db8:1:2:3:4:5:6"}, "2001:db8:1:2::/64"},
		{"127.0.0.1:5", []string{"2001:db8:1:2:ffff::1%eth0"}, "2001:db8:1:2::/64"},
		{"[2001:db8:1:2::7]:5", []string{"203.0.113.9"}, "2001:db8:1:2::/64"},
		{"[fd00::1]:5", []string{"203.0.113.9"}, "203.0.113.9/32"},
		{"@", []string{"203.0.113.9"}, "203.0.113.9/32"}, // a Unix socket
		{"@", nil, ""},
	} {
		r := httptest.NewRequest("GET", "/ws", nil)
		r.RemoteAddr = tt.peer
		r.Header["X-Forwarded-For"] = tt.forwarded
		got := h.server.client(r)
		if got.String() != tt.want || parseClient(got.String()) != got {
			t.Errorf("%s with %q: got %q, want %q", tt.peer, tt.forwarded, got, tt.want)
		}
	}
	// Whoever forges them from outside stays one client.
	alone := open(t, chat.NewMemory(), func(o *Options, _ *chat.Options) { o.Trusted = proxied[1:] })
	refused := 0
	for i := range 2 * addressSignIns.burst {
		resp, _ := alone.do("POST", "/api/session", `{"name":"Ann`+strings.Repeat("x", i%10)+`"}`, from(fmt.Sprintf("203.0.113.%d", i)))
		if resp.StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused < addressSignIns.burst/2 {
		t.Errorf("%d of %d sign-ins were refused", refused, 2*addressSignIns.burst)
	}
}

// Lines and frames that no client would send: each is answered or closed, and
// the server goes on for the others.
func TestHostileFrames(t *testing.T) {
	h := open(t, chat.NewMemory())
	witness := h.meet(h.guest("Witness"), hello)
	deep := strings.Repeat("[", wire.MaxFrame/2-20)
	n := 0
	for what, tt := range map[string]struct {
		frame string
		code  wire.Code // of the err
		close int
	}{
		"oversize":                   {frame: `{"t":"post","room":"lobby","nonce":"n","text":"` + strings.Repeat("x", wire.MaxFrame) + `"}`, close: wire.CloseTooBig},
		"deep arrays":                {frame: `{"t":"get","room":` + deep + strings.Repeat("]", len(deep)) + `}`, code: wire.CodeBadField},
		"deep and open":              {frame: deep, code: wire.CodeBadJSON},
		"deep objects":               {frame: strings.Repeat(`{"a":`, wire.MaxFrame/5-9), code: wire.CodeBadJSON},
		"invalid UTF-8":              {frame: "{\"t\":\"post\",\"room\":\"lobby\",\"nonce\":\"n\",\"text\":\"\xff\xfe\"}", code: wire.CodeBadJSON},
		"surrogates":                 {frame: "{\"t\":\"ping\xed\xa0\x80\"}", code: wire.CodeBadJSON},
		"no object":                  {frame: `[]`, code: wire.CodeBadField},
		"a number":                   {frame: `1e999`, code: wire.CodeBadField},
		"a huge number":              {frame: `{"t":"get","room":"lobby","before":1e400}`, code: wire.CodeBadField},
		"a kind from afar":           {frame: `{"t":"shutdown"}`, code: wire.CodeUnknown},
		"a server's word":            {frame: `{"t":"bye","why":"stop","after_ms":0}`, code: wire.CodeUnknown},
		"NUL":                        {frame: "\x00", code: wire.CodeBadJSON},
		"a room that is a path":      {frame: `{"t":"join","room":"../../etc/passwd","seq":0}`, code: wire.CodeBadField},
		"a room with markup":         {frame: `{"t":"join","room":"<script>","seq":0}`, code: wire.CodeBadField},
		"a room with a bidi control": {frame: `{"t":"join","room":"a\u202eb","seq":0}`, code: wire.CodeBadField},
	} {
		t.Run(what, func(t *testing.T) {
			n++
			c := h.meet(h.guest(fmt.Sprint("Eve ", n)), hello)
			c.t = t
			c.say(tt.frame)
			if tt.close != 0 {
				if got := c.closed(); got != tt.close {
					t.Errorf("closed with %d, want %d", got, tt.close)
				}
				return
			}
			if got := seek[*wire.Err](c); got.Code != tt.code || !utf8.ValidString(got.Msg) || strings.ContainsAny(got.Msg, "\x00\u202e") {
				t.Errorf("got %+v, want %s", got, tt.code)
			}
			c.say(`{"t":"ping"}`)
			take[*wire.Pong](c)
			c.ws.CloseNow()
		})
	}
	witness.say(`{"t":"ping"}`)
	take[*wire.Pong](witness)
	// Texts that would read as another: refused for good, so without a time to retry.
	eve := h.meet(h.guest("Eve"), hello)
	for _, r := range []string{"\u202e", "\u202a", "\u2066", "\u2069", "\u200f", "\u061c", "\\u0000", "\\u0007", "\\u001b[2J", "\u0085", "\u009b"} {
		eve.say(`{"t":"post","room":"lobby","nonce":"n","text":"safe` + r + `evil"}`)
		if got := seek[*wire.Nak](eve); got.Code != wire.CodeBadField || got.RetryMS != 0 {
			t.Errorf("%q: got %+v", r, got)
		}
	}
	if _, body := h.do("GET", "/api/rooms", "", nil); strings.Count(body, `"room"`) != 1 {
		t.Errorf("rooms were made: %s", body)
	}
}

// A token that somebody planted is worth nothing, and one that was there before a
// sign-in is not the one after.
func TestSessionFixation(t *testing.T) {
	h := open(t, chat.NewMemory())
	h.keep("Ann")
	const planted = "simpletalk=cGxhbnRlZCBieSBzb21lYm9keSBlbHNl"
	victim := &person{h, planted}
	victim.must("POST", "/api/session", `{"name":"Vic"}`)
	if victim.cookie == planted {
		t.Error("a planted token became a session")
	}
	(&person{h, planted}).refused("GET", "/api/session", "", 401, kindNoSession)

	eve := h.person("Eve")
	guest := eve.who()
	victim.cookie = eve.cookie // planted once more, a true one
	victim.must("POST", "/api/session", `{"name":"Ann","password":"`+password+`"}`)
	if victim.cookie == eve.cookie || victim.who().Name != "Ann" {
		t.Errorf("signed in with the token of before, as %+v", victim.who())
	}
	resp, body := eve.ask("GET", "/api/session", "")
	if resp.StatusCode == http.StatusOK && !strings.Contains(body, guest.User) {
		t.Errorf("who planted the token is %s", body)
	}
	for _, bad := range []string{"", "x", strings.Repeat("A", 5000), "../../x", "%00"} {
		if resp, _ := h.do("GET", "/api/session", "", http.Header{"Cookie": {"simpletalk=" + bad}}); resp.StatusCode == 200 || resp.StatusCode >= 500 {
			t.Errorf("token %.20q: got %d", bad, resp.StatusCode)
		}
	}
}

// A name that is kept and one that is not cannot be told from each other by what a
// sign-in answers, nor by how long it takes.
func TestKeptNamesAreNotTold(t *testing.T) {
	h := open(t, chat.NewMemory())
	h.keep("Ann")
	took := func(name, password string) (time.Duration, string) {
		start := time.Now()
		resp, body := h.do("POST", "/api/session", `{"name":"`+name+`","password":"`+password+`"}`, nil)
		if resp.StatusCode != http.StatusForbidden {
			t.Fatalf("%s: %d %s", name, resp.StatusCode, body)
		}
		return time.Since(start), body
	}
	for _, password := range []string{"some other password", "short"} { // the second could not be anybody's
		kept, other := time.Hour, time.Hour
		for try := 0; ; try++ { // a busy machine delays either
			a, told := took("Ann", password)
			b, toldOther := took("Nobody", password)
			if told != toldOther {
				t.Fatalf("a kept name is answered %s, another %s", told, toldOther)
			}
			kept, other = min(kept, a), min(other, b)
			if try > 0 && other < kept*3/2 && kept < other*3/2 {
				break
			}
			if try == 40 {
				t.Fatalf("%q: a kept name takes %v, another %v", password, kept, other)
			}
		}
	}
}

// Somebody else's nonce, and somebody else's message.
func TestOthersMessages(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann, eve := h.meet(h.guest("Ann"), hello), h.meet(h.guest("Eve"), hello)
	ann.say(`{"t":"post","room":"lobby","nonce":"n","text":"mine"}`)
	first := seek[*wire.Ack](ann)
	eve.say(`{"t":"post","room":"lobby","nonce":"n","text":"hers"}`)
	if second := seek[*wire.Ack](eve); second.Seq == first.Seq {
		t.Errorf("another author's nonce was answered with %+v", second)
	}
	for i, line := range []string{
		`{"t":"edit","room":"lobby","nonce":"e%d","of":1,"text":"changed"}`,
		`{"t":"del","room":"lobby","nonce":"e%d","of":1}`,
	} {
		eve.say(fmt.Sprintf(line, i))
		if got := seek[*wire.Nak](eve); got.Code != wire.CodeForbidden || got.RetryMS != 0 {
			t.Errorf("got %+v, want it forbidden", got)
		}
	}
	for i, of := range []int64{0, -1, 2, 99, 1 << 62} { // 2 is her own, and the last is far away
		eve.say(fmt.Sprintf(`{"t":"edit","room":"lobby","nonce":"f%d","of":%d,"text":"x"}`, i, of))
		if of == 2 {
			seek[*wire.Ack](eve)
		} else if got := seek[*wire.Nak](eve); got.Code != wire.CodeGone && got.Code != wire.CodeBadField {
			t.Errorf("of %d: got %+v", of, got)
		}
	}
	if _, body := h.do("GET", "/api/rooms/lobby/events", "", nil); !strings.Contains(body, `"mine"`) || strings.Contains(body, `"changed"`) {
		t.Errorf("got %s", body)
	}
}

func TestRoomsThatDoNotExist(t *testing.T) {
	h := open(t, chat.NewMemory())
	eve := &person{h, h.guest("Eve")}
	eve.refused("GET", "/api/rooms/secret/events", "", 404, kindNotFound)
	eve.refused("GET", "/api/rooms/Secret%2f..%2flobby/events", "", 400, kindBadField)
	c := h.meet(eve.cookie, hello)
	for _, line := range []string{
		`{"t":"get","room":"secret","before":9,"limit":10}`, `{"t":"leave","room":"secret"}`,
	} {
		c.say(line)
		if got := seek[*wire.Err](c); got.Code != wire.CodeNotJoined {
			t.Errorf("%s: got %+v", line, got)
		}
	}
	c.say(`{"t":"post","room":"secret","nonce":"n","text":"x"}`)
	if got := seek[*wire.Nak](c); got.Code != wire.CodeNotJoined {
		t.Errorf("got %+v", got)
	}
	if _, body := h.do("GET", "/api/rooms", "", nil); strings.Contains(body, "secret") {
		t.Errorf("asking made a room: %s", body)
	}
}

// What is secret stands in no log, whatever goes wrong with it.
func TestSecretsAreNotLogged(t *testing.T) {
	var log locked
	h := open(t, chat.NewMemory(), func(o *Options, _ *chat.Options) {
		o.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	ann := h.keep("Ann")
	c := h.meet(ann.cookie, hello)
	c.say(`{"t":"post","room":"lobby","nonce":"n","text":"a private word"}`, `{"t":"post","room":"lobby","nonce":"n","text":"`+"\u202e"+`a private word"}`)
	seek[*wire.Nak](c)
	ann.ask("POST", "/api/session", `{"name":"Ann","password":"a wrong password"}`)
	ann.ask("PUT", "/api/account/password", `{"old":"`+password+`","new":"`+another+`"}`)
	ann.ask("POST", "/api/account", `{"password":"`+another+`"`)
	raw, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(raw, "POST /api/session HTTP/1.1\r\nHost: x\r\nCookie: %s\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n{\"password\":\"%s", ann.cookie, password)
	raw.Close()
	ann.must("DELETE", "/api/session", "")
	c.closed()
	for end := time.Now().Add(patience); !strings.Contains(log.String(), "connection ended"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got the log %q", log.String())
		}
	}
	_, token, _ := strings.Cut(ann.cookie, "=")
	for _, secret := range []string{password, another, "a wrong password", token, "a private word"} {
		if secret != "" && strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

// locked is a buffer that several goroutines write.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
