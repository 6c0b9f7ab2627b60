package ws

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"golang.org/x/sys/unix"
)

// eventually tries until ok, or patience ends.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// TestStreamPositions compares the kernel's counters with what was read and
// written, also when one or both directions have ended.
func TestStreamPositions(t *testing.T) {
	steps := map[string]func(t *testing.T, client *net.TCPConn, fd int){
		"peer ended": func(t *testing.T, client *net.TCPConn, fd int) {
			client.CloseWrite()
			eventually(t, "end of the peer's half", func() bool { return stateOf(t, fd) == tcpCloseWait })
		},
		"peer's end read": func(t *testing.T, client *net.TCPConn, fd int) {
			unix.SetNonblock(fd, false)
			if n, err := unix.Read(fd, make([]byte, 1)); n != 0 || err != nil {
				t.Fatal(n, err)
			}
		},
		"we ended": func(t *testing.T, client *net.TCPConn, fd int) {
			unix.Shutdown(fd, unix.SHUT_WR)
			io.ReadAll(client) // it is acknowledged
		},
	}
	for name, order := range map[string][]string{
		"open":                          nil,
		"peer ended":                    {"peer ended"},
		"peer's end was read":           {"peer ended", "everything", "peer's end read"},
		"we ended":                      {"we ended"},
		"peer's end was read, we ended": {"peer ended", "everything", "peer's end read", "we ended"},
		"nothing unread, we ended":      {"everything", "we ended"},
	} {
		t.Run(name, func(t *testing.T) {
			client, fd := tcpPair(t)
			defer client.Close()
			defer unix.Close(fd)
			client.Write([]byte(strings.Repeat("in", 500)))
			eventually(t, "all arrives", func() bool { n, _ := unix.IoctlGetInt(fd, unix.SIOCINQ); return n == 1000 })
			unix.Read(fd, make([]byte, 400))
			unix.Write(fd, make([]byte, 700))
			read, written := uint64(400), uint64(700)
			for _, step := range order {
				if step == "everything" {
					unix.Read(fd, make([]byte, 600))
					read = 1000
					continue
				}
				steps[step](t, client, fd)
			}
			if name == "peer's end was read, we ended" {
				// both directions are over: there is nothing to go on with
				eventually(t, "the connection is over", func() bool {
					_, _, err := StreamPositions(fd)
					return errors.Is(err, net.ErrClosed)
				})
				return
			}
			if gotRead, gotWritten, err := StreamPositions(fd); gotRead != read || gotWritten != written || err != nil {
				t.Errorf("got %d, %d, %v; want %d, %d", gotRead, gotWritten, err, read, written)
			}
		})
	}
	t.Run("our end is not acknowledged", func(t *testing.T) {
		client, fd := tcpPair(t)
		defer client.Close()
		defer unix.Close(fd)
		client.SetReadBuffer(4 << 10)
		written := 0
		for {
			n, err := unix.Write(fd, make([]byte, 64<<10))
			if err != nil {
				break
			}
			written += n
		}
		unix.Shutdown(fd, unix.SHUT_WR)
		if read, got, err := StreamPositions(fd); read != 0 || got != uint64(written) || err != nil {
			t.Errorf("got %d, %d, %v; want 0, %d", read, got, err, written)
		}
	})
	t.Run("not TCP", func(t *testing.T) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer proto.CloseFDs(fds[:])
		if _, _, err := StreamPositions(fds[0]); !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("got %v, want %v", err, unix.EOPNOTSUPP)
		}
	})
}

func stateOf(t *testing.T, fd int) uint8 {
	t.Helper()
	c, err := takeCounters(fd)
	if err != nil {
		t.Fatal(err)
	}
	return c.state
}

