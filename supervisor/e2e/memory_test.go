//go:build !race

package e2e // the race detector's own memory is not what is measured

import (
	"strconv"
	"testing"
	"time"
)

// What the supervisor itself needs, after a few dozen deploys and once they are
// over.
func TestSupervisorMemory(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	for range 30 {
		s.hangup()
	}
	atOnce := resident(t, s.process.Process.Pid)
	time.Sleep(10 * time.Second) // it gives back what they took
	rss := resident(t, s.process.Process.Pid)
	t.Logf("the supervisor takes %.1f MB after the last deploy", float64(atOnce)/1e6)
	t.Logf("the supervisor takes %.1f MB", float64(rss)/1e6)
	if rss > 20e6 {
		t.Errorf("the supervisor takes %d bytes, at most 20 MB are allowed", rss)
	}
}

// What a WebSocket costs that outlives its worker: a member of the chat who is
// silent. Before and after it has moved, in the worker and in the supervisor.
func TestKeptConnectionMemory(t *testing.T) {
	const members = 5000
	build := binaries.app(t, "aaaa")
	s := open(t, build)
	_, wait := s.load(build, "--clients", strconv.Itoa(members), "--chatters", "50", "--rooms", "50", "--rate", "1", "--for", "90s", "--plain")
	empty, emptySupervisor := share(t, s.worker()), share(t, s.process.Process.Pid)
	s.eventually("everybody is connected", func() bool {
		st, err := s.status()
		return err == nil && st.Programs[0].Instances[0].Conns >= members
	})
	for _, when := range []string{"connected", "moved"} {
		time.Sleep(30 * time.Second) // idle; the collector and the scavenger do their work
		worker := float64(leastShare(t, s.worker())-empty) / members
		own := float64(leastShare(t, s.process.Process.Pid)-emptySupervisor) / members
		t.Logf("%s: %.1f KiB in the worker, %.2f KiB in the supervisor", when, worker/(1<<10), own/(1<<10))
		if worker > 10<<10 || own > 1<<10 {
			t.Errorf("%s: %.0f bytes in the worker and %.0f in the supervisor, at most 10 KiB and 1 KiB are allowed", when, worker, own)
		}
		if when == "connected" {
			if d := s.hangup(); d.Verdict != "accepted" {
				t.Fatalf("%+v", d)
			}
		}
	}
	if r, _ := wait(); r.Disconnects != 0 {
		t.Errorf("%d were disconnected", r.Disconnects)
	}
}

// leastShare is the least that a process has allocated over a few seconds. A worker collects
// its garbage every five, and how much there is in between is not of a connection.
func leastShare(t *testing.T, pid int) int64 {
	t.Helper()
	least := share(t, pid)
	for range 24 {
		time.Sleep(250 * time.Millisecond)
		least = min(least, share(t, pid))
	}
	return least
}
