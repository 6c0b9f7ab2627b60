package web

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

func TestBodies(t *testing.T) {
	h := open(t, chat.NewMemory())
	for _, tt := range []struct {
		name, media, body string
		status            int
		code              kind
	}{
		{"fine", "application/json", `{"name":"Ann"}`, 200, ""},
		{"with charset", "application/json; charset=utf-8", `{"name":"Ann Two"}`, 200, ""},
		{"no type", "", `{"name":"Ann"}`, 415, kindContentType},
		{"a form", "application/x-www-form-urlencoded", `name=Ann`, 415, kindContentType},
		{"empty", "application/json", ``, 400, kindBadBody},
		{"half", "application/json", `{"name":"A`, 400, kindBadBody},
		{"trailing", "application/json", `{"name":"Ann"}{}`, 400, kindBadBody},
		{"array", "application/json", `[]`, 400, kindBadBody},
		{"wrong field", "application/json", `{"nick":"Ann"}`, 400, kindBadBody},
		{"wrong type", "application/json", `{"name":5}`, 400, kindBadBody},
		{"bad name", "application/json", `{"name":" "}`, 400, kindBadField},
		{"long name", "application/json", `{"name":"` + strings.Repeat("x", 25) + `"}`, 400, kindBadField},
		{"no UTF-8", "application/json", "{\"name\":\"Ann\xff\"}", 400, kindBadBody},
		{"too large", "application/json", `{"name":"` + strings.Repeat("x", maxBody) + `"}`, 413, kindTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := h.do("POST", "/api/session", tt.body, http.Header{"Content-Type": {tt.media}})
			wantError(t, resp, body, tt.status, tt.code)
		})
	}
}

// wantError checks a status and, with a code, that the body is one clear line.
func wantError(t testing.TB, resp *http.Response, body string, status int, code kind) {
	t.Helper()
	if resp.StatusCode != status {
		t.Fatalf("got status %d %s, want %d", resp.StatusCode, body, status)
	}
	if code == "" {
		return
	}
	var e struct{ Error struct{ Code, Msg string } }
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error.Code != string(code) || e.Error.Msg == "" || strings.Contains(e.Error.Msg, "\n") {
		t.Errorf("got %s, want code %s and one line", body, code)
	}
}

func TestAPI(t *testing.T) {
	h := open(t, filled(t, 120))
	for _, tt := range []struct {
		method, path string
		status       int
		code         kind
	}{
		{"GET", "/api/session", 401, kindNoSession},
		{"PUT", "/api/session", 405, kindMethod},
		{"POST", "/api/rooms", 405, kindMethod},
		{"GET", "/api/nothing", 404, kindNotFound},
		{"GET", "/api/rooms/none/events", 404, kindNotFound},
		{"GET", "/api/rooms/Bad%20Name/events", 400, kindBadField},
		{"GET", "/api/rooms/lobby/events?after=x", 400, kindBadField},
		{"GET", "/api/rooms/lobby/events?after=-1", 400, kindBadField},
		{"GET", "/api/rooms/lobby/events?after=1&before=2", 400, kindBadField},
		{"GET", "/api/rooms/lobby/events?limit=0", 400, kindBadField},
		{"GET", "/api/rooms/lobby/events?limit=201", 400, kindBadField},
		{"GET", "/api/rooms/lobby/events?limit=", 400, kindBadField},
	} {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			resp, body := h.do(tt.method, tt.path, "", nil)
			wantError(t, resp, body, tt.status, tt.code)
		})
	}
}

