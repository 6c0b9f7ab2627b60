package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// verification is a `supervisor verify` under way, in a folder of its own that
// it must leave empty.
func verification(t *testing.T, withApp bool, args ...string) (c *exec.Cmd, out *output, temp string) {
	t.Helper()
	bin, temp := t.TempDir(), t.TempDir()
	link := func(from, name string) {
		if err := os.Link(from, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	link(binaries.supervisor(t), "supervisor")
	if withApp {
		link(binaries.app(t, "aaaa"), "app")
	}
	out = new(output)
	c = exec.Command(filepath.Join(bin, "supervisor"), append([]string{"verify"}, args...)...)
	c.Env = append(os.Environ(), "TMPDIR="+temp, "GORACE=atexit_sleep_ms=0")
	c.Stdout, c.Stderr = out, out
	return c, out, temp
}

// leavesNothing checks that a verification has cleaned up after itself.
func leavesNothing(t *testing.T, temp string) {
	t.Helper()
	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A sceptic runs one command and sees every promise kept; a real site's store that
// the shell names is left alone.
func TestVerifyShowsThePromisesKept(t *testing.T) {
	t.Setenv("MONGODB_URI", "mongodb://127.0.0.1:1/production")
	c, out, temp := verification(t, true, "--clients", "60", "--rate", "40", "--for", "8s")
	if err := c.Run(); err != nil {
		t.Errorf("verify: %v: %s", err, out.last(20))
	}
	for _, want := range []string{"reload: the next worker served after", "kill -9: the next worker served after", "clients disconnected", "every promise kept"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	leavesNothing(t, temp)
}

func TestVerifyInterruptedCleansUp(t *testing.T) {
	c, out, temp := verification(t, true, "--clients", "20", "--for", "1m")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); !strings.Contains(out.String(), "clients talk"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("the trial did not begin: %s", out.String())
			break
		}
	}
	c.Process.Signal(syscall.SIGINT)
	if err := c.Wait(); err == nil {
		t.Errorf("an interrupted trial succeeded: %s", out.String())
	}
	leavesNothing(t, temp)
}

func TestVerifyNeedsItsApp(t *testing.T) {
	c, out, temp := verification(t, false)
	err := c.Run()
	if code := c.ProcessState.ExitCode(); err == nil || code != 2 || !strings.Contains(out.String(), "app: no such file") {
		t.Errorf("exit %d: %s, want 2 and what is missing", code, out.String())
	}
	leavesNothing(t, temp)
}
