package load

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// On loopback every source has an address of its own.
func TestSourcesReachTheServer(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		w.Write([]byte(host))
	}))
	defer s.Close()
	for _, url := range []string{s.URL, strings.Replace(s.URL, "127.0.0.1", "localhost", 1)} {
		to, err := newTarget(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range []int{0, 5000, firstProbe} {
			a, err := to.once(t.Context(), i, request{method: "GET", path: "/"})
			if err != nil || string(a.body) != source(i).String() {
				t.Errorf("%s source %d: seen as %q, %v, want %v", url, i, a.body, err, source(i))
			}
		}
	}
}

func TestTargetOverTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(r.Host)) }))
	defer s.Close()
	to, err := newTarget(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to.once(t.Context(), 0, request{method: "GET", path: "/"}); err == nil {
		t.Error("an unknown certificate is trusted")
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	to.tls = &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
	a, err := to.once(t.Context(), 0, request{method: "GET", path: "/"})
	if err != nil || string(a.body) != to.host {
		t.Errorf("got %q, %v, want an answer to %s", a.body, err, to.host)
	}
}
