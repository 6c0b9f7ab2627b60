package ws

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tcpPair returns the two ends of a connection that counts as upgraded. server
// is a raw descriptor, non-blocking.
func tcpPair(t testing.TB) (client *net.TCPConn, server int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	raw, err := s.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { server, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(2 * patience))
	return c.(*net.TCPConn), server
}

// side is what one process has of a connection: it is served and echoes.
type side struct {
	c       *Conn
	end     chan error
	handled atomic.Int32
	delay   time.Duration
}

// adopt serves fd, held.
func adopt(t testing.TB, fd int, o Options, delay time.Duration) *side {
	t.Helper()
	c, err := Adopt(fd, o)
	if err != nil {
		t.Fatal(err)
	}
	s := &side{c: c, end: make(chan error, 1), delay: delay}
	go func() {
		s.end <- c.Serve(func(_ Type, data []byte) {
			time.Sleep(s.delay)
			c.Write(data)
			s.handled.Add(1)
		})
	}()
	return s
}

// begin makes a connection of which this process is the owner.
func begin(t testing.TB, delay time.Duration) (*net.TCPConn, *side) {
	t.Helper()
	client, fd := tcpPair(t)
	s := adopt(t, fd, Options{}, delay)
	if err := s.c.Resume(); err != nil {
		t.Fatal(err)
	}
	return client, s
}

// freeze waits until the connection stands still, or has ended.
func (s *side) freeze(t testing.TB) {
	t.Helper()
	done := make(chan *Conn, 1)
	s.c.Freeze(done)
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the connection does not freeze")
	}
}

// move moves the connection to another side, or tells why it does not move.
func (s *side) move(t testing.TB) (*side, error) {
	t.Helper()
	s.freeze(t)
	snap, err := s.c.Snapshot(nil)
	if err != nil {
		s.c.Thaw()
		return nil, err
	}
	fd, _, err := s.c.Duplicate()
	if err != nil {
		t.Fatal(err)
	}
	next := adopt(t, fd, Options{}, s.delay)
	if rand.IntN(4) == 0 {
		time.Sleep(300 * time.Microsecond) // its reader waits for sure
	}
	if err := errors.Join(next.c.Load(snap), next.c.Resume(), s.c.Release()); err != nil {
		t.Fatal(err)
	}
	if err := s.wait(t); err != ErrMoved {
		t.Fatalf("Serve of the side before: got %v, want %v", err, ErrMoved)
	}
	return next, nil
}

func (s *side) wait(t testing.TB) error {
	t.Helper()
	select {
	case err := <-s.end:
		return err
	case <-time.After(patience):
		t.Fatalf("Serve does not end: %s", s.state())
		return nil
	}
}

func (s *side) state() string {
	w := s.c.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprintf("%s, reader %d, writer %d, queue %d", w.state, w.reader, w.writer, len(w.queue))
}

// settle waits until the side has read everything sent and rests.
func (s *side) settle(t testing.TB, sent int) {
	t.Helper()
	w := s.c.wire
	for range 5000 {
		w.mu.Lock()
		rests := w.reader == readerAtRest && w.read == uint64(sent) && (w.in == nil || !w.in.isAhead())
		w.mu.Unlock()
		if rests {
			return
		}
		time.Sleep(20 * time.Microsecond)
	}
	t.Fatalf("does not rest: %s", s.state())
}

// check reads echoes and pongs, in order and not one more.
func check(client net.Conn, messages, pings []string) error {
	p := &peer{conn: client}
	for m, n := 0, 0; m < len(messages) || n < len(pings); {
		first, got, err := p.tryReceive()
		switch {
		case err != nil:
			return fmt.Errorf("after %d messages and %d pongs: %w", m, n, err)
		case first == 0x81 && m < len(messages) && string(got) == messages[m]:
			m++
		case first == 0x8a && n < len(pings) && string(got) == pings[n]:
			n++
		default:
			return fmt.Errorf("after %d messages and %d pongs: frame %x %.30q", m, n, first, got)
		}
	}
	client.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
	defer client.SetReadDeadline(time.Now().Add(patience))
	if n, err := client.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%d bytes behind the last frame, %w", n, err)
	}
	return nil
}

// finish ends a connection and waits for its last owner.
func finish(t testing.TB, client net.Conn, s *side) {
	t.Helper()
	client.Close()
	s.wait(t)
}

