package e2e

import (
	"net/http"
	"strings"
	"testing"
)

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
