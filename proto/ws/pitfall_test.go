package ws

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"golang.org/x/sys/unix"
)

// Each of these has cost somebody an hour.

// TestFlagsStay: O_NONBLOCK belongs to the socket, not to a descriptor. Nothing
// here touches it, and a socket that blocks is refused rather than changed.
func TestFlagsStay(t *testing.T) {
	client, s := begin(t, 0)
	fd, _, err := s.c.Duplicate()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	next, err := s.move(t)
	if err != nil {
		t.Fatal(err)
	}
	if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 {
		t.Error("the socket blocks after a move")
	}
	if flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
		t.Error("the duplicate survives an exec")
	}
	finish(t, client, next)

	blocking, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(blocking[1])
	if _, err := Adopt(blocking[0], Options{}); err == nil {
		t.Error("adopted a blocking socket")
	}
	if f, err := os.Open(os.DevNull); err == nil {
		raw, _ := f.SyscallConn()
		raw.Control(func(fd uintptr) {
			dup, _ := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
			if _, err := Adopt(dup, Options{}); !errors.Is(err, unix.ENOTSOCK) {
				t.Errorf("got %v, want %v", err, unix.ENOTSOCK)
			}
		})
		f.Close()
	}
}

// TestCloseReachesThePeer although a duplicate lives, which close(2) would not.
func TestCloseReachesThePeer(t *testing.T) {
	client, s := begin(t, 0)
	fd, _, err := s.c.Duplicate()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	s.c.CloseNow()
	if b, err := io.ReadAll(client); len(b) > 0 || err != nil {
		t.Errorf("got %x, %v; want the end", b, err)
	}
	finish(t, client, s)
}

// TestBytesWhileHeld: what arrived before the held reader began to wait raises
// no second edge in the poller, and what travels raises none at all. Both must
// be handled without another byte from the peer.
func TestBytesWhileHeld(t *testing.T) {
	for name, parked := range map[string]bool{"before the reader waits": false, "while the reader waits": true} {
		t.Run(name, func(t *testing.T) {
			client, fd := tcpPair(t)
			if !parked {
				client.Write(masked(0x81, "in the kernel"))
				time.Sleep(5 * time.Millisecond)
			}
			s := adopt(t, fd, Options{}, 0)
			time.Sleep(5 * time.Millisecond)
			if parked {
				client.Write(masked(0x81, "in the kernel"))
				time.Sleep(5 * time.Millisecond)
			}
			if n := s.handled.Load(); n > 0 {
				t.Error("handled while held")
			}
			if read, _, err := StreamPositions(fd); read > 0 || err != nil {
				t.Errorf("%d bytes were read while held, %v", read, err)
			}
			if err := s.c.Resume(); err != nil {
				t.Fatal(err)
			}
			if err := check(client, []string{"in the kernel"}, nil); err != nil {
				t.Error(err)
			}
			finish(t, client, s)
		})
	}
	t.Run("travelled", func(t *testing.T) {
		client, fd := tcpPair(t)
		s := adopt(t, fd, Options{}, 0)
		time.Sleep(5 * time.Millisecond)
		travels := snapshot{in: append(masked(0x81, "travelled"), masked(0x89, "ping")...)}
		if err := errors.Join(s.c.Load(travels.append(nil)), s.c.Resume()); err != nil {
			t.Fatal(err)
		}
		if err := check(client, []string{"travelled"}, []string{"ping"}); err != nil {
			t.Error(err)
		}
		client.Write(masked(0x81, "and on"))
		if err := check(client, []string{"and on"}, nil); err != nil {
			t.Error(err)
		}
		finish(t, client, s)
	})
}

