package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
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

// The answer to nonsense is many times as long: who goes on with it is closed, and
// what stands behind it is not done.
func TestNonsenseWithoutEnd(t *testing.T) {
	h := open(t, chat.NewMemory())
	for what, line := range map[string]string{
		"no JSON": "x\n", "of no kind": "{}\n", "no nonce": `{"t":"post"}` + "\n", "hello": hello + "\n",
	} {
		t.Run(what, func(t *testing.T) {
			c := h.meet(h.guest("Eve "+what), hello)
			c.t = t
			c.say(strings.Repeat(line, 200) + `{"t":"post","room":"lobby","nonce":"n","text":"behind"}`)
			answers := 0
			var closed *ws.CloseError
			for closed == nil {
				m, err := c.next()
				if _, ok := m.(*wire.Err); ok {
					answers++
				}
				if err != nil && !errors.As(err, &closed) {
					t.Fatal(err)
				}
			}
			if closed.Code != wire.CloseBadFrame || answers > 2*bucketBurst {
				t.Errorf("closed with %d after %d answers", closed.Code, answers)
			}
		})
	}
	if _, body := h.do("GET", "/api/rooms/lobby/events", "", nil); strings.Contains(body, "behind") {
		t.Errorf("what stood behind was done: %s", body)
	}
}

// payloads are what becomes a script where text is taken for markup.
var payloads = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'><svg/onload=alert(1)>`, `javascript:alert(1)`,
	`<iframe srcdoc="<script>alert(1)</script>">`, `</title><script>alert(1)</script>`, `{{constructor.constructor('alert(1)')()}}`,
	`${alert(1)}`, `<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>`, `<a href="javascript:alert(1)">x</a>`,
	`http://x/" onmouseover="alert(1)`, `https://a.b/<script>`, `data:text/html,<script>alert(1)</script>`, "\u2028alert(1)\u2029",
	`<!--<img src="--><img src=x onerror=alert(1)//">`, `&lt;script&gt;alert(1)&lt;/script&gt;`, `%3Cscript%3Ealert(1)%3C/script%3E`,
}

// Whatever is said comes back as data: in JSON, that no browser takes for markup,
// under a policy that runs no script but the page's own.
func TestScriptsInWhatPeopleSay(t *testing.T) {
	h := open(t, chat.NewMemory())
	c := h.meet(h.guest("Eve"), hello)
	for i, p := range payloads {
		text, _ := json.Marshal(p)
		c.say(fmt.Sprintf(`{"t":"post","room":"lobby","nonce":"x%d","text":%s}`, i, text))
		if e := seek[*wire.Event](c); e.Text != p {
			t.Errorf("%q came back as %q", p, e.Text)
		}
		name, _ := json.Marshal(map[string]string{"name": p})
		h.harmless("POST", "/api/session", string(name), p)
		h.harmless("POST", "/api/account", string(name), p)
		h.harmless("GET", "/r/"+url.PathEscape(p), "", p)
		h.harmless("GET", "/"+url.PathEscape(p), "", p)
		h.harmless("GET", "/ui/"+url.PathEscape(p), "", p)
		h.harmless("GET", "/api/"+url.PathEscape(p), "", p)
		h.harmless("GET", "/api/rooms/"+url.PathEscape(p)+"/events", "", p)
		h.harmless("GET", "/api/rooms/lobby/events?after="+url.QueryEscape(p), "", p)
		h.harmless("GET", "/api/rooms/lobby/search?q="+url.QueryEscape(p), "", p)
	}
	h.harmless("GET", "/api/rooms/lobby/events", "", "")
}

// harmless checks that an answer with a payload in it is nothing that a browser
// would run.
func (h *house) harmless(method, path, body, payload string) {
	h.t.Helper()
	resp, got := h.do(method, path, body, nil)
	media := resp.Header.Get("Content-Type")
	if strings.Contains(got, "<script>alert") || strings.Contains(got, "onerror=") {
		if media != "application/json" && !strings.HasPrefix(media, "text/plain") {
			h.t.Errorf("%s %s: %q is repeated as %s", method, path, payload, media)
		}
	}
	if media == "application/json" && strings.ContainsAny(got, "<>\u2028\u2029") {
		h.t.Errorf("%s %s: markup stands in JSON as it is: %s", method, path, got)
	}
	wantHeaders(h.t, resp, method+" "+path)
}

