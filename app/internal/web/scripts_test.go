package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

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
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "require-trusted-types-for 'script'", "trusted-types 'none'", "base-uri 'none'", "frame-ancestors 'none'"} {
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