// TestMoveAtEveryByte cuts a conversation at each offset.
func TestMoveAtEveryByte(t *testing.T) {
	stream, messages, pings := conversation(0)
	for _, settled := range []bool{true, false} {
		for at := range len(stream) + 1 {
			client, s := begin(t, 0)
			client.Write(stream[:at])
			if settled {
				s.settle(t, at)
			}
			next, err := s.move(t)
			if err != nil {
				t.Fatalf("offset %d: %v", at, err)
			}
			client.Write(stream[at:])
			if err := check(client, messages, pings); err != nil {
				t.Fatalf("offset %d of %d, settled %v: %v", at, len(stream), settled, err)
			}
			finish(t, client, next)
		}
	}
}

// TestMoveAfterEveryByte moves one connection between any two bytes.
func TestMoveAfterEveryByte(t *testing.T) {
	stream, messages, pings := conversation(0)
	client, s := begin(t, 0)
	result := make(chan error, 1)
	go func() { result <- check(client, messages, pings) }()
	for i := range stream {
		client.Write(stream[i : i+1])
		next, err := s.move(t)
		if err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		s = next
	}
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	finish(t, client, s)
}

// TestMoveUnderLoad moves many connections at random moments, a hundred at
// once, some of them rolled back, while each is in a conversation.
func TestMoveUnderLoad(t *testing.T) {
	var moves, thaws atomic.Int32
	var all sync.WaitGroup
	for range 120 {
		all.Go(func() {
			var stream []byte
			var messages, pings []string
			for range 20 {
				b, m, p := conversation(rand.IntN(15000))
				stream, messages, pings = append(stream, b...), append(messages, m...), append(pings, p...)
			}
			client, s := begin(t, 0)
			result := make(chan error, 1)
			go func() { result <- check(client, messages, pings) }()
			go func() {
				for len(stream) > 0 {
					n := min(1+rand.IntN(5000), len(stream))
					client.Write(stream[:n])
					stream = stream[n:]
				}
			}()
			for {
				select {
				case err := <-result:
					if err != nil {
						t.Error(err)
					}
					finish(t, client, s)
					return
				case <-time.After(time.Duration(rand.IntN(300)) * time.Microsecond):
				}
				if rand.IntN(4) == 0 {
					s.freeze(t)
					s.c.Thaw()
					thaws.Add(1)
					continue
				}
				next, err := s.move(t)
				if err != nil {
					t.Errorf("move: %v", err)
					return
				}
				s = next
				moves.Add(1)
			}
		})
	}
	all.Wait()
	t.Logf("%d moves, %d taken back", moves.Load(), thaws.Load())
}

// TestMoveHalfWrittenFrames: a client that does not read has the handler's
// answers stuck in the kernel, the last of them in part.
func TestMoveHalfWrittenFrames(t *testing.T) {
	client, s := begin(t, 0)
	client.SetReadBuffer(64 << 10)
	var messages []string
	for i := range 400 {
		messages = append(messages, strings.Repeat("x", 15900+i))
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		for _, m := range messages {
			client.Write(masked(0x81, m))
		}
	})
	halves := 0
	for moves := 0; moves < 15 || halves == 0 && moves < 500; moves++ {
		time.Sleep(10 * time.Millisecond)
		next, err := s.move(t)
		if err != nil {
			t.Fatal(err)
		}
		s = next
		s.c.wire.mu.Lock()
		if s.c.wire.half > 0 {
			halves++
		}
		s.c.wire.mu.Unlock()
	}
	if halves == 0 {
		t.Error("no frame was ever half written: nothing was tested")
	}
	if err := check(client, messages, nil); err != nil {
		t.Error(err)
	}
	sending.Wait()
	finish(t, client, s)
}

// TestFreezeWaitsForTheHandler: what it answers is written by the side that
// called it, and the message behind is handled by the next.
func TestFreezeWaitsForTheHandler(t *testing.T) {
	client, s := begin(t, 50*time.Millisecond)
	client.Write(masked(0x81, "one"))
	client.Write(masked(0x81, "two"))
	time.Sleep(20 * time.Millisecond)
	next, err := s.move(t)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.handled.Load(); n != 1 {
		t.Errorf("the side before handled %d messages, want 1", n)
	}
	if err := check(client, []string{"one", "two"}, nil); err != nil {
		t.Error(err)
	}
	finish(t, client, next)
}

