package e2e

import (
	"net/http"
	"strings"
	"testing"
)

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
