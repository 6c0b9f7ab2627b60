package ws

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"golang.org/x/sys/unix"
)

// socket is what a wire needs of a connection: a net.Conn that was accepted,
// or an *os.File around a descriptor that was received.
type socket interface {
	io.Closer
	syscall.Conn
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// wire is the net.Conn under the library, and the one place where its state
// changes. The library writes only control frames through it, each with one
// call to Write (its bufio.Writer holds the largest there can be), so that
// wire always sees whole frames.
type wire struct {
	sock    socket
	raw     syscall.RawConn
	tryFn   func(uintptr) bool // tryRead, bound once: an idle connection allocates nothing
	born    time.Time
	timeout time.Duration // how long a frame may wait for the peer

	mu        sync.Mutex // never held while parked
	state     state
	reader    readerPhase
	writer    writerPhase
	heard     time.Duration // last read that brought something, since born
	said      time.Duration // last frame written, since born
	in        *inbound      // nil while idle
	readErr   error         // of the last tryRead
	read      uint64        // bytes taken from the kernel since the connection was made
	written   uint64        // bytes it took from us
	queue     []byte        // frames the kernel has not taken yet
	half      int           // queue[:half] is the rest of a frame begun
	record    *proto.Record // nil: none is kept
	farewell  *farewell     // the close frame: no other frame begins
	swallowed *farewell     // asked for while frozen; without a frame: an end without a word
	quiet     func()        // whom a freeze tells
	ended     func()        // whom its end tells, if it was ours; nil: nobody
	wake      chan struct{} // closed when somebody who waits should look again
}

// readerPhase is where the goroutine in Serve is.
type readerPhase uint8

const (
	readerAbsent readerPhase = iota // it has not begun
	readerAtRest                    // it waits for bytes: the library and the handler hold nothing
	readerBusy
)

// newWire takes ownership of sock.
func newWire(sock socket, s state, o Options) (*wire, error) {
	raw, err := sock.SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &wire{sock: sock, raw: raw, born: time.Now(), timeout: o.WriteTimeout, state: s, ended: o.ended}
	w.tryFn = w.tryRead
	return w, nil
}

// Read never hands out bytes behind the end of a frame. So whenever the library
// comes back for a new frame it holds nothing: what it was given is used up, and
// the rest of the stream is ours.
func (w *wire) Read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.await(); err != nil {
		return 0, err
	}
	return w.in.give(p), nil
}

// awaitMessage waits, between two messages, until there is something to read.
// An idle connection waits here and not inside the library, whose calls would
// keep its stack twice as large.
func (w *wire) awaitMessage() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.await()
}

// await returns when there is something to hand out, with mu held as before.
func (w *wire) await() error {
	w.settle()
	w.reader = readerAtRest
	err := w.rest()
	w.reader = readerBusy
	return err
}

// settle lets go of what the library has dealt with.
func (w *wire) settle() {
	if w.in == nil {
		return
	}
	w.in.settle()
	w.tidy()
}

func (w *wire) tidy() {
	if w.in.isEmpty() {
		w.in.free()
		w.in = nil
	}
}

// rest is await while the reader is at rest. Who comes here while the
// connection stands still waits for the end of that; who is here already when
// a freeze begins stays where it is, in the poller.
func (w *wire) rest() error {
	for first := true; ; first = false {
		w.settleFreeze()
		switch {
		case w.state == moved:
			return ErrMoved
		case w.state == closed:
			return net.ErrClosed
		case w.mayRead():
			if w.in != nil && w.in.isAhead() {
				return nil
			}
		case !first || w.state == freezing || w.state == frozen:
			w.wait()
			continue
		}
		if err := w.park(); err != nil {
			return err
		}
	}
}

// mayRead reports whether bytes may be taken in. A message too long to be
// handed over goes on to its end during a freeze.
func (w *wire) mayRead() bool {
	return w.state == serving || w.state == freezing && w.in != nil && w.in.oversized
}

// park waits until the socket has something and takes it, or until there is
// another reason to look again.
func (w *wire) park() error {
	w.readErr = nil
	w.mu.Unlock()
	err := w.raw.Read(w.tryFn)
	w.mu.Lock()
	switch {
	case !w.mayRead():
		return nil // whoever goes on with the stream finds its end again
	case err == nil:
		return w.readErr
	case errors.Is(err, os.ErrDeadlineExceeded) && (w.farewell == nil || time.Now().Before(w.farewell.until)):
		w.armRead() // resume woke us
		return nil
	}
	return err
}

