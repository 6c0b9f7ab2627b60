//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/statedir"
)

func TestWhatHangupMeans(t *testing.T) {
	for _, test := range []struct {
		name         string
		started, now bool // with a terminal
		want         bool
	}{
		{"a service", false, false, true},
		{"a service that has since opened a terminal", false, true, true},
		{"in a terminal", true, true, true},
		{"its terminal was closed", true, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := deploysOnHangup(test.started, func() bool { return test.now }); got != test.want {
				t.Errorf("deploys: %v, want %v", got, test.want)
			}
		})
	}
}

// openTerminal returns both ends of a new terminal (pty(7)).
func openTerminal(t *testing.T) (window, terminal *os.File) {
	t.Helper()
	window, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		unavailable(t, fmt.Sprintf("no terminal to be had: %v", err))
	}
	t.Cleanup(func() { window.Close() })
	raw, err := window.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		unavailable(t, fmt.Sprintf("no terminal to be had: %v", err))
	}
	t.Cleanup(func() { terminal.Close() })
	return window, terminal
}

// unavailable skips a test that cannot run here, or fails it where everything
// must run.
func unavailable(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// The same signal is an order while the terminal is there, and its end when it
// is not.
func TestHangupInATerminal(t *testing.T) {
	window, terminal := openTerminal(t)
	state := t.TempDir()
	behaviour := filepath.Join(state, "behaviour")
	if err := os.WriteFile(behaviour, []byte("good"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(state, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()

	c := exec.Command("supervisor", "run", "--state", state, "--listen", "http=127.0.0.1:0", "--bake", "0s", "--", "app", behaviour)
	c.Dir = state
	c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	c.Stdin, c.Stderr = terminal, log
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	terminal.Close() // the supervisor's copy is the last

	client := control.NewClient(statedir.Dial(state))
	awaitStatus(t, client, "running", func(s control.Status) bool {
		return s.Programs[0].Instances[0].State == "running"
	})
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, client, "an accepted deploy", func(s control.Status) bool {
		return slices.ContainsFunc(s.Deploys, func(d control.Deploy) bool { return d.Verdict == control.Accepted })
	})
	window.Close() // the kernel hangs the session's leader up
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with %v, want exit status 0", err)
		}
	case <-time.After(patience):
		c.Process.Kill()
		<-ended
		t.Error("it outlived its terminal")
	}
	if t.Failed() {
		text, _ := os.ReadFile(log.Name())
		t.Logf("it wrote\n%s", text)
	}
}

// awaitStatus asks until the status is as wanted.
func awaitStatus(t *testing.T, c *control.Client, what string, is func(control.Status) bool) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		s, err := c.Status(t.Context())
		if err == nil && is(s) {
			return
		}
		if err != nil && !errors.Is(err, control.ErrUnreachable) && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s, it is %+v, %v", what, patience, s, err)
		}
	}
}
