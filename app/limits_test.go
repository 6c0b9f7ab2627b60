//go:build linux

package main

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/simpletalk/simpletalk/proto/ws"
)

// crowd opens WebSockets, each as if it came from the address that its number
// makes, and returns how many of them were taken, and how many refused.
func (s *site) crowd(n int, addr func(int) string) (taken, refused int) {
	s.t.Helper()
	url, cookie := "http://"+s.workers[0], s.guest("Ann")
	for i := range n {
		header := http.Header{"Cookie": {cookie}, "Origin": {url}, "X-Forwarded-For": {addr(i)}}
		c, resp, err := ws.Dial(s.t.Context(), url+"/ws", ws.DialOptions{Header: header, HTTP: s.http})
		switch {
		case err == nil:
			s.t.Cleanup(func() { c.CloseNow() })
			taken++
		case resp != nil && resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
			refused++
		default:
			s.t.Fatalf("connection %d: %v", i, err)
		}
	}
	if status, answer, _ := s.ask(0, "GET", "/readyz", "", ""); status != http.StatusOK {
		s.t.Errorf("meanwhile: %d %s", status, answer)
	}
	return taken, refused
}

func TestConnectionsOfAnAddress(t *testing.T) {
	s := newSite(t, []string{"MAX_PER_ADDRESS=3"})
	one := func(int) string { return "203.0.113.7" }
	if taken, refused := s.crowd(5, one); taken != 3 || refused != 2 {
		t.Errorf("%d taken, %d refused, want 3 and 2", taken, refused)
	}
	if taken, _ := s.crowd(1, func(int) string { return "203.0.113.8" }); taken != 1 {
		t.Error("another address is refused")
	}
}

// However many come, some descriptors are left for everything else.
func TestConnectionsOfAllAddresses(t *testing.T) {
	const files, most = 300, 300 - 128 // as web.spareFiles has it
	cmd := app(t, "serve", "--listen", "127.0.0.1:0", "--data", "data")
	cmd.Args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$@"`, files), "sh", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	s := &site{t: t, http: &http.Client{Transport: &http.Transport{}}}
	s.workers[0] = start(t, cmd)
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		s.http.CloseIdleConnections()
	})
	each := func(i int) string { return fmt.Sprintf("203.0.113.%d", i%250) }
	if taken, refused := s.crowd(files, each); taken != most || refused != files-most {
		t.Errorf("%d taken, %d refused, want %d and %d", taken, refused, most, files-most)
	}
}
