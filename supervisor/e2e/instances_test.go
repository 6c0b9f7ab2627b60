package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// instances are the pids of the serving workers, by instance.
func (s *site) instances() (pids []int) {
	st, err := s.status()
	if err != nil {
		return nil
	}
	for _, i := range st.Programs[0].Instances {
		if i.State == "running" || i.State == "baking" {
			pids = append(pids, i.PID)
		}
	}
	return pids
}

// conns are the connections of all instances.
func (s *site) conns() (n int) {
	st, err := s.status()
	if err != nil {
		return 0
	}
	for _, i := range st.Programs[0].Instances {
		n += i.Conns
	}
	return n
}

// spread is the load of these tests: [run300] at a pace that three workers with the
// race detector keep up with on a machine that has other things to do. What they do
// not get rid of in time the load takes for lost.
var spread = append(run300[:len(run300):len(run300)], "--plain", "--rate", "40", "--for", "10m")

// Three copies of the chat serve one crowd: people in a room meet whichever worker
// they are at, and notice neither deploys nor kills, of which one is of a single
// instance.
func TestPeopleTalkOverSeveralInstances(t *testing.T) {
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	s := open(t, builds[0])
	if out, code, err := s.command("scale", "current", "3"); code != 0 {
		t.Fatalf("%v: %s", err, out)
	}
	s.eventually("three workers serve", func() bool { return len(s.instances()) == 3 })
	process, wait := s.load(builds[0], spread...)
	s.eventually("everybody is connected", func() bool { return s.conns() >= 300 })
	var kills []span
	for i := range 3 {
		time.Sleep(time.Second)
		before := s.instances()
		s.install(builds[(i+1)%2])
		out, code, _ := s.command("reload", "--wait")
		if code != 0 || strings.Count(out, "swapped") != 1 {
			t.Errorf("reload %d: exit %d\n%s", i, code, out)
		}
		s.eventually("three other workers serve", func() bool {
			now := s.instances()
			return len(now) == 3 && now[0] != before[0] && now[1] != before[1] && now[2] != before[2]
		})
		victim := s.instances()[i]
		kills = append(kills, s.killAndWatch(victim))
		s.eventually("the killed one is back", func() bool {
			now := s.instances()
			return len(now) == 3 && now[i] != victim
		})
	}
	told, _, err := s.command("metrics")
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{`supervisor_pause_seconds_count{program="current"} 9`, `supervisor_swap_seconds_count{program="current"} 3`, `supervisor_deploys_total{program="current",verdict="accepted"} 3`} {
		if !strings.Contains(told, want+"\n") {
			t.Errorf("metrics lack %s:\n%s", want, told)
		}
	}
	process.Signal(os.Interrupt)
	r, _ := wait()
	if failed := r.unkilled(kills); r.Lost+r.Duplicated+r.Reordered+failed != 0 || r.Disconnects+r.Broken != 0 || r.Acked != r.Sent || r.Received != 60*r.Acked {
		t.Errorf("%d lost, %d duplicated, %d reordered, %d of %d acknowledged, %d copies; %d requests failed, %d disconnected, %d broken",
			r.Lost, r.Duplicated, r.Reordered, r.Acked, r.Sent, r.Received, failed, r.Disconnects, r.Broken)
	}
}

