//go:build linux

package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/statedir"
)

// serviceManager is the end that systemd has of a service: it hears what is
// notified.
type serviceManager struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newServiceManager(t *testing.T) *serviceManager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &serviceManager{t, c, path}
}

// hear waits for an assignment that begins like that.
func (m *serviceManager) hear(prefix string) string {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(patience))
	var heard []string
	buf := make([]byte, 4096)
	for {
		n, err := m.conn.Read(buf)
		if err != nil {
			m.t.Fatalf("%s was not said: %v; but %q", prefix, err, heard)
		}
		for line := range strings.Lines(string(buf[:n])) {
			line = strings.TrimSpace(line)
			heard = append(heard, line)
			if strings.HasPrefix(line, prefix) {
				return line
			}
		}
	}
}

// silent reports whether nothing that begins like that is said for a time.
func (m *serviceManager) silent(prefix string, d time.Duration) bool {
	m.conn.SetReadDeadline(time.Now().Add(d))
	buf := make([]byte, 4096)
	for {
		n, err := m.conn.Read(buf)
		if err != nil {
			return true
		}
		if slices.ContainsFunc(strings.Split(string(buf[:n]), "\n"), func(l string) bool { return strings.HasPrefix(l, prefix) }) {
			return false
		}
	}
}

// start starts a supervisor as a service that is given a socket.
func (m *serviceManager) start(socket *os.File, behaviour string) (c *exec.Cmd, client *control.Client) {
	m.t.Helper()
	state := m.t.TempDir()
	file := filepath.Join(state, "behaviour")
	if err := os.WriteFile(file, []byte(behaviour), 0o600); err != nil {
		m.t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(state, "log"))
	if err != nil {
		m.t.Fatal(err)
	}
	// The pid is that of the shell, and then of the supervisor.
	c = exec.Command("sh", "-c", `LISTEN_PID=$$ exec supervisor run --state "$0" --bake 0s -- app "$1"`, state, file)
	c.Dir, c.Stderr = state, log
	c.ExtraFiles = []*os.File{socket}
	c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=1500000", "WATCHDOG_PID=1",
		"LISTEN_FDS=1", "LISTEN_FDNAMES=http")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		c.Process.Kill() // it has ended, unless the test failed
		c.Wait()
		log.Close()
		if m.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			m.t.Logf("the supervisor wrote\n%s", text)
		}
	})
	return c, control.NewClient(statedir.Dial(state))
}

// listening is a socket as a socket unit opens it.
func listeningSocket(t *testing.T) (*os.File, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, l.Addr().String()
}

func TestWhatSystemdIsTold(t *testing.T) {
	m := newServiceManager(t)
	socket, address := listeningSocket(t)
	c, client := m.start(socket, "good")

	m.hear("READY=1")
	s, err := client.Status(t.Context())
	if err != nil || s.Programs[0].Instances[0].State != "running" {
		t.Errorf("ready was said while %+v, %v", s, err)
	}
	if len(s.Listen) != 1 || s.Listen[0] != (control.Listen{Name: "http", Address: address}) {
		t.Errorf("it listens on %+v, want the socket at %s", s.Listen, address)
	}
	m.hear("WATCHDOG=1")
	if _, err := client.Deploy(t.Context(), control.DeployRequest{}); err != nil {
		t.Fatal(err)
	}
	if line := m.hear("STATUS=app running abc; last deploy accepted"); strings.Contains(line, "\n") {
		t.Errorf("the status is %q", line)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.hear("STOPPING=1")
	m.hear("EXTEND_TIMEOUT_USEC=")
	if err := c.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if conn, err := net.Dial("tcp", address); err != nil {
		t.Errorf("the socket, which is systemd's, does not listen any more: %v", err)
	} else {
		conn.Close()
	}
}

// A supervisor that does nothing any more must not say that it is alive.
func TestAStuckSupervisorKeepsSilent(t *testing.T) {
	m := newServiceManager(t)
	socket, _ := listeningSocket(t)
	c, _ := m.start(socket, "good")
	m.hear("WATCHDOG=1")
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	m.silent("WATCHDOG=1", 100*time.Millisecond) // what was on its way
	if !m.silent("WATCHDOG=1", 2*time.Second) {
		t.Error("it says that it is alive")
	}
	c.Process.Signal(syscall.SIGCONT)
	m.hear("WATCHDOG=1")
	c.Process.Signal(syscall.SIGTERM)
	c.Wait()
}

func TestSummary(t *testing.T) {
	s := control.Status{
		Programs: []control.Program{
			{Name: "chat", Instances: []control.Instance{{State: "running", Conns: 12, Build: control.Build{Commit: "0123456789abcdef"}, Draining: []control.Draining{{Gen: 3, Conns: 2}}}}},
			{Name: "mail", Instances: []control.Instance{{State: "backoff"}}},
		},
		Deploys: []control.Deploy{{Verdict: control.Accepted}, {Verdict: control.Rejected, Reason: "no such file"}},
	}
	const want = "chat running 0123456789ab, 12 clients, generation 3 drains 2; mail backoff; last deploy rejected: no such file"
	if got := summary(s); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