func TestHistory(t *testing.T) {
	h := open(t, filled(t, 120))
	for _, tt := range []struct {
		query       string
		first, last int64
		more        bool
	}{
		{"", 71, 120, true},
		{"?after=0", 1, 50, true},
		{"?after=70", 71, 120, false},
		{"?after=118&limit=200", 119, 120, false},
		{"?before=11&limit=10", 1, 10, false},
		{"?before=12&limit=10", 2, 11, true},
		{"?after=120", 0, 0, false},
	} {
		_, body := h.do("GET", "/api/rooms/lobby/events"+tt.query, "", nil)
		var got struct {
			Room, Epoch string
			Head        int64
			Events      []wire.Event
			More        bool
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		var first, last int64
		if n := len(got.Events); n > 0 {
			first, last = got.Events[0].Seq, got.Events[n-1].Seq
		}
		if first != tt.first || last != tt.last || got.More != tt.more || got.Head != 120 || got.Epoch != h.hub.Epoch() || got.Events == nil {
			t.Errorf("%q: got %d to %d, more %v, head %d; want %d to %d, more %v", tt.query, first, last, got.More, got.Head, tt.first, tt.last, tt.more)
		}
	}
}

func TestSession(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann := h.guest("Ann")
	who := func(cookie string) (int, string) {
		resp, body := h.do("GET", "/api/session", "", http.Header{"Cookie": {cookie}})
		return resp.StatusCode, body
	}
	_, before := who(ann)
	if want := `"name":"Ann","guest":true,"admin":false}`; !strings.HasSuffix(before, want+"\n") {
		t.Errorf("got %s, want %s at the end", before, want)
	}
	c := h.meet(ann, hello)

	resp, body := h.do("POST", "/api/session", `{"name":"ann "}`, nil)
	wantError(t, resp, body, 400, kindBadField)
	resp, body = h.do("POST", "/api/session", `{"name":"aNN"}`, nil)
	wantError(t, resp, body, http.StatusConflict, kindNameTaken)

	resp, body = h.do("POST", "/api/session", `{"name":"Anna"}`, http.Header{"Cookie": {ann}})
	if resp.StatusCode != 200 || body != strings.Replace(before, `"Ann"`, `"Anna"`, 1) {
		t.Errorf("renamed: got %d %s, want the same user", resp.StatusCode, body)
	}
	if got := c.closed(); got != wire.CloseSessionGone {
		t.Errorf("the old session's connection was closed with %d, want %d", got, wire.CloseSessionGone)
	}
	if status, body := who(ann); status != 200 || !strings.Contains(body, `"Anna"`) {
		t.Errorf("the old token, a moment later: %d %s, want the same user under the new name", status, body)
	}
	anna := resp.Cookies()[0].Name + "=" + resp.Cookies()[0].Value
	c = h.meet(anna, hello)
	if resp, _ := h.do("DELETE", "/api/session", "", http.Header{"Cookie": {anna}}); resp.StatusCode != http.StatusNoContent || resp.Cookies()[0].MaxAge >= 0 {
		t.Errorf("signed out: got %d %v", resp.StatusCode, resp.Cookies())
	}
	if got := c.closed(); got != wire.CloseSignedOut {
		t.Errorf("closed with %d, want %d", got, wire.CloseSignedOut)
	}
	for _, cookie := range []string{ann, anna} {
		if status, _ := who(cookie); status != 401 {
			t.Errorf("signed out, but a token still holds: %d", status)
		}
	}
}

func TestCookies(t *testing.T) {
	for _, tt := range []struct {
		name   string
		proto  string
		change func(*Options, *chat.Options)
		want   string
		secure bool
	}{
		{"plain", "", nil, "simpletalk", false},
		{"behind TLS", "https", nil, "__Host-simpletalk", true},
		{"nobody to trust", "https", func(o *Options, _ *chat.Options) { o.Trusted = append(o.Trusted[:0:0], Loopback()[1]) }, "simpletalk", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var changes []func(*Options, *chat.Options)
			if tt.change != nil {
				changes = append(changes, tt.change)
			}
			h := open(t, chat.NewMemory(), changes...)
			resp, _ := h.do("POST", "/api/session", `{"name":"Ann"}`, http.Header{"X-Forwarded-Proto": {tt.proto}})
			c := resp.Cookies()[0]
			if c.Name != tt.want || c.Secure != tt.secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || len(c.Value) < 22 {
				t.Errorf("got %+v", c)
			}
			if got := resp.Header.Get("Strict-Transport-Security") != ""; got != tt.secure {
				t.Errorf("HSTS: got %v, want %v", got, tt.secure)
			}
		})
	}
}

func TestOrigins(t *testing.T) {
	listed := func(o *Options, _ *chat.Options) {
		o.Origins = []string{"https://chat.example", "http://other.example:8080"}
	}
	for _, tt := range []struct {
		name   string
		origin string // SELF is the server's own
		cookie bool
		proto  string
		listed bool
		status int
	}{
		{name: "own", origin: "SELF", cookie: true, status: 101},
		{name: "none, with a cookie", cookie: true, status: 403},
		{name: "none, without", status: 401},
		{name: "own, without a cookie", origin: "SELF", status: 401},
		{name: "own, another scheme", origin: "TLS", cookie: true, status: 403},
		{name: "another site", origin: "https://evil.example", cookie: true, status: 403},
		{name: "null", origin: "null", cookie: true, status: 403},
		{name: "listed", origin: "https://chat.example", cookie: true, listed: true, status: 101},
		{name: "listed with port", origin: "http://other.example:8080", cookie: true, listed: true, status: 101},
		{name: "listed, another scheme", origin: "http://chat.example", cookie: true, listed: true, status: 403},
		{name: "own, but not listed", origin: "SELF", cookie: true, listed: true, status: 403},
		{name: "suffix of a listed one", origin: "https://chat.example.evil", cookie: true, listed: true, status: 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var changes []func(*Options, *chat.Options)
			if tt.listed {
				changes = append(changes, listed)
			}
			h := open(t, chat.NewMemory(), changes...)
			header := http.Header{}
			if tt.cookie {
				header.Set("Cookie", h.guest("Ann"))
			}
			switch tt.origin {
			case "":
			case "SELF":
				header.Set("Origin", h.url)
			case "TLS":
				header.Set("Origin", "https://"+h.addr)
			default:
				header.Set("Origin", tt.origin)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c, resp, err := ws.Dial(ctx, h.url+"/ws", ws.DialOptions{Header: header, HTTP: &http.Client{Transport: h.http.Transport}})
			if err == nil {
				defer c.CloseNow()
			}
			if resp == nil || resp.StatusCode != tt.status {
				t.Errorf("got %v, %v; want %d", resp, err, tt.status)
			}
		})
	}
	if _, err := New(Options{Origins: []string{"chat.example"}}); err == nil {
		t.Error("an origin without a scheme is taken")
	}
}

