package e2e

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// What a client says about its own way here does not reach the site, nor does a
// wish to speak something else than HTTP or a WebSocket.
func TestNginxOverwritesWhatClientsForge(t *testing.T) {
	heard := make(chan *http.Request, 1)
	site := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard <- r }))
	defer site.Close()
	forged := []string{
		"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: gopher", "X-Real-IP: 6.6.6.6", "X-Forwarded-Host: evil.example.org",
		"X-Forwarded-Port: 666", "X-Forwarded-Server: evil", "Forwarded: for=6.6.6.6;proto=https", "Via: 1.1 evil",
		"Proxy: http://evil.example.org", "Upgrade: h2c", "Connection: Upgrade, X-Real-IP",
	}
	for file, scheme := range map[siteFile]string{sitePlain: "http", siteTLS: "https"} {
		p := newProxy(t, file, site.Listener.Addr().String())
		c := p.client(7)
		c.Transport.(*http.Transport).ForceAttemptHTTP2 = false // which knows no Upgrade
		for _, path := range []string{"/", "/api/session", "/ws"} {
			ask(t, c, "GET", p.url()+path, "", forged...)
			r := <-heard
			for name, want := range map[string]string{
				"X-Forwarded-For": "127.2.0.7", "X-Forwarded-Proto": scheme, "X-Real-IP": "127.2.0.7", "X-Forwarded-Host": "",
				"X-Forwarded-Port": "", "X-Forwarded-Server": "", "Forwarded": "", "Via": "", "Proxy": "", "Upgrade": "", "Connection": "",
			} {
				if got := r.Header.Get(name); got != want || len(r.Header.Values(name)) > 1 {
					t.Errorf("%s %s: the site hears %s: %q, want %q", scheme, path, name, r.Header.Values(name), want)
				}
			}
			if "http://"+r.Host != p.url() && "https://"+r.Host != p.url() {
				t.Errorf("%s %s: the site hears of host %s, want that of %s", scheme, path, r.Host, p.url())
			}
		}
	}
}

// Over plain HTTP nobody makes the site believe in TLS: it would set a cookie
// that browsers then drop, and ask for HTTPS for a year.
func TestNobodyForgesTLS(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, sitePlain, s.addr)
	got := ask(t, p.client(1), "POST", p.url()+"/api/session", `{"name":"Eve"}`, "X-Forwarded-Proto: https", "Forwarded: proto=https")
	if got.StatusCode != http.StatusOK || got.Header.Get("Strict-Transport-Security") != "" || got.Cookies()[0].Secure {
		t.Errorf("%s with %v", got.Status, got.Header)
	}
}