// mapped makes an arena and maps it.
func mapped(t *testing.T) *proto.Arena {
	t.Helper()
	a, err := proto.MapArena(int(makeArena(t, 4).Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// TestRecord follows a record through an upgrade, messages, a move and a
// recovery.
func TestRecord(t *testing.T) {
	arena := mapped(t)
	var kept int
	var record proto.Record
	var early bool
	p := serve(t, Options{Keep: func(fd int, id uint64) *proto.Record {
		kept = fd
		record, _ = arena.Allocate(id)
		early = sound(t, record, fd)
		return &record
	}}, masked(0x81, "with the handshake"), echo)
	defer unix.Close(kept)
	if early {
		t.Error("sound before the answer was sent")
	}
	if _, got := p.receive(); string(got) != "with the handshake" {
		t.Fatalf("got %q", got)
	}
	is := func(want bool) {
		t.Helper()
		for end := time.Now().Add(patience); sound(t, record, kept) != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("sound is not %v: %+v", want, record.State())
			}
		}
	}
	is(true)
	p.send(masked(0x81, "half")[:5])
	is(false)
	p.send(masked(0x81, "half")[5:])
	p.receive()
	is(true)
	p.send(masked(0x01, "a fragment"))
	is(false)
	p.send(masked(0x89, "a ping in between"))
	p.receive()
	is(false)
	p.send(masked(0x80, ""))
	p.receive()
	is(true)

	// It moves in the middle of a message; the next owner keeps the record.
	p.send(masked(0x81, "half")[:5])
	is(false)
	before := &side{c: p.ws, end: p.end}
	before.freeze(t)
	snap, err := p.ws.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	fd, id, err := p.ws.Duplicate()
	if err != nil || id != record.ID() {
		t.Fatalf("id %d, %v; want %d", id, err, record.ID())
	}
	s := adopt(t, fd, Options{Record: &record}, 0)
	if err := errors.Join(s.c.Load(snap), s.c.Resume(), p.ws.Release()); err != nil {
		t.Fatal(err)
	}
	if err := p.served(); err != ErrMoved {
		t.Errorf("got %v, want %v", err, ErrMoved)
	}
	is(false)
	p.send(masked(0x81, "half")[5:])
	p.receive()
	is(true)

	// Its owner is gone, and another goes on without a snapshot.
	s.freeze(t)
	if err := s.c.Release(); err != nil {
		t.Fatal(err)
	}
	s.wait(t)
	dup, err := unix.FcntlInt(uintptr(kept), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s = adopt(t, dup, Options{Record: &record}, 0)
	if err := s.c.Resume(); err != nil {
		t.Fatal(err)
	}
	p.send(masked(0x81, "recovered"))
	if _, got := p.receive(); string(got) != "recovered" {
		t.Fatalf("got %q", got)
	}
	is(true)
	s.c.CloseNow()
	s.wait(t)
}

func sound(t *testing.T, r proto.Record, fd int) bool {
	t.Helper()
	read, written, err := StreamPositions(fd)
	if err != nil {
		t.Fatal(err)
	}
	return r.State().Sound(read, written)
}

// TestRecordOfHalfAFrame: while the kernel has a part of a frame, the
// connection is not sound, and it is again when the next owner has written the
// rest.
func TestRecordOfHalfAFrame(t *testing.T) {
	arena := mapped(t)
	client, s := begin(t, 0)
	kept, id, err := s.c.Duplicate()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(kept)
	record, _ := arena.Allocate(id)
	s.c.SetRecord(&record)
	client.SetReadBuffer(64 << 10)
	blocked := make(chan int)
	go func() {
		n := 0
		for s.c.Write(make([]byte, 200000)) == nil {
			n++
		}
		blocked <- n
	}()
	eventually(t, "a frame is half written", func() bool {
		s.c.wire.mu.Lock()
		defer s.c.wire.mu.Unlock()
		return s.c.wire.writer == writerFlushing
	})
	s.freeze(t)
	if sound(t, record, kept) {
		t.Error("sound with half a frame")
	}
	snap, err := s.c.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	fd, _, _ := s.c.Duplicate()
	next := adopt(t, fd, Options{Record: &record}, 0)
	if err := errors.Join(next.c.Load(snap), next.c.Resume(), s.c.Release()); err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, conn: client}
	for range <-blocked {
		if first, got := p.receive(); first != 0x81 || len(got) != 200000 {
			t.Fatalf("got %x with %d bytes", first, len(got))
		}
	}
	if !sound(t, record, kept) {
		t.Errorf("not sound with all frames read: %+v", record.State())
	}
	s.wait(t)
	next.c.Close(4000, "")
	p.wantClose(4000, "")
	finish(t, client, next)
}
