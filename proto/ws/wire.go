package ws

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// readSize is what one read(2) takes at most. Nearly every message fits.
const readSize = 4 << 10

// readBuffers are lent to a connection from the moment bytes arrive until the
// library has taken them.
var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// wire is the net.Conn under the library. The library writes only control
// frames through it, each with one call to Write (its bufio.Writer holds the
// largest there can be), so that wire always sees whole frames.
type wire struct {
	net.Conn
	raw     syscall.RawConn
	born    time.Time
	heard   atomic.Int64 // last read that brought something, nanoseconds since born
	said    atomic.Int64 // last frame written, nanoseconds since born
	timeout time.Duration

	// Of the goroutine inside Read alone.
	buf     *[readSize]byte // nil while there is nothing to hand out
	from    int             // buf[from:to] is not handed out yet
	to      int
	pre     []byte // what came with the handshake
	in      frame
	readErr error
	tryFn   func(uintptr) bool // tryRead, bound once: an idle connection allocates nothing

	// farewell is set once: then no other frame begins, and who holds mu last
	// writes it.
	farewell atomic.Pointer[farewell]

	mu    sync.Mutex // held while a frame is written
	rest  []byte     // of the frame that ran into its deadline
	write writePhase
}

// farewell is the one close frame of our side.
type farewell struct {
	frame  []byte
	author author
}

// author is who decided to close.
type author uint8

const (
	byLibrary author = iota // it answers the peer's close, or the peer broke the protocol
	byUs
)

type writePhase uint8

const (
	writeOpen   writePhase = iota
	writeStuck             // a frame is half written: only its rest may follow
	writeEnded             // the close frame is written
	writeBroken            // the kernel refused: nothing can follow
)

// newWire takes ownership of c, a fresh connection of which pre is already
// read.
func newWire(c net.Conn, pre []byte, timeout time.Duration) (*wire, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.New("ws: the connection has no descriptor")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: c, raw: raw, born: time.Now(), timeout: timeout, pre: slices.Clone(pre)}
	w.tryFn = w.tryRead
	return w, nil
}

// Read never hands out bytes behind the end of a frame. So whenever the library
// comes back for a new frame it holds nothing: what it was given is used up, and
// the rest of the stream is ours.
func (w *wire) Read(p []byte) (int, error) {
	b := w.pre
	if len(b) == 0 {
		if w.buf == nil {
			if err := w.fill(); err != nil {
				return 0, err
			}
		}
		b = w.buf[w.from:w.to]
	}
	n := w.in.upTo(b[:min(len(p), len(b))])
	copy(p, b[:n])
	w.took(n)
	return n, nil
}

// took notes that n bytes were handed out.
func (w *wire) took(n int) {
	if len(w.pre) > 0 {
		w.pre = w.pre[n:]
		return
	}
	if w.from += n; w.from == w.to {
		w.release()
	}
}

// await waits, between two messages, until there is something to read. An idle
// connection waits here and not inside the library, whose calls would keep its
// stack twice as large. What ended the wait the next Read tells.
func (w *wire) await() {
	if len(w.pre) == 0 && w.buf == nil {
		w.fill()
	}
}

// fill waits until the socket has something and takes it.
func (w *wire) fill() error {
	w.readErr = nil
	if err := w.raw.Read(w.tryFn); err != nil {
		return err
	}
	if w.readErr == nil {
		w.heard.Store(int64(time.Since(w.born)))
	}
	return w.readErr
}

// tryRead reads what is there. It reports whether the wait is over, and keeps
// a buffer only then.
func (w *wire) tryRead(fd uintptr) bool {
	buf := readBuffers.Get().(*[readSize]byte)
	n, err := read(int(fd), buf[:])
	if n > 0 {
		w.buf, w.from, w.to = buf, 0, n
		return true
	}
	readBuffers.Put(buf)
	switch {
	case err == syscall.EAGAIN:
		return false
	case err != nil:
		w.readErr = os.NewSyscallError("read", err)
	default:
		w.readErr = io.EOF
	}
	return true
}

