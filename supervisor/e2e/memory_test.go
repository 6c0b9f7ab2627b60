//go:build !race

package e2e // the race detector's own memory is not what is measured

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// What the supervisor itself needs, after a few dozen deploys.
func TestSupervisorMemory(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	for range 30 {
		s.hangup()
	}
	rss := resident(t, s.process.Process.Pid)
	t.Logf("the supervisor takes %.1f MB", float64(rss)/1e6)
	if rss > 20e6 {
		t.Errorf("the supervisor takes %d bytes, at most 20 MB are allowed", rss)
	}
}

// resident returns a process's resident memory in bytes (proc_pid_statm(5)).
func resident(t testing.TB, pid int) int64 {
	t.Helper()
	statm, err := os.ReadFile(procDir(pid) + "/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
