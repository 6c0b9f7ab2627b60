package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// dayLoad is the load of a day under systemd: 200 clients, 20 of them talk.
var dayLoad = []string{"--clients", "200", "--chatters", "20", "--rate", "50", "--rooms", "5", "--plain"}

// load starts `app load` against the service, from a place that outlives its
// boots. stop ends it and tells what it reported.
func (s *service) load(args ...string) (stop func() loadReport) {
	s.t.Helper()
	var out, errOut bytes.Buffer
	c := s.Network.Command(s.t.Context(), append([]string{binaries.build(s.t, "app", "aaaa", false), "load", "--json", "--url", "http://127.0.0.1:3000"}, args...)...)
	c.Stdout, c.Stderr = &out, &errOut
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	join := sync.OnceValue(c.Wait)
	s.t.Cleanup(func() {
		c.Process.Kill()
		join()
	})
	s.eventually("everybody is connected", func() bool { return s.conns() >= 200 })
	return func() (r loadReport) {
		s.t.Helper()
		syscall.Kill(-c.Process.Pid, syscall.SIGINT)
		if err := join(); err != nil {
			if _, exited := err.(*exec.ExitError); !exited {
				s.t.Fatal(err)
			}
		}
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			s.t.Fatalf("app load: %v: %q: %s", err, out.String(), errOut.String())
		}
		s.t.Logf("app load: %s%s", out.String(), errOut.String())
		s.eventually("everybody has left", func() bool { return s.conns() == 0 })
		return r
	}
}

// status is what the supervisor of the service tells.
func (s *service) status() (st status, err error) {
	out, code := s.Run("/opt/simpletalk/releases/1/supervisor", "status", "--json", "--state", "/run/simpletalk")
	if code != 0 {
		return st, fmt.Errorf("status: exit %d: %s", code, out)
	}
	err = json.Unmarshal([]byte(out), &st)
	return st, err
}

func (s *service) conns() int {
	st, err := s.status()
	if err != nil || len(st.Programs) == 0 {
		return 0
	}
	return st.Programs[0].Instances[0].Conns
}

// settled waits until the chat serves and nothing is under way.
func (s *service) settled() (st status) {
	s.t.Helper()
	s.eventually("the chat serves", func() bool {
		var err error
		st, err = s.status()
		return err == nil && len(st.Programs) > 0 && st.Programs[0].Instances[0].State == "running"
	})
	return st
}

// killed kills a process of the service as the kernel does when memory is short.
func (s *service) killed(pid int) span {
	from := time.Now()
	s.Must("/bin/kill", "-KILL", strconv.Itoa(pid))
	s.eventually("it is gone", func() bool {
		_, code := s.Run("/bin/kill", "-0", strconv.Itoa(pid))
		return code != 0
	})
	return span{from, time.Now()}
}

// A day on a real systemd, with people talking all the time: nobody notices
// deploys, upgrades of the supervisor, kills of either, bad builds and bad
// supervisors, crash loops and systemd's own reloads. At a restart and a reboot
// they come back, and nothing is lost.
func TestADayUnderSystemd(t *testing.T) {
	s := startService(t)
	apps := []string{binaries.build(t, "app", "aaaa", false), binaries.build(t, "app", "bbbb", false)}
	sups := []string{binaries.lean(t), binaries.build(t, "supervisor", "lean2", false)}
	releases := 1
	// deploy puts a release in place and reads the verdict of a reload.
	deploy := func(app, supervisor string) (out string, code int) {
		releases++
		id := strconv.Itoa(releases)
		s.Install("/opt/simpletalk/releases/"+id+"/app", app)
		s.Install("/opt/simpletalk/releases/"+id+"/supervisor", supervisor)
		s.current(id)
		return s.Run("systemctl", "reload", "simpletalk")
	}
	good := func(what, app, supervisor string) {
		t.Helper()
		if out, code := deploy(app, supervisor); code != 0 {
			t.Errorf("%s: exit %d, %s", what, code, out)
		}
	}
	stop := s.load(append(dayLoad, "--for", "10m")...)
	var kills []span
	reloads, times := 10, 3
	if os.Getenv("SOAK") != "" {
		reloads, times = 20, 5
	}
	sup := 0
	for i := range times {
		for range reloads / times {
			good("a reload", apps[releases%2], sups[sup])
		}
		sup = 1 - sup
		before := s.settled()
		good("an upgrade", apps[releases%2], sups[sup])
		after := s.settled()
		if after.PID == before.PID {
			t.Errorf("upgrade %d: the supervisor is %d still", i, after.PID)
		}
		if main := strings.TrimSpace(s.Must("systemctl", "show", "-P", "MainPID", "simpletalk")); main != strconv.Itoa(after.PID) {
			t.Errorf("systemd takes %s for the main process, it is %d", main, after.PID)
		}
		s.Must("systemctl", []string{"daemon-reload", "daemon-reexec"}[i%2])

		worker := after.Programs[0].Instances[0]
		s.killed(after.PID)
		s.eventually("another supervisor goes on, and keeps everybody", func() bool {
			st, err := s.status()
			return err == nil && st.PID != after.PID && st.Programs[0].Instances[0].PID == worker.PID && st.Programs[0].Instances[0].Conns == 200
		})
		kills = append(kills, s.killed(worker.PID))
		s.eventually("another worker serves", func() bool {
			st, err := s.status()
			return err == nil && st.Programs[0].Instances[0].PID != worker.PID && st.Programs[0].Instances[0].State == "running"
		})
	}
	s.dayOfMistakes(deploy, apps, sups[sup])
	report := stop()
	if failed := report.unkilled(kills); report.Lost+report.Duplicated+report.Reordered+failed != 0 || report.Disconnects+report.Broken != 0 || report.Acked != report.Sent {
		t.Errorf("%d lost, %d duplicated, %d reordered, %d of %d not acknowledged, %d requests failed, %d disconnected, %d broken: want none",
			report.Lost, report.Duplicated, report.Reordered, report.Sent-report.Acked, report.Sent, failed, report.Disconnects, report.Broken)
	}
	s.dayOfRestarts()
}

