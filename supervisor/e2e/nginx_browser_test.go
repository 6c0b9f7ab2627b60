package e2e

import (
	"slices"
	"testing"
)

// A real browser comes over HTTP/2 and TLS, and stays on the one WebSocket that
// it opened: over a deploy, a kill -9 and a reload of nginx.
func TestABrowserBehindNginx(t *testing.T) {
	chromium := findBrowser(t)
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	s := open(t, builds[0])
	p := newProxy(t, siteTLS, s.addr)
	var seen sockets
	ada := openTab(t, chromium, p.url(), "Ada", seen.listen)
	var said []string
	say := func(text string) {
		ada.say(text)
		said = append(said, text)
		ada.waitFor(text)
	}
	say("hello")
	s.install(builds[1])
	if d := s.hangup(); d.Verdict != "accepted" {
		t.Fatalf("the deploy was %s: %s", d.Verdict, d.Reason)
	}
	say("after a deploy")
	before := s.mustHealth()
	kill(before.PID)
	say("after a kill")
	s.recovered(before)
	p.reload()
	say("after a reload of nginx")
	if created, closed := seen.counts(); created != 1 || closed != 0 {
		t.Errorf("DevTools saw %d WebSockets opened and %d closed, want 1 and none", created, closed)
	}
	if got := ada.messages(); !slices.Equal(got, said) {
		t.Errorf("the page shows %q, want %q", got, said)
	}
}
