package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// badLater is a file that makes a build end by itself after a while, as one
// does that leaks, or meets data that it cannot read.
const badLater = `package main

import (
	"fmt"
	"os"
	"time"
)

func init() {
	time.AfterFunc(%d, func() {
		fmt.Fprintln(os.Stderr, "no such table: rooms")
		os.Exit(7)
	})
}
`

// appThatEnds builds the app with something bad in it.
func appThatEnds(t *testing.T, after time.Duration) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "bad.go")
	if err := os.WriteFile(source, fmt.Appendf(nil, badLater, after), 0o644); err != nil {
		t.Fatal(err)
	}
	app, err := filepath.Abs("../../app/zz_bad.go") // where it is built, and never is
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {app: source}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "bad")
	c := exec.Command("go", "build", "-overlay", file, "-o", path, "-ldflags", "-X main.version=e2e -X main.commit=dead",
		"github.com/simpletalk/simpletalk/app")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build the bad app: %v\n%s", err, out)
	}
	return path
}

// A deploy that crashes 5 s after it was ready comes back by itself, and nobody
// who talks is disconnected or loses anything.
func TestABuildThatFailsLaterIsTakenBack(t *testing.T) {
	good, bad := binaries.app(t, "aaaa"), appThatEnds(t, 5*time.Second)
	s := open(t, good, "--bake", "20s")
	_, wait := s.load(good, "--clients", "300", "--chatters", "20", "--rate", "100", "--rooms", "5", "--for", "15s", "--plain")
	s.eventually("everybody is connected", func() bool {
		st, err := s.status()
		return err == nil && st.Programs[0].Instances[0].Conns >= 300
	})
	before := s.mustHealth()
	s.install(bad)
	began := time.Now()
	out, code, _ := s.command("reload", "--wait")
	crash := span{began, time.Now()}
	if code != 4 || !strings.Contains(out, "returned") || !strings.Contains(out, "exit status 7") || !strings.Contains(out, "  | no such table: rooms") {
		t.Errorf("exit code %d, output %q; want 4, the reason and the last lines", code, out)
	}
	if took := time.Since(began); took < 4*time.Second || took > 15*time.Second {
		t.Errorf("the verdict came after %v", took)
	}
	s.eventually("the good build serves", func() bool {
		h, err := s.health()
		return err == nil && h.Commit == before.Commit && h.PID != before.PID
	})
	report, code := wait()
	if report.HTTPFailed > 0 && report.unkilled([]span{crash}) == 0 {
		report.HTTPFailed, code = 0, 0
	}
	checkMessages(t, report, 60)
	if code != 0 || report.Disconnects+report.Broken != 0 {
		t.Errorf("exit %d, %d disconnected, %d broken: want 0 and nobody", code, report.Disconnects, report.Broken)
	}
	st, err := s.status()
	if err != nil || st.Deploys[len(st.Deploys)-1].Verdict != "returned" {
		t.Errorf("status %+v, %v", st, err)
	}

	// What was good stays what a crash brings back, although the bad one lies in
	// its place.
	h := s.mustHealth()
	s.killAndWatch(h.PID)
	if now := s.recovered(h); now.Commit != before.Commit {
		t.Errorf("%+v serves after a crash, want the good build", now)
	}
}

// A hung build is found by its silence, and what clients had is not lost.
func TestABuildThatHangsIsTakenBack(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"), "--bake", "1m")
	s.install(binaries.app(t, "bbbb"))
	done := make(chan string, 1)
	go func() {
		out, code, _ := s.command("reload", "--wait")
		done <- fmt.Sprint(code, " ", out)
	}()
	var hung health
	s.eventually("the new build serves", func() bool {
		h, err := s.health()
		hung = h
		return err == nil && h.Commit == "bbbb"
	})
	// It answers a moment before its supervisor has heard that it took over.
	s.eventually("the new build bakes", func() bool {
		st, err := s.status()
		return err == nil && st.Programs[0].Instances[0].State == "baking"
	})
	if err := syscall.Kill(hung.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	select {
	case out := <-done:
		if !strings.HasPrefix(out, "4 ") || !strings.Contains(out, "hung") {
			t.Errorf("got %s, want 4 and that it hung", out)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no verdict")
	}
	s.eventually("the good build serves", func() bool {
		h, err := s.health()
		return err == nil && h.Commit == "aaaa"
	})
}