// dayOfMistakes deploys what does not work.
func (s *service) dayOfMistakes(deploy func(app, supervisor string) (string, int), apps []string, supervisor string) {
	t := s.t
	t.Helper()
	s.settled()
	before := s.mustHealth()
	if out, code := deploy("/bin/false", supervisor); code == 0 {
		t.Errorf("a bad build: exit %d, %s", code, out)
	}
	if out, code := deploy(apps[0], "/bin/false"); code == 0 { // systemd cannot even ask by it
		t.Errorf("a bad supervisor: exit %d, %s", code, out)
	}
	old := s.settled()
	s.Must("systemctl", "kill", "-s", "HUP", "--kill-whom=main", "simpletalk")
	s.eventually("the bad supervisor is rejected", func() bool {
		st, err := s.status()
		if err != nil || len(st.Deploys) <= len(old.Deploys) {
			return false
		}
		last := st.Deploys[len(st.Deploys)-1]
		return last.Verdict == "rejected" && strings.Contains(last.Reason, "nothing was changed") && st.PID == old.PID
	})
	if now := s.mustHealth(); now != before {
		t.Errorf("after mistakes serves %+v, before %+v", now, before)
	}
	// A program that crashes for ever beside the chat.
	s.Write("/etc/simpletalk/supervisor.toml", s.config()+"\n[program.loop]\ncommand = [\"/bin/false\"]\n", 0o644)
	if out, code := deploy(apps[0], supervisor); code == 0 {
		t.Errorf("a program that crashes for ever: exit %d, %s", code, out)
	}
	st := s.settled()
	s.killed(st.PID)
	s.eventually("the supervisor goes on with both", func() bool {
		now, err := s.status()
		return err == nil && now.PID != st.PID && len(now.Programs) == 2
	})
	s.Write("/etc/simpletalk/supervisor.toml", s.config(), 0o644)
	if out, code := deploy(apps[1], supervisor); code != 0 {
		t.Errorf("without it: exit %d, %s", code, out)
	}
}

// dayOfRestarts lets everybody go and come back.
func (s *service) dayOfRestarts() {
	t := s.t
	t.Helper()
	stop := s.load(append(dayLoad, "--for", "10m")...)
	refused := s.whileAsking(func() { s.Must("systemctl", "restart", "simpletalk") })
	if refused > 0 {
		t.Errorf("%d connections were refused during a restart", refused)
	}
	s.eventually("everybody is back after the restart", func() bool { return s.conns() >= 200 })
	time.Sleep(time.Second)
	s.Reboot()
	s.eventually("everybody is back after the reboot", func() bool { return s.conns() >= 200 })
	time.Sleep(time.Second)
	if r := stop(); r.Lost+r.Duplicated+r.Reordered != 0 || r.Acked != r.Sent {
		t.Errorf("%d lost, %d duplicated, %d reordered, %d of %d not acknowledged: want none", r.Lost, r.Duplicated, r.Reordered, r.Sent-r.Acked, r.Sent)
	}
}
