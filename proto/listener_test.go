package proto

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shared returns a listener made from a duplicate of a listening socket, as a
// worker gets it, and the supervisor's descriptor of the same socket.
func shared(t *testing.T, network, address string) (l *listener, supervisors int) {
	t.Helper()
	nl, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nl.Close() })
	raw, err := nl.(syscall.Conn).SyscallConn() // File().Fd() would make it blocking
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	raw.Control(func(s uintptr) {
		supervisors = int(s)
		fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err = newListener(namedFD{"http", fd})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, supervisors
}

func TestAcceptOnTCPAndUnix(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")} {
		t.Run(network, func(t *testing.T) {
			l, _ := shared(t, network, address)
			c, err := net.Dial(network, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			fmt.Fprint(c, "hi")
			b := make([]byte, 2)
			if _, err := s.Read(b); err != nil || string(b) != "hi" {
				t.Errorf("read %q, %v", b, err)
			}
			if network == "tcp" && s.RemoteAddr().String() != c.LocalAddr().String() {
				t.Errorf("remote address %s, want %s", s.RemoteAddr(), c.LocalAddr())
			}
		})
	}
}

// A worker that closes its copy must not wait for a client, nor take one away
// from its successor.
func TestCloseEndsAcceptAndLeavesTheSocketOpen(t *testing.T) {
	old, fd := shared(t, "tcp", "127.0.0.1:0")
	accepted := make(chan error, 1)
	go func() {
		_, err := old.Accept()
		accepted <- err
	}()
	time.Sleep(20 * time.Millisecond) // let it park; without, the test is only easier
	old.Close()
	select {
	case err := <-accepted:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v, want net.ErrClosed", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Accept still waits after Close")
	}
	c, err := net.Dial("tcp", old.Addr().String())
	if err != nil {
		t.Fatalf("the socket was closed for everybody: %v", err)
	}
	defer c.Close()
	dup, _ := unix.Dup(fd)
	successor, err := newListener(namedFD{"http", dup})
	if err != nil {
		t.Fatal(err)
	}
	defer successor.Close()
	s, err := successor.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// The descriptor's flags belong to everybody who shares the socket: taking and
// using a listener must never make it blocking, not even for a moment.
func TestTheSharedSocketStaysNonBlocking(t *testing.T) {
	first, fd := shared(t, "tcp", "127.0.0.1:0")
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 {
				t.Error("the shared socket was blocking")
				return
			}
		}
	})
	for range 300 {
		dup, err := unix.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		l, err := newListener(namedFD{"http", dup})
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", first.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		c.Close()
		l.Close()
	}
	close(stop)
	watch.Wait()
}

func TestAcceptHonoursADeadline(t *testing.T) {
	l, _ := shared(t, "tcp", "127.0.0.1:0")
	l.SetDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := l.Accept()
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v, want a time-out", err)
	}
}

func TestListenFDsAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ pid, count, names, want string }{
		"another process": {"1", "1", "http", "not this process"},
		"no process":      {"", "1", "http", "not this process"},
		"not a number":    {"42", "some", "", "must be a number"},
		"negative":        {"42", "-1", "", "must be a number"},
		"too few names":   {"42", "2", "http", "names 1 descriptors"},
	} {
		t.Run(name, func(t *testing.T) {
			fds, err := parseListenFDs(42, c.pid, c.count, c.names)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want an error with %q", fds, err, c.want)
			}
		})
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	fd, _ := unix.Dup(int(r.Fd()))
	r.Close()
	if _, err := newListener(namedFD{"http", fd}); err == nil {
		t.Error("a pipe was taken for a listening socket")
	}
}