// TestThaw freezes at many offsets and takes it back: the same reader
// and library go on.
func TestThaw(t *testing.T) {
	stream, messages, pings := conversation(9000)
	for at := 0; at <= len(stream); at += 23 {
		client, s := begin(t, 0)
		client.Write(stream[:at])
		if at%2 == 0 {
			time.Sleep(100 * time.Microsecond)
		}
		s.freeze(t)
		if _, err := s.c.Snapshot(nil); err != nil {
			t.Fatal(err)
		}
		client.Write(stream[at:]) // arrives while it stands still
		if at%3 == 0 {
			time.Sleep(100 * time.Microsecond)
		}
		s.c.Thaw()
		if err := check(client, messages, pings); err != nil {
			t.Fatalf("offset %d: %v", at, err)
		}
		finish(t, client, s)
	}
}

// TestOversized: a message longer than what may be kept is not moved in its
// middle, but as soon as it is over.
func TestOversized(t *testing.T) {
	client, fd := tcpPair(t)
	s := adopt(t, fd, Options{ReadLimit: 1 << 20}, 0)
	if err := s.c.Resume(); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("y", 700<<10)
	stream := append(masked(0x81, "first"), masked(0x81, long)...)
	result := make(chan error, 1)
	go func() { result <- check(client, []string{"first", long, "last"}, nil) }()
	client.Write(stream[:500<<10])
	s.settle(t, 500<<10)
	done := make(chan *Conn, 1)
	s.c.Freeze(done)
	select {
	case <-done:
		t.Fatal("frozen in the middle")
	case <-time.After(50 * time.Millisecond):
	}
	if _, err := s.c.Snapshot(nil); err != ErrNotFrozen {
		t.Errorf("got %v, want %v", err, ErrNotFrozen)
	}
	client.Write(stream[500<<10:])
	<-done
	s.c.Thaw()
	next, err := s.move(t)
	if err != nil {
		t.Fatal(err)
	}
	client.Write(masked(0x81, "last"))
	if err := <-result; err != nil {
		t.Error(err)
	}
	finish(t, client, next)
}

// TestWritesAroundAMove: of writes by other goroutines each reaches the peer
// once, or is refused with ErrMoved and then not at all.
func TestWritesAroundAMove(t *testing.T) {
	client, s := begin(t, 0)
	var current atomic.Pointer[side]
	current.Store(s)
	const n = 10000
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range n {
			frame := []byte(fmt.Sprint(i))
			for {
				err := current.Load().c.Write(frame)
				if err == nil {
					break
				}
				if err != ErrMoved {
					t.Errorf("write %d: %v", i, err)
					return
				}
			}
		}
	})
	stop := make(chan struct{})
	var moving sync.WaitGroup
	moves := 0
	moving.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(rand.IntN(50)) * time.Microsecond):
			}
			next, err := current.Load().move(t)
			if err != nil {
				t.Errorf("move: %v", err)
				return
			}
			current.Store(next)
			moves++
		}
	})
	p := &peer{conn: client}
	for i := range n {
		if _, got, err := p.tryReceive(); err != nil || string(got) != fmt.Sprint(i) {
			t.Fatalf("frame %d: got %q, %v", i, got, err)
		}
	}
	writing.Wait()
	close(stop)
	moving.Wait()
	t.Logf("%d moves", moves)
	finish(t, client, current.Load())
}

