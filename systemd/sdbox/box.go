//go:build linux

package sdbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	patience   = time.Minute      // for a boot, on a machine that is busy with other tests
	politeness = 15 * time.Second // until a box that does not power off is cut off
	perCommand = 2 * time.Minute  // for a command of [Box.Run]
)

// Options of a box. The zero value is a machine with nothing but systemd,
// journald, logind and D-Bus, alone on its network.
type Options struct {
	// Files are in place before the first boot: path in the box to content.
	// They have mode 0644.
	Files map[string]string
	// Network is where the box is, nil for one of its own.
	Network *Network
}

// Box is a booted machine. Its methods are for the goroutine of the test that
// booted it, [Box.Command] and [Box.Path] for all.
type Box struct {
	// Network is where the box is. What runs there sees the box's ports at
	// 127.0.0.1.
	Network *Network

	t    testing.TB
	m    *machine
	took time.Duration
}

// Boot makes a box and boots it. At the end of the test it is powered off and
// removed; if the test has failed its journal is shown first.
func Boot(t testing.TB, o Options) *Box {
	t.Helper()
	need(t)
	if o.Network == nil {
		o.Network = NewNetwork(t)
	}
	dir := t.TempDir() // before the cleanup below, and so removed after it
	m, err := newMachine(dir, o.Network.Path())
	if err != nil {
		t.Fatal("make box: ", err)
	}
	b := &Box{Network: o.Network, t: t, m: m}
	t.Cleanup(b.remove)
	for path, content := range o.Files {
		b.Write(path, content, 0o644)
	}
	b.PowerOn()
	return b
}

// remove ends the box for good.
func (b *Box) remove() {
	if b.t.Failed() {
		b.t.Logf("journal of the box:\n%s", b.journal("-n", "2000", "-o", "short-monotonic"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), politeness)
	defer cancel()
	if err := b.m.powerOff(ctx); err != nil {
		b.t.Log("box: ", err)
		b.m.cut()
	}
	if err := removeCgroup(b.m.cgroup); err != nil {
		b.t.Error("remove cgroup: ", err)
	}
}

// BootTime is how long the last boot took.
func (b *Box) BootTime() time.Duration { return b.took }

// Path is where a path of the box is outside, if it is on its disk: what it
// mounts over it (/usr, /run, /tmp, /proc, /sys, /dev) cannot be seen there.
func (b *Box) Path(path string) string { return b.m.path(path) }

// Write writes a file on the disk of the box, whole or not at all, and makes
// the folders it needs. The box may be on or off.
func (b *Box) Write(path, content string, mode fs.FileMode) {
	b.t.Helper()
	b.put(path, strings.NewReader(content), mode)
}

// Install copies an executable of this machine to a path of the box.
func (b *Box) Install(path, from string) {
	b.t.Helper()
	f, err := os.Open(from)
	if err != nil {
		b.t.Fatal("install: ", err)
	}
	defer f.Close()
	b.put(path, f, 0o755)
}

func (b *Box) put(path string, content io.Reader, mode fs.FileMode) {
	b.t.Helper()
	to := b.Path(path)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := replace(to, content, mode); err != nil {
		b.t.Fatal("write to box: ", err)
	}
}

// replace puts a new file at path, also where one that runs is in the way.
func replace(path string, content io.Reader, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".sdbox-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after all went well
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Command is a command in the box, as root. It ends with the boot at the
// latest. It is named as a file: what is built into bash, such as kill, would act
// on the processes of the machine around.
func (b *Box) Command(ctx context.Context, args ...string) *exec.Cmd {
	return b.m.command(ctx, args...)
}

// Run runs a command in the box and returns what it wrote, without white space
// around it, and its exit status: 128 more than the signal that ended it, and -1
// if it had to be given up after two minutes.
func (b *Box) Run(args ...string) (out string, code int) {
	ctx, cancel := context.WithTimeout(context.Background(), perCommand)
	defer cancel()
	c := b.Command(ctx, args...)
	text, err := c.CombinedOutput()
	out = strings.TrimSpace(string(text))
	if c.ProcessState == nil {
		return err.Error(), -1
	}
	return out, c.ProcessState.ExitCode()
}

// Must is Run for a command that has to work.
func (b *Box) Must(args ...string) string {
	b.t.Helper()
	out, code := b.Run(args...)
	if code != 0 {
		b.t.Fatalf("%s: exit status %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// Start starts a command of [Box.Command] or [Network.Command] beside the test,
// whose end is also its own. The test may wait for it before.
func (b *Box) Start(c *exec.Cmd) {
	b.t.Helper()
	c.WaitDelay = time.Second
	if err := c.Start(); err != nil {
		b.t.Fatal("start in box: ", err)
	}
	b.t.Cleanup(func() {
		if c.ProcessState == nil {
			c.Process.Kill()
			c.Wait()
		}
	})
}

// Journal returns what the box has logged, in all boots or as args, those of
// journalctl, say. The box may be on or off.
func (b *Box) Journal(args ...string) string {
	b.t.Helper()
	return b.journal(args...)
}

func (b *Box) journal(args ...string) string {
	if leader, _, _ := b.m.now(); leader != nil {
		b.Run("journalctl", "--sync")
	}
	args = append([]string{"--no-pager", "--quiet", "--directory", b.Path("/var/log/journal")}, args...)
	out, err := exec.Command("journalctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("journalctl: %v: %s", err, out)
	}
	return string(bytes.TrimSpace(out))
}

// Reboot reboots the box as its operator would, and waits until it is up again.
func (b *Box) Reboot() {
	b.t.Helper()
	b.booting("reboot", b.m.reboot)
}

// PowerOff powers the box off as its operator would, and waits until it is.
func (b *Box) PowerOff() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.m.powerOff(ctx); err != nil {
		b.t.Fatal(err)
	}
}

// PowerCut ends every process of the box at once. What they had written is on
// its disk all the same: it is this machine's kernel that has it.
func (b *Box) PowerCut() { b.m.cut() }

// PowerOn boots a box that is off.
func (b *Box) PowerOn() {
	b.t.Helper()
	b.booting("boot", b.m.switchOn)
}

func (b *Box) booting(what string, boot func(context.Context) error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	if err := boot(ctx); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	b.took = time.Since(began)
}
