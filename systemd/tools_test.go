package systemd

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// quiet runs a command that has to work and to say nothing.
func quiet(t *testing.T, c *exec.Cmd) {
	t.Helper()
	need(t, c.Args[0])
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s: %v\n%s", strings.Join(c.Args, " "), err, out)
	}
}

// install makes a root with all files, an executable in the supervisor's place,
// and empty units for those that ours refer to.
func install(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	for path, text := range Files() {
		write(t, filepath.Join(root, path), text, 0o644)
	}
	write(t, filepath.Join(root, "opt/simpletalk/current/supervisor"), "#!/bin/sh\n", 0o755)
	for _, target := range []string{"sysinit", "basic", "shutdown", "sockets", "network", "nss-user-lookup", "multi-user"} {
		write(t, filepath.Join(root, "usr/lib/systemd/system", target+".target"), "[Unit]\nDescription=stub\n", 0o644)
	}
	return root
}

func TestUnitsVerify(t *testing.T) {
	verify := func(root string) *exec.Cmd {
		return exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", "--root="+root, "simpletalk.service", "simpletalk.socket")
	}
	quiet(t, verify(install(t)))
	t.Run("with the drop-in", func(t *testing.T) {
		root := install(t)
		write(t, filepath.Join(root, "etc/systemd/system/simpletalk.service.d/jit.conf"), JIT, 0o644)
		quiet(t, verify(root))
	})
	t.Run("with a mistake", func(t *testing.T) {
		root := install(t)
		write(t, filepath.Join(root, "etc/systemd/system/simpletalk.socket"), Socket+"Wanted=by\n", 0o644)
		if out, _ := verify(root).CombinedOutput(); !strings.Contains(string(out), "Wanted") {
			t.Errorf("it is not noticed: %s", out)
		}
	})
}

func TestUserUnitVerifies(t *testing.T) {
	home := t.TempDir()
	build := filepath.Join(home, ".local/opt/simpletalk/current")
	write(t, filepath.Join(build, "supervisor"), "#!/bin/sh\n", 0o755)
	write(t, filepath.Join(home, "run/.keep"), "", 0o600)
	t.Setenv("HOME", home)
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(home, "run"))
	quiet(t, exec.CommandContext(t.Context(), "systemd-analyze", "--user", "verify", "--man=no", "./simpletalk-user.service"))
}

// The exposure is 2.0 or less.
func TestHardening(t *testing.T) {
	need(t, "systemd-analyze")
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20", "./simpletalk.service").CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	t.Log(lines[len(lines)-1])
}

func TestUserIsMade(t *testing.T) {
	need(t, "systemd-sysusers")
	c := exec.CommandContext(t.Context(), "systemd-sysusers", "--dry-run", "--root="+t.TempDir(), "-")
	c.Stdin = strings.NewReader(Sysusers)
	if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "Creating user 'simpletalk'") {
		t.Errorf("systemd-sysusers: %v\n%s", err, out)
	}
}
