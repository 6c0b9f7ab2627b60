//go:build linux

package sdbox

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:embed stage.sh
var stage string

// ofBoot are the namespaces that each boot has anew. The network's stays, and
// the cgroup's is made by stage.sh.
const ofBoot = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC

// machine is a box without its test: a folder, a cgroup, and PID 1 while it is
// on.
type machine struct {
	dir     string // holds root/, stage.sh, boot_id and console.log
	cgroup  string
	network string // its namespace, as a path

	mu     sync.Mutex
	leader *os.Process   // PID 1, nil while there is none
	boots  int           // so far
	off    chan struct{} // closed once it is switched off
	how    string        // it went off
}

// newMachine makes a machine in dir that is off.
func newMachine(dir, network string) (*machine, error) {
	m := &machine{dir: dir, network: network, off: make(chan struct{})}
	close(m.off)
	if err := makeRoot(m.path("/")); err != nil {
		return nil, fmt.Errorf("make root: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "stage.sh"), []byte(stage), 0o755); err != nil {
		return nil, err
	}
	var err error
	m.cgroup, err = makeCgroup() // the last: it is not removed with dir
	return m, err
}

// path is where a path of the box is outside.
func (m *machine) path(name string) string { return filepath.Join(m.dir, "root", name) }

// now returns PID 1, how many boots there were, and what is closed when the
// machine goes off.
func (m *machine) now() (leader *os.Process, boots int, off <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leader, m.boots, m.off
}

// switchOn boots a machine that is off, and lets it boot again whenever it asks
// for that.
func (m *machine) switchOn(ctx context.Context) error {
	m.mu.Lock()
	m.off = make(chan struct{})
	next := m.boots + 1
	m.mu.Unlock()
	go m.run()
	return m.waitUp(ctx, next)
}

// run is the machine while it is on.
func (m *machine) run() {
	runtime.LockOSThread() // Pdeathsig follows the thread that started a process
	defer runtime.UnlockOSThread()
	how, again := m.boot()
	for again {
		how, again = m.boot()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.how = how
	close(m.off)
}

// boot is one boot to its end. It returns how that came, and whether another
// one was asked for: reboot(2) in a pid namespace ends its leader by SIGHUP, to
// power off by SIGINT.
func (m *machine) boot() (how string, again bool) {
	c, err := m.start()
	if err != nil {
		return err.Error(), false
	}
	m.led(c.Process)
	c.Wait() // its state says all
	m.led(nil)
	ended := c.ProcessState.Sys().(syscall.WaitStatus)
	return c.ProcessState.String(), ended.Signaled() && ended.Signal() == syscall.SIGHUP
}

// start starts PID 1.
func (m *machine) start() (*exec.Cmd, error) {
	console, err := os.OpenFile(m.console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer console.Close()
	c := exec.Command("bash", filepath.Join(m.dir, "stage.sh"), m.dir, m.cgroup, m.network)
	c.Stdout, c.Stderr = console, console
	// However this process ends, the box ends with it.
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: ofBoot, Pdeathsig: syscall.SIGKILL, Setsid: true}
	return c, c.Start()
}

// led says who is PID 1 from now on, or with nil that nobody is.
func (m *machine) led(by *os.Process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leader = by
	if by != nil {
		m.boots++
	}
}

func (m *machine) console() string { return filepath.Join(m.dir, "console.log") }

// waitUp waits until boot number n has started what it should.
func (m *machine) waitUp(ctx context.Context, n int) error {
	for {
		leader, boots, off := m.now()
		if leader != nil && boots >= n && m.up(ctx, leader.Pid) {
			return nil
		}
		select {
		case <-ctx.Done():
			return m.notUp(context.Cause(ctx))
		case <-off:
			return m.notUp(errors.New("it went off: " + m.how))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// up waits for the end of the boot once systemd can be asked about it. A unit
// that failed is the test's matter. Until stage.sh has changed the root it would
// be this machine's own systemd that answers.
func (m *machine) up(ctx context.Context, leader int) bool {
	root := fmt.Sprintf("/proc/%d/root/", leader)
	if !sameFile(root, m.path("/")) {
		return false
	}
	if _, err := os.Stat(root + "run/systemd/private"); err != nil {
		return false
	}
	out, _ := m.command(ctx, "systemctl", "is-system-running", "--wait").Output()
	state := strings.TrimSpace(string(out))
	return state == "running" || state == "degraded"
}

func sameFile(a, b string) bool {
	left, leftErr := os.Stat(a)
	right, rightErr := os.Stat(b)
	return leftErr == nil && rightErr == nil && os.SameFile(left, right)
}

func (m *machine) notUp(why error) error {
	console, _ := os.ReadFile(m.console())
	return fmt.Errorf("systemd did not come up: %w; console: %s", why, console)
}

// inBox runs a command in the pid namespace that nsenter has prepared, from a
// shell outside it. nsenter's own waiting process will not do: while it shuts
// down systemd stops every process for a moment (SIGSTOP), nsenter then stops
// itself likewise, nobody ever continues it, and the namespace waits for good
// for it to reap its child.
const inBox = `"$@"; exit $?`

// command is a command in the box.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	pid := 0 // of nobody: nsenter then says that there is nothing to enter
	if leader, _, _ := m.now(); leader != nil {
		pid = leader.Pid
	}
	enter := []string{"-t", strconv.Itoa(pid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--no-fork", "--", "bash", "-c", inBox, "sdbox"}
	c := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	c.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
		"SYSTEMD_PAGER=cat", "SYSTEMD_COLORS=0",
	}
	c.WaitDelay = time.Second // the shell's child may still hold the output
	return c
}

// reboot asks systemd to reboot and waits for the next boot.
func (m *machine) reboot(ctx context.Context) error {
	_, boots, _ := m.now()
	m.command(ctx, "systemctl", "reboot").Run() // its status races with the end of the bus
	return m.waitUp(ctx, boots+1)
}

// powerOff asks systemd to power off and waits for it.
func (m *machine) powerOff(ctx context.Context) error {
	leader, _, off := m.now()
	if leader != nil {
		m.command(ctx, "systemctl", "poweroff").Run() // as above
	}
	select {
	case <-off:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("power off: %w", context.Cause(ctx))
	}
}

// cut ends all its processes at once, and a boot that is about to begin.
func (m *machine) cut() {
	for {
		leader, _, off := m.now()
		if leader != nil {
			leader.Kill()
		}
		select {
		case <-off:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