// wantHeaders checks what every answer has.
func wantHeaders(t testing.TB, resp *http.Response, of string) {
	t.Helper()
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %s is %q, want %q", of, name, got, want)
		}
	}
	policy := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "require-trusted-types-for 'script'", "base-uri 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("%s: policy %q lacks %q", of, policy, want)
		}
	}
	for _, bad := range []string{"unsafe-inline", "unsafe-eval", "*"} {
		if strings.Contains(policy, bad) {
			t.Errorf("%s: policy %q has %q", of, policy, bad)
		}
	}
}

func TestEveryAnswerHasItsHeaders(t *testing.T) {
	h := open(t, chat.NewMemory())
	for _, r := range [][2]string{
		{"GET", "/"}, {"GET", "/r/lobby"}, {"GET", "/ui/main.js"}, {"GET", "/ui/none.js"}, {"GET", "/none"}, {"GET", "/ws"}, {"GET", "/healthz"},
		{"GET", "/readyz"}, {"GET", "/api/site"}, {"GET", "/api/session"}, {"POST", "/api/session"}, {"GET", "/api/rooms"},
		{"GET", "/api/none"}, {"TRACE", "/"}, {"PUT", "/api/rooms"}, {"OPTIONS", "/api/session"},
	} {
		resp, _ := h.do(r[0], r[1], "", nil)
		wantHeaders(t, resp, r[0]+" "+r[1])
		if resp.Header.Get("Access-Control-Allow-Origin") != "" || resp.Header.Get("Strict-Transport-Security") != "" {
			t.Errorf("%v: got %v", r, resp.Header)
		}
		resp, _ = h.do(r[0], r[1], "", http.Header{"X-Forwarded-Proto": {"https"}})
		if resp.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("%v: behind TLS there is no HSTS", r)
		}
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

// Passwords can be tried a few times, from one address and from all.
func TestBruteForce(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann := h.keep("Ann")
	try := func(name, addr string) (int, string) {
		resp, _ := h.do("POST", "/api/session", `{"name":"`+name+`","password":"a wrong password"}`, from(addr))
		return resp.StatusCode, resp.Header.Get("Retry-After")
	}
	for i := range nameTriesHere.burst {
		if status, _ := try([]string{"Ann", "ANN", "ａnn"}[i%3], "203.0.113.9"); status != http.StatusForbidden {
			t.Fatalf("try %d: got %d", i, status)
		}
	}
	if status, wait := try("Ann", "203.0.113.9"); status != http.StatusTooManyRequests || wait == "" {
		t.Errorf("once more: got %d, Retry-After %q", status, wait)
	}
	if status, _ := try("Bob", "203.0.113.9"); status != http.StatusForbidden {
		t.Errorf("another name: got %d", status)
	}
	resp, body := h.do("POST", "/api/session", `{"name":"Ann","password":"`+password+`"}`, from("198.51.100.7"))
	if resp.StatusCode != http.StatusOK {
		t.Errorf("whose name it is, from elsewhere: got %d %s", resp.StatusCode, body)
	}
	for n := 0; ; n++ { // a net of addresses
		status, _ := try("Ann", fmt.Sprintf("10.0.%d.%d", n/250, n%250))
		if status == http.StatusTooManyRequests {
			break
		}
		if n > 3*nameTries.burst {
			t.Fatal("passwords can be tried without end")
		}
	}
	ann.who() // whoever is signed in stays so
}

// Whoever sends the header a byte at a time is cut off after a while.
func TestSlowHandshake(t *testing.T) {
	t.Parallel()
	h := open(t, chat.NewMemory())
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			c, err := net.Dial("tcp", h.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			began := time.Now()
			io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\n")
			go func() {
				for range 60 {
					time.Sleep(500 * time.Millisecond)
					if _, err := io.WriteString(c, "X: y\r\n"); err != nil {
						return
					}
				}
			}()
			c.SetReadDeadline(time.Now().Add(2 * headerTimeout))
			io.Copy(io.Discard, c)
			if took := time.Since(began); took > headerTimeout+5*time.Second {
				t.Errorf("cut after %v, want %v", took, headerTimeout)
			}
		})
	}
	resp, _ := h.do("GET", "/healthz", "", nil)
	if resp.StatusCode != http.StatusOK {
		t.Errorf("meanwhile others get %d", resp.StatusCode)
	}
	all.Wait()
}

