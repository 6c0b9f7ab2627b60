//go:build linux

package sdbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
)

const systemd = "/usr/lib/systemd/systemd"

// Check says why no box can boot here, or returns nil.
var Check = sync.OnceValue(check)

func check() error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	if _, err := os.Stat(systemd); err != nil {
		return fmt.Errorf("no %s (Debian: apt-get install systemd dbus)", systemd)
	}
	for _, tool := range []string{"bash", "mount", "unshare", "nsenter", "setpriv", "pivot_root", "dbus-daemon", "journalctl", "systemd-sysusers"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("no %s (Debian: apt-get install systemd dbus util-linux)", tool)
		}
	}
	return errors.Join(checkCgroup(), checkNamespaces())
}

func checkCgroup() error {
	dir, err := makeCgroup()
	if err != nil {
		return err
	}
	return removeCgroup(dir)
}

func checkNamespaces() error {
	c := exec.Command("true")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: ofBoot | syscall.CLONE_NEWNET | syscall.CLONE_NEWCGROUP}
	if err := c.Run(); err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	return nil
}

// need skips the test where no box can boot, and fails it where everything has
// to be there.
func need(t testing.TB) {
	t.Helper()
	switch err := Check(); {
	case err == nil:
	case os.Getenv("REQUIRE_ALL") == "1":
		t.Fatal("REQUIRE_ALL=1, but systemd cannot boot here: ", err)
	default:
		t.Skip("systemd cannot boot here: ", err)
	}
}
