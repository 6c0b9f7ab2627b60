package ws

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"golang.org/x/sys/unix"
)

// Why a connection does not move, or what it does not do any more.
var (
	// ErrMoved: another process has the connection. Nothing that was asked for
	// has reached the peer; the new owner does what is still to be done.
	ErrMoved = errors.New("ws: the connection has moved to another process")

	// ErrStill: the connection stands still for a move. What was to be written is
	// the caller's to keep until it goes on, here or elsewhere.
	ErrStill = errors.New("ws: the connection stands still")

	// ErrClosing: a close frame is on its way (RFC 6455 section 5.5.1), so the
	// connection ends where it is, within [Linger].
	ErrClosing = errors.New("ws: the connection is being closed")

	// ErrNotFrozen: a handler or a message is still under way.
	ErrNotFrozen = errors.New("ws: the connection is not frozen")

	// ErrNotHeld: the connection was not adopted, or is in use already.
	ErrNotHeld = errors.New("ws: the connection is not held")
)

// Freeze asks the connection to stand still, so that it can move: nothing new
// is taken in, a handler that is running ends first, with everything it
// writes. Then, or as soon as it is known that the connection ends instead, it
// is sent to done, once; [Conn.Snapshot] tells which. It may be at once, and
// is not any more after a [Conn.Thaw].
//
// Nobody is woken, so freezing thousands costs little. done must have room for
// every connection frozen with it: Freeze never waits. nil is allowed.
//
// A Write that has begun when the connection stands still has returned; one
// that has not waits for [Conn.Thaw] or [Conn.Release].
func (c *Conn) Freeze(done chan<- *Conn) {
	c.wire.freeze(func() {
		if done != nil {
			done <- c
		}
	})
}

func (w *wire) freeze(quiet func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.farewell != nil || !w.change(evFreeze) {
		quiet()
		return
	}
	w.quiet = quiet
	w.settleFreeze()
	if w.writer == writerFlushing {
		w.sock.SetWriteDeadline(time.Unix(1, 0)) // the rest of the frame can travel
	}
}

// settleFreeze completes a freeze once nothing is under way. Whatever may have
// been the last thing under way calls it.
func (w *wire) settleFreeze() {
	if w.state != freezing || w.reader == readerBusy || w.writer == writerFlushing || w.in != nil && w.in.oversized {
		return
	}
	w.state, _ = next(w.state, evQuiet)
	w.tellQuiet()
}

func (w *wire) tellQuiet() {
	if w.quiet != nil {
		w.quiet()
		w.quiet = nil
	}
}

// Thaw takes a Freeze back, at any moment: the connection goes on as if
// nothing had been. What waited is written, and a close that was asked for
// meanwhile is done. On any other connection it does nothing.
func (c *Conn) Thaw() { c.wire.thaw() }

func (w *wire) thaw() {
	w.mu.Lock()
	if !w.change(evThaw) {
		w.mu.Unlock()
		return
	}
	w.quiet = nil
	f := w.swallowed
	w.swallowed = nil
	switch {
	case f != nil && f.frame == nil:
		w.mu.Unlock()
		w.Close()
		return
	case f != nil:
		w.goodbye(f)
	}
	w.restart()
	w.mu.Unlock()
}

// Snapshot appends to b what the next owner of a frozen connection must know,
// for its [Conn.Load]. The connection stays frozen. The error is [ErrNotFrozen]
// for a straggler, and one of these when it will never move: [ErrClosing],
// [ErrSlow] when its peer has run into the write timeout, net.ErrClosed.
func (c *Conn) Snapshot(b []byte) ([]byte, error) {
	w := c.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.state == closed, w.writer == writerBroken:
		return b, net.ErrClosed
	case w.farewell != nil:
		return b, ErrClosing
	case w.writer == writerStuck:
		return b, ErrSlow
	case w.state != frozen:
		return b, ErrNotFrozen
	}
	now := time.Since(w.born)
	s := snapshot{read: w.read, written: w.written, heard: now - w.heard, said: now - w.said, out: w.queue, half: w.half}
	if w.in != nil {
		s.in = w.in.retained()
	}
	return s.append(b), nil
}