// TestWriteWhileFrozen waits, and goes on or is refused.
func TestWriteWhileFrozen(t *testing.T) {
	for _, thawed := range []bool{true, false} {
		client, s := begin(t, 0)
		s.freeze(t)
		result := make(chan error, 1)
		go func() { result <- s.c.Write([]byte("late")) }()
		select {
		case err := <-result:
			t.Fatalf("written while frozen: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		if thawed {
			s.c.Thaw()
			if err := errors.Join(<-result, check(client, []string{"late"}, nil)); err != nil {
				t.Error(err)
			}
			finish(t, client, s)
			continue
		}
		if err := s.c.Release(); err != nil {
			t.Fatal(err)
		}
		if err := <-result; err != ErrMoved {
			t.Errorf("got %v, want %v", err, ErrMoved)
		}
		finish(t, client, s)
	}
}

// TestSilenceTravels: the sweeper of the next owner goes on counting.
func TestSilenceTravels(t *testing.T) {
	client, s := begin(t, 0)
	client.Write(masked(0x81, "x"))
	if err := check(client, []string{"x"}, nil); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	next, err := s.move(t)
	if err != nil {
		t.Fatal(err)
	}
	peer, we := next.c.Silent()
	if peer < 50*time.Millisecond || we < 50*time.Millisecond || peer > patience || we > patience {
		t.Errorf("got %v and %v, want at least 50ms", peer, we)
	}
	if got, want := next.c.RemoteAddr().String(), client.LocalAddr().String(); got != want {
		t.Errorf("the peer is %s, want %s", got, want)
	}
	finish(t, client, next)
}

// TestCloseRaces lets each side close at a random moment around a move: the
// client sees one close frame and then the end, never a bare end.
func TestCloseRaces(t *testing.T) {
	moved, stayed := 0, 0
	for i := range 300 {
		client, s := begin(t, 0)
		byUs := i%2 == 0
		var closing sync.WaitGroup
		pause := time.Duration(rand.IntN(200)) * time.Microsecond
		closing.Go(func() {
			time.Sleep(pause)
			if byUs {
				s.c.Close(4000, "")
			} else {
				client.Write(masked(0x88, "\x0f\xa0"))
			}
		})
		time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
		next, err := s.move(t)
		switch {
		case err == nil:
			moved++
			if byUs { // what was asked for while it was frozen is the next owner's to decide
				closing.Wait()
				next.c.Close(4000, "")
			}
		case errors.Is(err, ErrClosing), errors.Is(err, net.ErrClosed):
			stayed++
			next = s
		default:
			t.Fatal(err)
		}
		closing.Wait()
		p := &peer{t: t, conn: client}
		if first, got := p.receive(); first != 0x88 || string(got) != "\x0f\xa0" {
			t.Fatalf("round %d, by us %v: frame %x %q", i, byUs, first, got)
		}
		if byUs {
			client.Write(masked(0x88, "\x0f\xa0"))
		}
		if rest, err := io.ReadAll(client); len(rest) > 0 || err != nil {
			t.Fatalf("round %d: got %x, %v; want the end", i, rest, err)
		}
		finish(t, client, next)
	}
	t.Logf("%d moved, %d ended where they were", moved, stayed)
}

// TestCloseInEachState: what a close does where.
func TestCloseInEachState(t *testing.T) {
	alive := func(t *testing.T, client net.Conn) {
		t.Helper()
		client.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, err := client.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the client got %d bytes, %v; want nothing", n, err)
		}
		client.SetReadDeadline(time.Now().Add(patience))
	}
	ended := func(t *testing.T, client net.Conn, want []byte) {
		t.Helper()
		if got, err := io.ReadAll(client); !bytes.Equal(got, want) || err != nil {
			t.Errorf("the client got %x, %v; want %x and the end", got, err, want)
		}
	}
	goodbye := []byte{0x88, 2, 0x0f, 0xa0}
	for name, closing := range map[string]func(*Conn){
		"close":     func(c *Conn) { c.Close(4000, "") },
		"close now": func(c *Conn) { c.CloseNow() },
		"library":   func(c *Conn) { c.lib.CloseNow() },
	} {
		want := []byte(nil)
		if name == "close" {
			want = goodbye
		}
		t.Run(name+" frozen, thawed", func(t *testing.T) {
			client, s := begin(t, 0)
			s.freeze(t)
			unblock := make(chan struct{})
			go func() { closing(s.c); close(unblock) }() // the library's waits for its reader
			time.Sleep(5 * time.Millisecond)
			alive(t, client)
			s.c.Thaw()
			ended(t, client, want)
			finish(t, client, s)
			<-unblock
		})
		t.Run(name+" frozen, released", func(t *testing.T) {
			client, s := begin(t, 0)
			fd, _, err := s.c.Duplicate()
			if err != nil {
				t.Fatal(err)
			}
			s.freeze(t)
			unblock := make(chan struct{})
			go func() { closing(s.c); close(unblock) }()
			time.Sleep(5 * time.Millisecond)
			if err := s.c.Release(); err != nil {
				t.Fatal(err)
			}
			alive(t, client)
			if err := s.wait(t); err != ErrMoved {
				t.Errorf("got %v, want %v", err, ErrMoved)
			}
			<-unblock
			unix.Close(fd)
			client.Close()
		})
		t.Run(name+" held", func(t *testing.T) {
			client, s := begin(t, 0)
			fd, _, err := s.c.Duplicate()
			if err != nil {
				t.Fatal(err)
			}
			h := adopt(t, fd, Options{}, 0)
			closing(h.c)
			h.wait(t)
			if err := h.c.Resume(); err != ErrNotHeld {
				t.Errorf("got %v, want %v", err, ErrNotHeld)
			}
			client.Write(masked(0x81, "still served"))
			if err := check(client, []string{"still served"}, nil); err != nil {
				t.Error(err)
			}
			finish(t, client, s)
		})
		t.Run(name+" freezing", func(t *testing.T) {
			client, s := begin(t, 30*time.Millisecond)
			client.Write(masked(0x81, "x"))
			time.Sleep(10 * time.Millisecond) // until the handler runs
			done := make(chan *Conn, 1)
			s.c.Freeze(done)
			closing(s.c)
			<-done
			if _, err := s.c.Snapshot(nil); err != ErrClosing && err != net.ErrClosed {
				t.Errorf("got %v, want %v or %v", err, ErrClosing, net.ErrClosed)
			}
			ended(t, client, want)
			finish(t, client, s)
		})
	}
}

