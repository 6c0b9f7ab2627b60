package e2e

import (
	"net/http"
	"strings"
	"testing"
)

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