// One address has so many WebSockets, and keeps nobody else out.
func TestConnectionsOfOneAddress(t *testing.T) {
	const most = 20
	h := open(t, chat.NewMemory(), func(o *Options, _ *chat.Options) { o.MaxPerClient = most })
	header := from("2001:db8:1:2::1")
	header.Set("Origin", h.url)
	header.Set("Cookie", h.guest("Eve"))
	var open []*ws.Client
	for i := range 3 * most {
		header.Set("X-Forwarded-For", fmt.Sprintf("2001:db8:1:2::%x", i+1)) // all of one customer
		switch status, c := h.knock(header); {
		case i < most && status != http.StatusSwitchingProtocols, i >= most && status != http.StatusServiceUnavailable:
			t.Fatalf("connection %d: got %d", i, status)
		case c != nil:
			open = append(open, c)
		}
	}
	header.Set("X-Forwarded-For", "2001:db8:1:3::1")
	if status, _ := h.knock(header); status != http.StatusSwitchingProtocols {
		t.Errorf("a neighbour: got %d", status)
	}
	open[0].CloseNow()
	header.Set("X-Forwarded-For", "2001:db8:1:2::1")
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if status, _ := h.knock(header); status == http.StatusSwitchingProtocols {
			break
		}
		if time.Now().After(end) {
			t.Fatal("after one has gone there is no place")
		}
	}
	refused := 0
	for range addressUpgrades.burst {
		if status, _ := h.knock(header); status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused == 0 {
		t.Error("an address can try as often as it likes")
	}
}

// Thousands of connections that say nothing do not keep others out, and end.
func TestSilentConnections(t *testing.T) {
	h := open(t, chat.NewMemory(), func(o *Options, _ *chat.Options) {
		o.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} // so loopback is somebody
	})
	var silent []net.Conn
	defer func() {
		for _, c := range silent {
			c.Close()
		}
	}()
	for range 1000 {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 6, 6, 6)}}).Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	closed := 0
	for _, c := range silent {
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); err == io.EOF || err != nil && !strings.Contains(err.Error(), "timeout") {
			closed++
		}
	}
	if closed < len(silent)-maxPerClient {
		t.Errorf("%d of %d silent connections were closed, want all but %d", closed, len(silent), maxPerClient)
	}
	if resp, _ := h.do("GET", "/healthz", "", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("meanwhile another address gets %d", resp.StatusCode)
	}
}

// Rooms come into being by talking; nobody fills the list with them, not by being
// quicker than the server learns that they are new.
func TestRoomNameFlood(t *testing.T) {
	h := open(t, chat.NewMemory())
	eve := h.meet(h.guest("Eve"), `{"t":"hello","v":1,"rooms":{}}`)
	made, naks := 0, 0
	for i := range 5 * userRooms.burst / 2 { // no more lines than a connection may say at once
		room := fmt.Sprint("flood", i)
		post := `{"t":"post","room":"` + room + `","nonce":"n","text":"x"}`
		if i < 3 { // it must not count as the room's first
			eve.say(post)
			if nak := seek[*wire.Nak](eve); nak.Code != wire.CodeNotJoined {
				t.Errorf("before it is open: got %+v", nak)
			}
		}
		eve.say(`{"t":"join","room":"`+room+`","seq":0}`, post)
		for {
			m, err := eve.next()
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := m.(*wire.Ack); ok {
				made++
				break
			}
			if nak, ok := m.(*wire.Nak); ok {
				if nak.Code != wire.CodeRate || nak.RetryMS == 0 {
					t.Errorf("got %+v", nak)
				}
				naks++
				break
			}
		}
	}
	if made < userRooms.burst-1 || made > userRooms.burst+3 || naks == 0 {
		t.Errorf("%d rooms were made, %d refused, want about %d", made, naks, userRooms.burst)
	}
	_, body := h.do("GET", "/api/rooms", "", nil)
	if got := strings.Count(body, `"head":1`); got != made {
		t.Errorf("%d rooms are listed with a message, want %d", got, made)
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
