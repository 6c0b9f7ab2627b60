package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Whatever moment of an upgrade either supervisor is killed at: there is exactly
// one afterwards, nobody is disconnected, and the deploy has a verdict.
func TestASupervisorIsKilledInTheMiddleOfAnUpgrade(t *testing.T) {
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	sup := supervisors(t)
	s := openChat(t, builds[0])
	stop := s.talk(builds[0])
	for i := range 12 {
		s.replace(sup[i%2])
		s.place(builds[(i+1)%2])
		st, err := s.status()
		if err != nil {
			t.Fatal(err)
		}
		if _, code, err := s.command("reload"); code != 0 {
			t.Fatal(err)
		}
		moment := rand.N(300 * time.Millisecond)
		time.Sleep(moment)
		victim, who := st.PID, "the old one"
		if i%2 == 1 {
			if young := s.successorOf(st.PID); young != 0 {
				victim, who = young, "the new one"
			}
		}
		kill(victim) // it may have ended already
		s.eventually("the deploy has a verdict", func() bool {
			after, err := s.status()
			if err != nil || len(after.Deploys) <= len(st.Deploys) || after.PID == victim {
				return false
			}
			d := after.Deploys[len(after.Deploys)-1]
			if d.Verdict != "pending" {
				reason, _, _ := strings.Cut(d.Reason, "; its last output")
				t.Logf("%s killed after %s: %s %s", who, moment, d.Verdict, reason)
			}
			return d.Verdict != "pending"
		})
		s.serves("a worker serves")
		s.eventually("there is one supervisor", func() bool { return len(s.supervisors()) == 1 })
	}
	report, code := stop()
	checkMessages(t, report, 60)
	if code != 0 || report.Disconnects+report.Broken != 0 {
		t.Errorf("exit %d, %d disconnected, %d broken: want 0 and nobody", code, report.Disconnects, report.Broken)
	}
}

// supervisors are the processes of this site's supervisor that live.
func (s *managed) supervisors() []int {
	var pids []int
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range entries {
		command, err := os.ReadFile(dir + "/cmdline")
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if err == nil && strings.HasPrefix(string(command), s.path+"\x00run\x00") && lives(pid) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// successorOf is the supervisor that pid has started to take over, 0 if there is
// none.
func (s *managed) successorOf(pid int) int {
	for _, each := range s.supervisors() {
		stat, err := os.ReadFile(procDir(each) + "/stat")
		if _, rest, ok := strings.Cut(string(stat), ") "); err == nil && ok && strings.Fields(rest)[1] == strconv.Itoa(pid) {
			return each
		}
	}
	return 0
}