// TestMegabytesOfAnswers: a handler that writes without end to a peer that does
// not read is not frozen at the price of memory.
func TestMegabytesOfAnswers(t *testing.T) {
	client, fd := tcpPair(t)
	c, err := Adopt(fd, Options{WriteTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	const frames, size = 2000, 10000
	s := &side{c: c, end: make(chan error, 1)}
	go func() {
		s.end <- c.Serve(func(Type, []byte) {
			for range frames {
				if err := c.Write(make([]byte, size)); err != nil {
					t.Error(err)
				}
			}
		})
	}()
	client.SetReadBuffer(64 << 10)
	client.Write(masked(0x81, "go"))
	eventually(t, "the peer does not read", func() bool {
		c.wire.mu.Lock()
		defer c.wire.mu.Unlock()
		return c.wire.writer == writerFlushing
	})
	done := make(chan *Conn, 1)
	c.Freeze(done)
	select {
	case <-done:
		t.Fatal("frozen with the handler at work")
	case <-time.After(50 * time.Millisecond):
	}
	c.wire.mu.Lock()
	queued := cap(c.wire.queue)
	c.wire.mu.Unlock()
	if queued > 2*maxQueued {
		t.Errorf("%d bytes are queued", queued)
	}
	p := &peer{t: t, conn: client}
	for i := range frames {
		if first, got := p.receive(); first != 0x81 || len(got) != size {
			t.Fatalf("frame %d: %x of %d bytes", i, first, len(got))
		}
		if i == frames/2 {
			c.Thaw()
		}
	}
	finish(t, client, s)
}

// TestEndedConnectionsFreezeAtOnce: they must not cost a swap its deadline.
func TestEndedConnectionsFreezeAtOnce(t *testing.T) {
	client, s := begin(t, 0)
	finish(t, client, s)
	client, closing := begin(t, 0)
	closing.c.Close(4000, "")
	done := make(chan *Conn, 2)
	s.c.Freeze(done)
	closing.c.Freeze(done)
	if len(done) != 2 {
		t.Errorf("%d of 2 told at once", len(done))
	}
	if _, err := closing.c.Snapshot(nil); err != ErrClosing {
		t.Errorf("got %v, want %v", err, ErrClosing)
	}
	finish(t, client, closing)
}

// TestSlowPeerDoesNotMove: its writer was told that the frame is lost.
func TestSlowPeerDoesNotMove(t *testing.T) {
	client, fd := tcpPair(t)
	s := adopt(t, fd, Options{WriteTimeout: 50 * time.Millisecond}, 0)
	if err := s.c.Resume(); err != nil {
		t.Fatal(err)
	}
	frames := 1 // the lost one is half written
	for s.c.Write(make([]byte, 100000)) == nil {
		frames++
	}
	if _, err := s.move(t); err != ErrSlow {
		t.Errorf("got %v, want %v", err, ErrSlow)
	}
	s.freeze(t)
	s.c.Close(4000, "slow")
	s.c.Thaw()
	p := &peer{t: t, conn: client}
	for range frames {
		if first, got := p.receive(); first != 0x81 || len(got) != 100000 {
			t.Fatalf("got %x with %d bytes", first, len(got))
		}
	}
	p.wantClose(4000, "slow")
	finish(t, client, s)
}

// TestCollected: the library closes what the collector finds, if it finds it.
// A held connection that nobody refers to any more stays its owner's, and so
// does one that has moved.
func TestCollected(t *testing.T) {
	const n = 100
	var clients []*net.TCPConn
	var sides []*side
	var wires []*wire
	for i := range n {
		client, s := begin(t, 0)
		if i%2 == 0 {
			next, err := s.move(t)
			if err != nil {
				t.Fatal(err)
			}
			s = next
		}
		clients, sides = append(clients, client), append(sides, s)
		fd, _, err := s.c.Duplicate()
		if err != nil {
			t.Fatal(err)
		}
		c, err := Adopt(fd, Options{})
		if err != nil {
			t.Fatal(err)
		}
		wires = append(wires, c.wire)
	}
	for range 5 {
		runtime.GC()
		time.Sleep(5 * time.Millisecond) // finalizers
	}
	for i, client := range clients {
		client.Write(masked(0x81, "still here"))
		if err := check(client, []string{"still here"}, nil); err != nil {
			t.Error(err)
		}
		wires[i].Close()
		finish(t, client, sides[i])
	}
}

// TestUnixSockets move as well; only a crash they do not survive.
func TestUnixSockets(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	client := os.NewFile(uintptr(fds[1]), "")
	s := adopt(t, fds[0], Options{}, 0)
	if err := s.c.Resume(); err != nil {
		t.Fatal(err)
	}
	client.Write(masked(0x81, "half")[:5])
	s, err = s.move(t)
	if err != nil {
		t.Fatal(err)
	}
	client.Write(masked(0x81, "half")[5:])
	b := make([]byte, 6)
	if _, err := io.ReadFull(client, b); err != nil || string(b[2:]) != "half" {
		t.Errorf("got %q, %v", b, err)
	}
	if got := s.c.RemoteAddr().Network(); got != "unix" {
		t.Errorf("the peer is on %s", got)
	}
	client.Close()
	s.wait(t)
}

// TestDescriptorsTravel: a received descriptor is close-on-exec and adoptable
// as it is.
func TestDescriptorsTravel(t *testing.T) {
	a, theirs, err := proto.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := proto.NewConn(theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	client, fd := tcpPair(t)
	if err := a.Send([]byte("x"), fd); err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	_, fds, err := b.Recv()
	if err != nil {
		t.Fatal(err)
	}
	s := adopt(t, fds[0], Options{}, 0)
	if err := s.c.Resume(); err != nil {
		t.Fatal(err)
	}
	client.Write(masked(0x81, "x"))
	if err := check(client, []string{"x"}, nil); err != nil {
		t.Error(err)
	}
	finish(t, client, s)
}
