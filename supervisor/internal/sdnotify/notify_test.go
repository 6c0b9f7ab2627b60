package sdnotify

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// manager is the end of systemd.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return c
}

func TestWhatIsTold(t *testing.T) {
	m := manager(t)
	for _, test := range []struct {
		tell func() error
		want string
	}{
		{func() error { return Ready("chat runs") }, "READY=1\nSTATUS=chat runs"},
		{func() error { return Status("two\nlines\tof it") }, "STATUS=two lines of it"},
		{func() error { return Status(strings.Repeat("é", 300)) }, "STATUS=" + strings.Repeat("é", 199) + "…"},
		{func() error { return Stopping("draining") }, "STOPPING=1\nSTATUS=draining"},
		{Alive, "WATCHDOG=1"},
		{func() error { return Extend(1500 * time.Millisecond) }, "EXTEND_TIMEOUT_USEC=1500000"},
	} {
		if err := test.tell(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := m.Read(buf)
		if err != nil || string(buf[:n]) != test.want {
			t.Errorf("told %q, %v; want %q", buf[:n], err, test.want)
		}
	}
}

func TestWithoutSystemdNothingIsTold(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := Ready(""); err != nil || Present() {
		t.Errorf("%v, %v", err, Present())
	}
}

func TestASocketThatIsGoneIsAnError(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	if err := Alive(); err == nil || !strings.Contains(err.Error(), "tell systemd") {
		t.Errorf("got %v", err)
	}
}

func TestWatchdog(t *testing.T) {
	for _, test := range []struct {
		socket, usec string
		want         time.Duration
		wrong        bool
	}{
		{"@x", "", 0, false},
		{"@x", "3000000", 3 * time.Second, false},
		{"", "3000000", 0, false},
		{"@x", "soon", 0, true},
		{"@x", "0", 0, true},
	} {
		t.Setenv("NOTIFY_SOCKET", test.socket)
		t.Setenv("WATCHDOG_USEC", test.usec)
		t.Setenv("WATCHDOG_PID", "1") // of a supervisor before
		if got, err := Watchdog(); got != test.want || (err != nil) != test.wrong {
			t.Errorf("%q: %v, %v", test.usec, got, err)
		}
	}
}