// TestPeerEndsMeanwhile: whatever the peer does to end the connection while it
// stands still is found by whoever goes on with it, once.
func TestPeerEndsMeanwhile(t *testing.T) {
	var closed *CloseError
	said := func(err error) bool { return errors.As(err, &closed) && closed.Code == 4000 }
	cut := func(err error) bool { return err != nil && !errors.As(err, &closed) && err != ErrMoved }
	for name, end := range map[string]struct {
		do   func(*net.TCPConn)
		want func(error) bool
	}{
		"close frame":       {func(c *net.TCPConn) { c.Write(masked(0x88, "\x0f\xa0")) }, said},
		"half a frame":      {func(c *net.TCPConn) { c.Write(masked(0x88, "\x0f\xa0")[:3]); c.CloseWrite() }, cut},
		"end":               {func(c *net.TCPConn) { c.CloseWrite() }, cut},
		"reset":             {func(c *net.TCPConn) { c.SetLinger(0); c.Close() }, cut},
		"message, then end": {func(c *net.TCPConn) { c.Write(masked(0x81, "x")); c.CloseWrite() }, cut},
	} {
		for _, moves := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, moves %v", name, moves), func(t *testing.T) {
				client, s := begin(t, 0)
				defer client.Close()
				fd, _, err := s.c.Duplicate()
				if err != nil {
					t.Fatal(err)
				}
				h := adopt(t, fd, Options{}, 0)
				s.freeze(t)
				snap, err := s.c.Snapshot(nil)
				if err != nil {
					t.Fatal(err)
				}
				end.do(client)
				time.Sleep(2 * time.Millisecond)
				if err := h.c.Load(snap); err != nil {
					t.Fatal(err)
				}
				if !moves {
					h.c.CloseNow()
					h.wait(t)
					s.c.Thaw()
					if err := s.wait(t); !end.want(err) {
						t.Errorf("got %v", err)
					}
					return
				}
				if err := errors.Join(h.c.Resume(), s.c.Release()); err != nil {
					t.Fatal(err)
				}
				if err := s.wait(t); err != ErrMoved {
					t.Errorf("the side before: got %v, want %v", err, ErrMoved)
				}
				if err := h.wait(t); !end.want(err) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// TestWrongOrder: calls that do not fit the state are refused and change
// nothing.
func TestWrongOrder(t *testing.T) {
	client, s := begin(t, 0)
	c := s.c
	idle := (&snapshot{}).append(nil)
	want := func(what string, got, want error) {
		t.Helper()
		if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	_, err := c.Snapshot(nil)
	want("snapshot while serving", err, ErrNotFrozen)
	want("release while serving", c.Release(), ErrNotFrozen)
	want("load while serving", c.Load(idle), ErrNotHeld)
	want("resume while serving", c.Resume(), ErrNotHeld)
	c.Thaw()
	s.freeze(t)
	s.freeze(t) // tells at once
	want("resume while frozen", c.Resume(), ErrNotHeld)
	c.Thaw()

	fd, _, err := c.Duplicate()
	want("duplicate", err, nil)
	h := adopt(t, fd, Options{}, 0)
	h.freeze(t)
	_, err = h.c.Snapshot(nil)
	want("snapshot while held", err, ErrNotFrozen)
	want("release while held", h.c.Release(), ErrNotFrozen)
	h.c.Thaw()
	var version *VersionError
	if err := h.c.Load([]byte{77}); !errors.As(err, &version) {
		t.Errorf("got %v, want a version error", err)
	}
	want("load", h.c.Load(idle), nil) // the refusal has touched nothing
	want("load twice", h.c.Load(idle), ErrNotHeld)
	h.c.CloseNow()
	h.wait(t)

	client.Write(masked(0x81, "as before"))
	want("echo", check(client, []string{"as before"}, nil), nil)
	finish(t, client, s)
	_, err = c.Snapshot(nil)
	want("snapshot after the end", err, net.ErrClosed)
	if _, _, err := c.Duplicate(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("duplicate after the end: got %v, want %v", err, net.ErrClosed)
	}
	want("release after the end", c.Release(), nil)
}
