package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Clients that trickle are cut, and until then cost the site nothing: it does not
// hear of a request before the whole of it is there.
func TestNginxKeepsSlowClientsFromTheSite(t *testing.T) {
	var asked atomic.Int64
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer site.Close()
	p := newProxy(t, sitePlain, site.Listener.Addr().String(),
		change{"client_header_timeout 10s;", "client_header_timeout 1s;"}, change{"client_body_timeout 10s;", "client_body_timeout 1s;"})
	for what, said := range map[string]string{
		"a header without an end": "GET / HTTP/1.1\r\nHost: chat\r\nX-Slow: ",
		"a body without an end":   "POST /api/session HTTP/1.1\r\nHost: chat\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
	} {
		c, err := net.Dial("tcp", p.plain)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		began := time.Now()
		io.WriteString(c, said)
		c.SetReadDeadline(began.Add(patience))
		answer, err := io.ReadAll(c)
		if took := time.Since(began); errors.Is(err, os.ErrDeadlineExceeded) || took < 900*time.Millisecond {
			t.Errorf("%s: cut after %s with %v: %.100s, want a second", what, took, err, answer)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the site was asked %d times", n)
	}
}

// An answer that a client does not read is nginx's to hold: the site is done with
// it at once.
func TestNginxTakesAnswersForSlowClients(t *testing.T) {
	const size = 60 << 10 // as large as the largest file of the page, uncompressed
	done := make(chan time.Duration, 1)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		began := time.Now()
		io.WriteString(w, strings.Repeat("x", size))
		w.(http.Flusher).Flush()
		done <- time.Since(began)
	}))
	defer site.Close()
	p := newProxy(t, sitePlain, site.Listener.Addr().String())
	c, err := net.Dial("tcp", p.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.(*net.TCPConn).SetReadBuffer(1)
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: chat\r\nConnection: close\r\n\r\n")
	select {
	case took := <-done:
		t.Logf("the site was done after %s", took)
	case <-time.After(patience):
		t.Fatal("the site waits for a client that does not read")
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
		t.Errorf("then it reads %d bytes and %v, want %d", n, err, size)
	}
}