// armRead sets the deadline of reads: only a peer that has been told goodbye
// has one.
func (w *wire) armRead() {
	var until time.Time
	if w.farewell != nil {
		until = w.farewell.until
	}
	w.sock.SetReadDeadline(until)
}

// tryRead reads what is there. It reports whether the wait is over. While the
// stream is not ours it only looks: the runtime has dropped the poller's edge
// when the wait began, so that bytes there already would not wake it again.
func (w *wire) tryRead(fd uintptr) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.mayRead() {
		return w.state.over() || isReadable(int(fd))
	}
	in := w.in
	switch {
	case in == nil:
		in = newInbound(nil)
	case in.isAhead():
		return true
	}
	n, err := retry(unix.Read, int(fd), in.room())
	if n > 0 {
		in.add(n)
		w.in = in
		w.took(n)
		return true
	}
	if w.in == nil {
		in.free()
	}
	switch {
	case err == unix.EAGAIN:
		return false
	case err != nil:
		w.readErr = os.NewSyscallError("read", err)
	default:
		w.readErr = io.EOF
	}
	return true
}

// took notes that n bytes were read. If a message ends there, whoever finds
// the connection after a crash may go on: that is recorded at once, before the
// message is handled.
func (w *wire) took(n int) {
	w.heard = time.Since(w.born)
	w.read += uint64(n)
	if w.record != nil && w.in.endsMessage() {
		w.record.Received(w.read)
	}
}

// silent tells how long the peer and we have said nothing.
func (w *wire) silent() (peer, we time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Since(w.born)
	return now - w.heard, now - w.said
}

func (w *wire) hasMoved() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state == moved
}

// retry calls read(2) or write(2) until no signal comes between.
func retry(call func(int, []byte) (int, error), fd int, p []byte) (int, error) {
	for {
		n, err := call(fd, p)
		if err != unix.EINTR {
			return n, err
		}
	}
}

func isReadable(fd int) bool {
	var b [1]byte
	_, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return err != unix.EAGAIN && err != unix.EINTR
}

// wait gives mu away until somebody calls wakeAll.
func (w *wire) wait() {
	if w.wake == nil {
		w.wake = make(chan struct{})
	}
	wake := w.wake
	w.mu.Unlock()
	<-wake
	w.mu.Lock()
}

func (w *wire) wakeAll() {
	if w.wake != nil {
		close(w.wake)
		w.wake = nil
	}
}

// change makes the transition of e, and reports whether there is one.
func (w *wire) change(e event) bool {
	s, ok := next(w.state, e)
	if ok {
		w.state = s
		w.wakeAll()
	}
	return ok
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

// Close ends the connection. Closing the descriptor alone would not: another
// process may hold a duplicate, so the peer is told by shutdown(2). For the
// same reason a connection that is held is only dropped, and one that has
// moved is left alone; one that is frozen ends when it is thawed, if it is.
func (w *wire) Close() error {
	w.mu.Lock()
	if w.state == frozen {
		w.swallowed = &farewell{}
	}
	ours := w.state.owned()
	if !w.change(evClose) {
		w.mu.Unlock()
		return nil
	}
	w.forget()
	w.mu.Unlock()
	if ours {
		w.shutdown()
		if w.ended != nil {
			defer w.ended()
		}
	}
	return w.sock.Close() // without mu: it waits for the reader
}

// shutdown ends the connection for its peer, whoever holds a duplicate.
func (w *wire) shutdown() {
	w.raw.Control(func(fd uintptr) { unix.Shutdown(int(fd), unix.SHUT_RDWR) })
}

// handling notes in the record which message is being handled, nil that none
// is: when the process dies meanwhile, the next one must know.
func (w *wire) handling(message []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.record != nil {
		w.record.Handle(fingerprint(message))
	}
}

// forget drops what is of no use once the connection is over, and answers who
// waits for it to freeze.
func (w *wire) forget() {
	if w.in != nil {
		w.in.free()
		w.in = nil
	}
	w.queue, w.half = nil, 0
	w.tellQuiet()
}

// The deadlines complete net.Conn. The library does not use them.
func (w *wire) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (w *wire) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (w *wire) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