func TestForeignPagesMayNotPost(t *testing.T) {
	h := open(t, chat.NewMemory())
	resp, body := h.do("POST", "/api/session", `{"name":"Ann"}`, http.Header{"Sec-Fetch-Site": {"cross-site"}})
	wantError(t, resp, body, http.StatusForbidden, kindOrigin)
	resp, body = h.do("DELETE", "/api/session", "", http.Header{"Origin": {"https://evil.example"}})
	wantError(t, resp, body, http.StatusForbidden, kindOrigin)
}

func TestPage(t *testing.T) {
	h := open(t, chat.NewMemory())
	resp, body := h.do("GET", "/", "", nil)
	if resp.StatusCode != 200 || !strings.Contains(body, "SimpleTalk") {
		t.Fatalf("got %d %.80s", resp.StatusCode, body)
	}
	for k, want := range map[string]string{
		"Content-Type":               "text/html; charset=utf-8",
		"X-Content-Type-Options":     "nosniff",
		"Cross-Origin-Opener-Policy": "same-origin",
		"Referrer-Policy":            "no-referrer",
		"Cache-Control":              "no-cache",
	} {
		if got := resp.Header.Get(k); got != want {
			t.Errorf("%s: got %q, want %q", k, got, want)
		}
	}
	csp := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "connect-src 'self' ws://" + h.addr + " wss://" + h.addr + ";", "require-trusted-types-for 'script'", "frame-ancestors 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("policy %q lacks %q", csp, want)
		}
	}
	etag := resp.Header.Get("ETag")
	if resp, _ := h.do("GET", "/r/some-room", "", http.Header{"If-None-Match": {etag}}); resp.StatusCode != http.StatusNotModified {
		t.Errorf("known ETag: got %d, want 304", resp.StatusCode)
	}
	if resp, _ := h.do("GET", "/", "", http.Header{"Accept-Encoding": {"br, gzip"}}); resp.Header.Get("Content-Encoding") != "gzip" {
		t.Error("not compressed for a client that takes gzip")
	}
	if resp, _ := h.do("GET", "/", "", http.Header{"Accept-Encoding": {"gzip;q=0"}}); resp.Header.Get("Content-Encoding") != "" {
		t.Error("compressed for a client that refuses gzip")
	}
	for _, path := range []string{"/ui/../server.go", "/ui/nothing.js", "/r/Bad%20Room", "/nothing"} {
		if resp, _ := h.do("GET", path, "", nil); resp.StatusCode != 404 {
			t.Errorf("%s: got %d, want 404", path, resp.StatusCode)
		}
	}
	resp, _ = h.do("GET", "/", "", http.Header{"Host": {"a;script-src"}})
	if csp := resp.Header.Get("Content-Security-Policy"); strings.Contains(csp, "a;script-src") {
		t.Errorf("a Host gets into the policy: %q", csp)
	}
}

func TestHealth(t *testing.T) {
	h := open(t, chat.NewMemory())
	if _, body := h.do("GET", "/healthz", "", nil); body != `{"version":"v0","commit":"c0","gen":3,"pid":4}`+"\n" {
		t.Errorf("got %s", body)
	}
	if resp, body := h.do("GET", "/readyz", "", nil); resp.StatusCode != 200 || body != "ready\n" {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
}

func TestRooms(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann := h.meet(h.guest("Ann"), `{"t":"hello","v":1,"rooms":{"design":0,"lobby":0}}`)
	ann.say(`{"t":"post","room":"design","nonce":"n","text":"x"}`)
	seek[*wire.Ack](ann)
	want := `{"rooms":[{"room":"design","head":1,"members":1},{"room":"lobby","head":0,"members":1}]}` + "\n"
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		_, body := h.do("GET", "/api/rooms", "", nil)
		if body == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("got %s, want %s", body, want)
		}
	}
}

func TestFull(t *testing.T) {
	h := open(t, chat.NewMemory(), func(o *Options, _ *chat.Options) { o.MaxConns = 1 })
	cookie := h.guest("Ann")
	h.meet(cookie, hello)
	resp, body := h.do("GET", "/ws", "", http.Header{"Cookie": {cookie}, "Origin": {h.url}})
	wantError(t, resp, body, http.StatusServiceUnavailable, kindFull)
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