func read(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

func (w *wire) release() {
	readBuffers.Put(w.buf)
	w.buf = nil
}

// Write takes a whole control frame from the library: a pong, or a close when
// the peer closed or broke the protocol.
func (w *wire) Write(frame []byte) (int, error) {
	if frame[0]&0x0f == opClose {
		w.end(farewell{slices.Clone(frame), byLibrary})
		return len(frame), nil
	}
	if err := w.writeFrame(frame); err != nil && !errors.Is(err, net.ErrClosed) {
		return 0, err
	}
	return len(frame), nil
}

// writeFrame writes one whole frame, waiting at most the timeout for a peer
// that does not read: then ErrSlow. After a close frame it is net.ErrClosed.
func (w *wire) writeFrame(frame []byte) error {
	w.mu.Lock()
	err := w.begin(frame)
	w.mu.Unlock()
	if w.farewell.Load() != nil {
		w.sayFarewell() // end may have found mu taken
	}
	return err
}

// begin is writeFrame with mu held.
func (w *wire) begin(frame []byte) error {
	switch {
	case w.farewell.Load() != nil, w.write >= writeEnded:
		return net.ErrClosed
	case w.write == writeStuck:
		return ErrSlow
	}
	w.said.Store(int64(time.Since(w.born)))
	return w.push(frame)
}

// push writes b: at once if the kernel takes it, which costs no deadline.
func (w *wire) push(b []byte) error {
	n, err := w.tryWrite(b)
	if err == nil && n < len(b) {
		n, err = w.waitWrite(b, n)
	}
	switch {
	case err == nil:
		w.write = writeOpen
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.write, w.rest = writeStuck, slices.Clone(b[n:])
		return ErrSlow
	default:
		w.write = writeBroken
	}
	return err
}

// tryWrite makes one write(2).
func (w *wire) tryWrite(b []byte) (n int, err error) {
	outer := w.raw.Write(func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), b)
		return true
	})
	if outer != nil && !errors.Is(outer, os.ErrDeadlineExceeded) {
		return 0, outer
	}
	if err == syscall.EAGAIN || err == syscall.EINTR {
		err = nil
	}
	return max(n, 0), os.NewSyscallError("write", err)
}

// waitWrite writes b[n:] under the deadline.
func (w *wire) waitWrite(b []byte, n int) (int, error) {
	w.SetWriteDeadline(time.Now().Add(w.timeout))
	if w.farewell.Load() != nil {
		w.SetWriteDeadline(time.Now().Add(Linger)) // end set it before us, or will after
	}
	m, err := w.Conn.Write(b[n:])
	if err == nil && w.farewell.Load() == nil {
		w.SetWriteDeadline(time.Time{})
	}
	return n + m, err
}

// end sends f as the last frame, and bounds everything that is still under
// way. Only the first call counts.
func (w *wire) end(f farewell) {
	if !w.farewell.CompareAndSwap(nil, &f) {
		return
	}
	w.SetDeadline(time.Now().Add(Linger))
	w.sayFarewell()
}

// sayFarewell writes the close frame unless another goroutine is writing: that
// one calls it again when it is done.
func (w *wire) sayFarewell() {
	if !w.mu.TryLock() {
		return
	}
	defer w.mu.Unlock()
	if w.write >= writeEnded {
		return
	}
	if w.push(append(w.rest, w.farewell.Load().frame...)) == nil {
		w.write = writeEnded
		return
	}
	w.write = writeBroken
}

// linger reads on after a close frame, so that the peer's unread bytes do not
// turn our close into a reset that overtakes it.
func (w *wire) linger() {
	var p [512]byte
	for {
		if _, err := w.Read(p[:]); err != nil {
			return
		}
	}
}

// Close ends the connection. Closing alone would not: another process may hold
// a duplicate, so the peer is told by shutdown(2).
func (w *wire) Close() error {
	w.raw.Control(func(fd uintptr) { syscall.Shutdown(int(fd), syscall.SHUT_RDWR) })
	return w.Conn.Close()
}