// Release forgets a frozen connection that another process has resumed: its
// descriptor is closed, the peer sees nothing. Serve and the writes that
// waited return [ErrMoved]; a close that was asked for while it was frozen is
// the new owner's to decide. The error is [ErrNotFrozen] while this process is
// still the owner.
func (c *Conn) Release() error { return c.wire.release() }

func (w *wire) release() error {
	w.mu.Lock()
	if !w.change(evRelease) {
		over := w.state.over()
		w.mu.Unlock()
		if over {
			return nil
		}
		return ErrNotFrozen
	}
	w.forget()
	w.mu.Unlock()
	return w.sock.Close()
}

// Load gives a held connection the snapshot that its owner took. It touches
// nothing when it fails: with *[VersionError], [ErrSnapshot] or [ErrNotHeld].
func (c *Conn) Load(snap []byte) error {
	s, err := parseSnapshot(snap)
	if err != nil {
		return err
	}
	w := c.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.change(evLoad) {
		return ErrNotHeld
	}
	if len(s.in) > 0 {
		w.in = newInbound(s.in)
	}
	w.queue, w.half = append([]byte(nil), s.out...), s.half
	w.read, w.written = s.read, s.written
	now := time.Since(w.born)
	w.heard, w.said = now-s.heard, now-s.said
	return nil
}

// Resume makes this process the owner of a held connection: it goes on where
// the snapshot ended. Without one it goes on at a message boundary both ways,
// as after a crash whose [proto.RecordState] is Sound. The error is
// [ErrNotHeld], or why the kernel does not tell the stream's positions; then
// nothing has changed.
//
// Whoever calls it must be sure that the owner before has ended, or has been
// told to release: the ownership words of package proto decide that.
func (c *Conn) Resume() error { return c.wire.resumeAnd(func(*wire) {}) }

// resumeAnd is Resume, and then does something, with mu held, before anybody else
// reads or writes.
func (w *wire) resumeAnd(then func(*wire)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state == held {
		if err := w.locate(); err != nil {
			return err
		}
	}
	if !w.change(evResume) {
		return ErrNotHeld
	}
	w.settleRecord()
	then(w)
	w.restart()
	return nil
}

// locate asks the kernel where the stream stands. A socket without positions
// counts from here; nothing can recover it after a crash.
func (w *wire) locate() error {
	var err error
	if outer := w.raw.Control(func(fd uintptr) { w.read, w.written, err = StreamPositions(int(fd)) }); outer != nil {
		return net.ErrClosed
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// SetRecord makes the connection note its message boundaries in r, nil for
// nowhere any more. Offsets count the bytes since the connection was made, as
// [StreamPositions] does. On a held connection nothing is written to r before
// [Conn.Resume].
func (c *Conn) SetRecord(r *proto.Record) {
	w := c.wire
	w.mu.Lock()
	defer w.mu.Unlock()
	w.record = r
	if w.state.owned() {
		w.settleRecord()
	}
}

// settleRecord notes where the stream stands now.
func (w *wire) settleRecord() {
	if w.record == nil {
		return
	}
	if w.in == nil || w.in.endsMessage() {
		w.record.Received(w.read)
	}
	w.record.Begin(w.written + uint64(w.half))
	if w.half == 0 {
		w.record.End(w.written)
	}
}

// Duplicate returns a close-on-exec duplicate of the connection's descriptor,
// the caller's to close, and its identity: the socket's SO_COOKIE, the same
// for every duplicate in every process. Neither end notices, and the flags
// that duplicates share are not changed.
func (c *Conn) Duplicate() (fd int, id uint64, err error) { return c.wire.duplicate() }

func (w *wire) duplicate() (fd int, id uint64, err error) {
	outer := w.raw.Control(func(s uintptr) {
		if id, err = unix.GetsockoptUint64(int(s), unix.SOL_SOCKET, unix.SO_COOKIE); err == nil {
			fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0)
		}
	})
	if outer != nil {
		err = net.ErrClosed
	}
	if err != nil {
		return -1, 0, fmt.Errorf("ws: duplicate the connection: %w", err)
	}
	return fd, id, nil
}
