package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// upgradable is a site whose supervisor can be replaced like its chat.
type upgradable struct{ *site }

// openUpgradable starts a site on a build of the chat and one of the supervisor.
func openUpgradable(t *testing.T, supervisor, build string, flags ...string) upgradable {
	t.Helper()
	s := upgradable{&site{t: t, dir: t.TempDir(), ended: make(chan struct{}), output: new(output)}}
	s.replace(supervisor)
	s.install(build)
	args := append([]string{"run", "--state", s.state(), "--listen", "http=127.0.0.1:0", "--bake", "0s"}, flags...)
	args = append(args, "--", filepath.Join(s.dir, "current"), "serve", "--data", filepath.Join(s.dir, "data"))
	s.launch(exec.Command(filepath.Join(s.dir, "supervisor"), args...))
	s.serves()
	st, _ := s.status()
	s.addr = st.Listen[0].Address
	return s
}

func (s upgradable) serves() {
	s.t.Helper()
	s.eventually("a worker serves", func() bool {
		st, err := s.status()
		return err == nil && len(st.Programs) == 1 && st.Programs[0].Instances[0].State == "running"
	})
}

// replace puts an executable in place of the supervisor's, as an installer does.
func (s upgradable) replace(executable string) {
	s.t.Helper()
	content, err := os.ReadFile(executable)
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.dir, "supervisor")
	if err := os.WriteFile(path+".new", content, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

// supervisors are two builds of the supervisor.
func supervisors(t *testing.T) [2]string {
	return [2]string{binaries.build(t, "supervisor", "s1", raceBuild), binaries.build(t, "supervisor", "s2", raceBuild)}
}

// A reload that finds another supervisor in place is done by that one. Nobody
// notices, and whoever waits gets the verdict.
func TestNobodyNoticesAnUpgradedSupervisor(t *testing.T) {
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	sup := supervisors(t)
	s := openUpgradable(t, sup[0], builds[0])
	stop := s.talk(builds[0])
	before := 0
	for i := range 5 {
		time.Sleep(300 * time.Millisecond)
		old, err := s.status()
		if err != nil {
			t.Fatal(err)
		}
		s.replace(sup[(i+1)%2])
		s.install(builds[(i+1)%2])
		out, code, _ := s.command("reload", "--wait")
		if code != 0 || !strings.Contains(out, "upgrading") || !strings.Contains(out, "accepted") || strings.Count(out, "requested") != 1 {
			t.Errorf("upgrade %d: exit %d\n%s", i, code, out)
		}
		now, err := s.status()
		if err != nil {
			t.Fatal(err)
		}
		if now.PID == old.PID || now.Programs[0].Instances[0].Gen != old.Programs[0].Instances[0].Gen+1 {
			t.Errorf("upgrade %d: supervisor %d, generation %d after %d, %d", i, now.PID, now.Programs[0].Instances[0].Gen, old.PID, old.Programs[0].Instances[0].Gen)
		}
		if i != 1 && i != 4 {
			continue
		}
		s.eventually("nobody drains", func() bool {
			st, err := s.status()
			return err == nil && len(st.Programs[0].Instances[0].Draining) == 0
		})
		if i == 1 {
			before = descriptors(t, now.PID)
			continue
		}
		s.eventually(fmt.Sprintf("there are as few descriptors after the last upgrade as after the second, %d", before), func() bool {
			return descriptors(t, now.PID) <= before+3
		})
	}
	report, code := stop()
	checkMessages(t, report, 60)
	if code != 0 || report.Disconnects+report.Broken != 0 {
		t.Errorf("exit %d, %d disconnected, %d broken: want 0 and nobody", code, report.Disconnects, report.Broken)
	}
}

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(procDir(pid) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// What programs have written is still there after an upgrade.
func TestTheLogOutlivesAnUpgrade(t *testing.T) {
	sup := supervisors(t)
	s := openUpgradable(t, sup[0], binaries.app(t, "aaaa"))
	before, _, err := s.command("logs", "--lines", "1000")
	if err != nil || !strings.Contains(before, `"gen":1`) {
		t.Fatalf("%v: %s", err, before)
	}
	s.replace(sup[1])
	if out, code, _ := s.command("reload", "--wait"); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	after, _, err := s.command("logs", "--lines", "1000")
	if err != nil || !strings.HasPrefix(after, before) || !strings.Contains(after, `"gen":2`) {
		t.Errorf("%v: after the upgrade the log has\n%s\nbefore it had\n%s", err, after, before)
	}
}

// A bad deploy by a good new supervisor is rejected as ever, and the exit code
// says so.
func TestAnUpgradeWithABadBuild(t *testing.T) {
	sup := supervisors(t)
	s := openUpgradable(t, sup[0], binaries.app(t, "aaaa"))
	old, _ := s.status()
	worker := s.mustHealth()
	s.replace(sup[1])
	s.install("/bin/false")
	out, code, _ := s.command("reload", "--wait")
	if code != 3 || !strings.Contains(out, "rejected") {
		t.Errorf("exit %d\n%s", code, out)
	}
	if now, err := s.status(); err != nil || now.PID == old.PID {
		t.Errorf("the supervisor is %d still: %v", now.PID, err)
	}
	if now := s.mustHealth(); now != worker {
		t.Errorf("another worker serves: %+v, %+v", now, worker)
	}
}

// A supervisor that does not come up changes nothing, and the verdict says why.
func TestABrokenSupervisorChangesNothing(t *testing.T) {
	sup := supervisors(t)
	s := openUpgradable(t, sup[0], binaries.app(t, "aaaa"))
	dir := t.TempDir()
	half := filepath.Join(dir, "half")
	whole, err := os.ReadFile(sup[1])
	if err == nil {
		err = os.WriteFile(half, whole[:len(whole)/2], 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	old, _ := s.status()
	worker := s.mustHealth()
	s.install(binaries.app(t, "bbbb"))
	for _, broken := range []struct{ executable, says string }{
		{half, "half-written"},
		{"/bin/false", "exit status 1"},
		{binaries.app(t, "aaaa"), "exit status"},
	} {
		s.replace(broken.executable)
		out, code, _ := commandOf(t, sup[0], s.state(), "reload", "--wait")
		if code != 3 || !strings.Contains(out, broken.says) || !strings.Contains(out, "nothing was changed") {
			t.Errorf("%s: exit %d, want 3 and %q\n%s", broken.executable, code, broken.says, out)
		}
		now, err := s.status()
		if err != nil || now.PID != old.PID || s.mustHealth() != worker {
			t.Errorf("%s: %v, supervisor %d, before %d", broken.executable, err, now.PID, old.PID)
		}
	}
	s.replace(sup[1])
	if out, code, _ := s.command("reload", "--wait"); code != 0 {
		t.Errorf("the remedy: exit %d\n%s", code, out)
	}
}

// commandOf is a command line of an executable that need not be the one in place.
func commandOf(t *testing.T, executable, state string, args ...string) (out string, code int, err error) {
	t.Helper()
	c := exec.Command(executable, append([]string{"--state", state}, args...)...)
	c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	text, err := c.CombinedOutput()
	return string(text), c.ProcessState.ExitCode(), err
}

// Whoever has started the supervisor waits for one process: it stays, and stops
// everything when it is told to.
func TestTheProcessThatWasStartedStays(t *testing.T) {
	sup := supervisors(t)
	s := openUpgradable(t, sup[0], binaries.app(t, "aaaa"))
	for i := range 2 {
		s.replace(sup[(i+1)%2])
		s.signal(syscall.SIGHUP) // to the process that was started
		s.eventually("another supervisor has deployed", func() bool {
			st, err := s.status()
			return err == nil && len(st.Deploys) == i+1 && st.Deploys[i].Verdict == "accepted" && st.PID != s.process.Process.Pid
		})
	}
} // the site's end stops that process, and checks that nothing is left

// As the first process of a container the supervisor can replace itself too: the
// container lives on with the stand-in.
func TestAnUpgradeInAContainer(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "a PID namespace takes root")
	}
	sup := supervisors(t)
	s := upgradable{&site{t: t, dir: t.TempDir(), ended: make(chan struct{}), output: new(output)}}
	s.replace(sup[0])
	s.install(binaries.app(t, "aaaa"))
	s.launch(exec.Command("unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
		filepath.Join(s.dir, "supervisor"), "run", "--state", s.state(), "--listen", "http=127.0.0.1:0", "--bake", "0s",
		"--", filepath.Join(s.dir, "current"), "serve", "--data", filepath.Join(s.dir, "data")))
	s.serves()
	st, _ := s.status()
	s.addr = st.Listen[0].Address
	if st.PID != 1 {
		t.Fatalf("the supervisor is process %d of its container", st.PID)
	}
	first := childOf(t, s.process.Process.Pid) // process 1, from outside
	orphan(s, first)
	for i := range 2 {
		s.replace(sup[(i+1)%2])
		s.install(binaries.app(t, []string{"bbbb", "aaaa"}[i]))
		if out, code, _ := s.command("reload", "--wait"); code != 0 {
			t.Fatalf("exit %d\n%s", code, out)
		}
		if now, err := s.status(); err != nil || now.PID == 1 {
			t.Errorf("the supervisor is process %d: %v", now.PID, err)
		}
		if h := s.mustHealth(); h.Commit != []string{"bbbb", "aaaa"}[i] {
			t.Errorf("%+v serves", h)
		}
	}
	orphan(s, first)
	if err := syscall.Kill(first, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		t.Error("the container did not stop")
	}
}

// orphan leaves process 1 of a container a child that ends, and waits until it has
// been reaped.
func orphan(s upgradable, first int) {
	s.t.Helper()
	enter := exec.Command("nsenter", "--target", strconv.Itoa(first), "--pid", "--mount", "sh", "-c", "(exec sleep 0.2 & ); sleep 0.1")
	if out, err := enter.CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	time.Sleep(300 * time.Millisecond) // it is dead by then
	s.eventually("the orphan is reaped", func() bool { return !hasDeadChild(s.t, first) })
}

// hasDeadChild reports whether a child of a process waits to be reaped.
func hasDeadChild(t testing.TB, pid int) bool {
	t.Helper()
	files, err := filepath.Glob(procDir(pid) + "/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, _ := os.ReadFile(f)
		for child := range strings.FieldsSeq(string(text)) {
			if stat, err := os.ReadFile("/proc/" + child + "/stat"); err == nil && strings.Contains(string(stat), ") Z ") {
				return true
			}
		}
	}
	return false
}

// childOf is the only child of a process.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(procDir(pid) + "/task/" + strconv.Itoa(pid) + "/children")
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return child
}