// What befalls one instance of a deploy befalls all: a build that one cannot start
// is rejected everywhere, one that fails at one later is taken back everywhere.
func TestADeployIsOfAllInstancesOrNone(t *testing.T) {
	good := binaries.tiny(t, "one")
	s := &site{t: t, dir: t.TempDir(), ended: make(chan struct{}), output: new(output)}
	s.start([]string{"--bake", "5s"}, good, "serve")
	if _, code, err := s.command("scale", "tiny-one", "3"); code != 0 {
		t.Fatal(err)
	}
	s.eventually("three workers serve", func() bool { return len(s.instances()) == 3 })
	before := fmt.Sprint(s.instances())
	bad := func(manner string) string {
		path := filepath.Join(t.TempDir(), "bad")
		text := "#!/bin/sh\nif [ $SIMPLETALK_INSTANCE = 2 ]; then\n" + manner + "\nfi\nexec " + good + " serve\n"
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	out, code, _ := s.command("reload", "tiny-one", "--build", bad("echo no room for me >&2; exit 3"), "--wait")
	if code != 3 || !strings.Contains(out, "instance 2: exit status 3") || !strings.Contains(out, "no room for me") {
		t.Errorf("exit %d, want 3 and whose fault it was\n%s", code, out)
	}
	if after := fmt.Sprint(s.instances()); after != before {
		t.Errorf("workers %s serve, before %s", after, before)
	}
	out, code, _ = s.command("reload", "tiny-one", "--build", bad("(sleep 2; kill -9 $$) &"), "--wait")
	if code != 4 || !strings.Contains(out, "instance 2: ") || !strings.Contains(out, "killed by SIGKILL") {
		t.Errorf("exit %d, want 4 and whose fault it was\n%s", code, out)
	}
	s.eventually("the build before serves everywhere", func() bool {
		st, err := s.status()
		if err != nil {
			return false
		}
		for _, i := range st.Programs[0].Instances {
			if i.State != "running" || i.Build.Path != good {
				return false
			}
		}
		return len(st.Programs[0].Instances) == 3
	})
}

// Fewer instances leave their clients to those that stay: nobody is disconnected.
func TestScalingDown(t *testing.T) {
	build := binaries.app(t, "aaaa")
	s := open(t, build)
	if _, code, err := s.command("scale", "current", "3"); code != 0 {
		t.Fatal(err)
	}
	process, wait := s.load(build, spread...)
	s.eventually("everybody is connected", func() bool { return s.conns() >= 300 })
	if _, code, err := s.command("scale", "current", "1"); code != 0 {
		t.Fatal(err)
	}
	if st, err := s.status(); err != nil || len(st.Programs[0].Instances) != 1 {
		t.Errorf("%+v, %v", st.Programs, err)
	}
	s.eventually("everybody is at the one that is left", func() bool { return s.conns() >= 300 })
	process.Signal(os.Interrupt)
	r, _ := wait()
	checkMessages(t, r, 60)
	if r.Disconnects+r.Broken != 0 || r.Reconnects != 0 {
		t.Errorf("%d disconnected, %d broken, %d connected again, want none", r.Disconnects, r.Broken, r.Reconnects)
	}
}

// All instances go on with another supervisor, after a crash and after an upgrade,
// also in the middle of a deploy of all.
func TestSeveralInstancesOutliveTheirSupervisor(t *testing.T) {
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	sup := supervisors(t)
	s := openChat(t, builds[0], "--bake", "1s")
	if _, code, err := s.command("scale", "current", "3"); code != 0 {
		t.Fatal(err)
	}
	process, wait := s.load(builds[0], spread...)
	s.eventually("everybody is connected", func() bool { return s.conns() >= 300 })
	before := fmt.Sprint(s.instances())
	s.crash()
	if after := fmt.Sprint(s.instances()); after != before {
		t.Errorf("workers %s serve, before the crash %s", after, before)
	}
	s.replace(sup[1])
	s.place(builds[1])
	if out, code, _ := s.command("reload", "--wait"); code != 0 || !strings.Contains(out, "upgrading") {
		t.Errorf("exit %d\n%s", code, out)
	}
	for i := range 4 {
		s.place(builds[i%2])
		st, err := s.status()
		if err != nil {
			t.Fatal(err)
		}
		if _, code, err := s.command("reload"); code != 0 {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(400*(i+1)) * time.Millisecond)
		if err := kill(st.PID); err != nil {
			t.Fatal(err)
		}
		s.comesUp(st.PID)
		s.eventually("the deploy has a verdict, and all serve one build", func() bool {
			after, err := s.status()
			return err == nil && len(after.Deploys) > len(st.Deploys) && after.Deploys[len(after.Deploys)-1].Verdict != "pending" &&
				len(s.instances()) == 3 && oneBuild(after)
		})
	}
	process.Signal(os.Interrupt)
	r, _ := wait()
	if r.Lost+r.Duplicated+r.Reordered+r.HTTPFailed != 0 || r.Disconnects+r.Broken != 0 || r.Acked != r.Sent {
		t.Errorf("%d lost, %d duplicated, %d reordered, %d of %d acknowledged; %d requests failed, %d disconnected, %d broken",
			r.Lost, r.Duplicated, r.Reordered, r.Acked, r.Sent, r.HTTPFailed, r.Disconnects, r.Broken)
	}
}

// oneBuild reports whether all instances serve the same one, or are at different
// generations of it.
func oneBuild(st status) bool {
	first := st.Programs[0].Instances[0].Build.Commit
	for _, i := range st.Programs[0].Instances {
		if i.State != "running" || i.Build.Commit != first {
			return false
		}
	}
	return true
}
