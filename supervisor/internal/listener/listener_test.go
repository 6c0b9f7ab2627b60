package listener

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto/address"
	"github.com/simpletalk/simpletalk/supervisor/internal/config"
)

// open opens NAME=ADDRESS…, closed at the test's end.
func open(t *testing.T, listens ...string) []Listener {
	t.Helper()
	opened, err := Open(parse(t, listens...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, l := range opened {
			l.Close()
		}
	})
	return opened
}

func parse(t *testing.T, listens ...string) []config.Listen {
	t.Helper()
	parsed, err := config.ParseListens(listens)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// refused checks that nothing of listens is opened, and what is said about it.
func refused(t *testing.T, says string, listens ...string) {
	t.Helper()
	before := descriptors(t)
	opened, err := Open(parse(t, listens...))
	if err == nil {
		for _, l := range opened {
			l.Close()
		}
		t.Fatal("it was opened")
	}
	if line := err.Error(); !strings.Contains(line, says) || strings.Contains(line, "\n") {
		t.Errorf("it says %q, want one line with %q", line, says)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestTheKernelChoosesPortZero(t *testing.T) {
	l := open(t, "http=127.0.0.1:0")[0]
	if l.Name != "http" || l.Address.Port == 0 {
		t.Fatalf("got %+v", l)
	}
	c, err := net.Dial("tcp", l.Address.String()) // waits in the backlog: nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestASocketIsHeldRaw(t *testing.T) {
	for _, l := range open(t, "http=127.0.0.1:0", "six=[::1]:0", "web=unix://"+filepath.Join(t.TempDir(), "web.sock")) {
		t.Run(l.Name, func(t *testing.T) {
			if flags, err := unix.FcntlInt(uintptr(l.FD), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("descriptor flags %#x, %v: not close-on-exec", flags, err)
			}
			if flags, err := unix.FcntlInt(uintptr(l.FD), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
				t.Errorf("status flags %#x, %v: not O_NONBLOCK", flags, err)
			}
			if on, err := unix.GetsockoptInt(l.FD, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || on != 1 {
				t.Errorf("it does not listen: %d, %v", on, err)
			}
			proto, err := unix.GetsockoptInt(l.FD, unix.SOL_SOCKET, unix.SO_PROTOCOL)
			if want := map[bool]int{true: unix.IPPROTO_TCP, false: 0}[l.Address.Network == "tcp"]; err != nil || proto != want {
				t.Errorf("protocol %d, %v; want %d: TCP, not MPTCP", proto, err, want)
			}
		})
	}
}

func TestWhatIsInTheWayIsNamed(t *testing.T) {
	taken := open(t, "http=127.0.0.1:0")[0].Address.String()
	refused(t, fmt.Sprintf("listen on %s (web): the address is in use by another process", taken), "web="+taken)
	refused(t, "listen on 192.0.2.1:0 (http): this machine has no such address", "http=192.0.2.1:0")
	refused(t, "listen on unix:///no/such/folder/web.sock?mode=0660 (web): no such file or directory", "web=unix:///no/such/folder/web.sock")
}

// A proxy that connects as soon as it sees the socket must find the final mode.
func TestTheModeIsRightFromTheStart(t *testing.T) {
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	path := filepath.Join(t.TempDir(), "web.sock")
	for _, mode := range []fs.FileMode{0o660, 0o600, 0o777, 0o606} {
		stop, wrong := make(chan struct{}), make(chan fs.FileMode, 1)
		go func() {
			defer close(wrong)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if info, err := os.Lstat(path); err == nil && info.Mode().Perm() != mode {
					wrong <- info.Mode().Perm()
					return
				}
			}
		}()
		for range 50 {
			opened, err := Open(parse(t, fmt.Sprintf("web=unix://%s?mode=%o", path, mode)))
			if err != nil {
				t.Fatal(err)
			}
			opened[0].Close()
		}
		close(stop)
		if got, seen := <-wrong; seen {
			t.Errorf("mode %o was seen, want %o at all times", got, mode)
		}
	}
	if now := unix.Umask(0o077); now != 0o077 {
		t.Errorf("the umask is %o afterwards, was 077", now)
	}
}

func TestCloseLeavesNoPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.sock")
	l := open(t, "web=unix://"+path)[0]
	l.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the path is still there: %v", err)
	}
}

func TestAStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	open(t, "web=unix://"+path)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestALiveSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.sock")
	open(t, "web=unix://"+path)
	refused(t, "in use by another process", "web=unix://"+path)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the live one does not answer any more: %v", err)
	}
	c.Close()
}

// A server too busy to accept is not a dead one.
func TestABusySocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.sock")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for full := false; !full; {
		c, err := net.Dial("unix", path)
		if full = errors.Is(err, syscall.EAGAIN); !full {
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
	}
	refused(t, "in use by another process", "web=unix://"+path)
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

func TestAFileAtThePathIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(path, []byte("dear diary"), 0o644); err != nil {
		t.Fatal(err)
	}
	refused(t, "is no socket: remove it or choose another", "web=unix://"+path)
	if got, err := os.ReadFile(path); string(got) != "dear diary" {
		t.Errorf("the file holds %q, %v", got, err)
	}
}

func TestAllOrNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.sock")
	taken := open(t, "http=127.0.0.1:0")[0].Address.String()
	refused(t, "(last)", "first=127.0.0.1:0", "second=unix://"+path, "last="+taken)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the second one's path is left: %v", err)
	}
}

// Sockets of systemd are taken by name, whatever the configured address, and
// their paths stay when they are closed.
func TestLentSocketsAreTakenByName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "theirs.sock")
	theirs := open(t, "web=unix://"+path)[0]
	fd, err := unix.Dup(theirs.FD)
	if err != nil {
		t.Fatal(err)
	}
	lent, err := address.Parse("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	var s Set
	s.Lend([]Listener{{Name: "web", FD: fd, Address: lent, lent: true}})
	if idle := s.Idle(); len(idle) != 1 || idle[0] != "web" {
		t.Errorf("idle %q", idle)
	}
	listens := parse(t, "web=127.0.0.1:0", "http=127.0.0.1:0")
	if err := s.Add(listens); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(listens); err != nil || len(s.All()) != 2 { // a reload opens nothing anew
		t.Fatalf("%+v, %v", s.All(), err)
	}
	if l, err := s.Find(listens[0]); err != nil || l.FD != fd || l.Address != lent || len(s.Idle()) != 0 {
		t.Errorf("found %+v, %v", l, err)
	}
	if l, err := s.Find(listens[1]); err != nil || l.Address.Network != "tcp" || l.Address.Port == 0 {
		t.Errorf("found %+v, %v", l, err)
	}
	if closed := s.Keep(listens[1:]); len(closed) != 1 || closed[0].Name != "web" {
		t.Errorf("closed %+v", closed)
	}
	if _, err := s.Find(listens[0]); err == nil || !strings.Contains(err.Error(), "not open any more") {
		t.Errorf("found what was closed: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("systemd's path is gone: %v", err)
	}
	s.Close()
	if len(s.All()) != 0 {
		t.Errorf("left open: %+v", s.All())
	}
}

// What was meant for another process is none of ours.
func TestSocketsOfAnotherProcessAreLeftAlone(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "1")
	if all, err := Inherited(); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}
