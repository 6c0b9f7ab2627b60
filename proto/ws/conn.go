package ws

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Linger is how long a peer may take to answer a close frame, and how long
// [Conn.Close] blocks at most.
const Linger = time.Second

// ErrSlow: the peer did not read for the write timeout. The connection can
// only be closed; its peer, if it reads on, finds every whole frame and the
// close.
var ErrSlow = errors.New("ws: the peer does not read")

// ErrBusy: the peer has not read the frame before this one yet.
var ErrBusy = errors.New("ws: the peer has not read the frame before")

// CloseError is the close frame of the peer (RFC 6455 section 7.1.5).
type CloseError struct {
	Code   int // 1005 when the frame named none
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("ws: closed by the peer with %d %q", e.Code, e.Reason)
}

// Type is the type of a message (RFC 6455 section 5.6).
type Type int

// Types of messages.
const (
	Text   Type = Type(websocket.MessageText)
	Binary Type = Type(websocket.MessageBinary)
)

// Opcodes and bits of a frame's first byte (RFC 6455 section 5.2).
const (
	opText  = 0x1
	opClose = 0x8

	finBit     = 0x80
	controlBit = 0x08 // of an opcode: a control frame
)

// Conn is the server's end of one connection. See the package's promises.
type Conn struct {
	lib  *websocket.Conn
	wire *wire
	id   uint64 // by which a Keeper knows it
}

// messages are lent to Serve while a message is read and handled.
var messages = sync.Pool{New: func() any { return new([]byte) }}

// keepMessage is the largest buffer that goes back to the pool.
const keepMessage = 64 << 10

// Serve reads messages and hands them to handle until the connection ends;
// data is valid only during the call. It must be called once. Its error tells
// how it ended: nil after a Close of our own, *[CloseError] when the peer
// closed, [ErrMoved] when another process has the connection now, otherwise
// what broke it. A panic of handle leaves the connection as it is: it ends the
// process, and the next one goes on.
func (c *Conn) Serve(handle func(t Type, data []byte)) error {
	for c.wire.awaitMessage() != ErrMoved {
		t := turns.Get().(*turn)
		go t.take(c, handle)
		<-t.done
		err, ended := t.err, t.ended
		turns.Put(t)
		if ended {
			return err
		}
	}
	c.lib.CloseNow() // not deferred
	return ErrMoved
}

// turn is one message of a connection, on a goroutine of its own: a stack that
// has grown for the library and the handler never shrinks to what an idle
// connection needs.
type turn struct {
	done  chan struct{}
	err   error // Serve's, if it has ended
	ended bool
}

var turns = sync.Pool{New: func() any { return &turn{done: make(chan struct{}, 1)} }}

func (t *turn) take(c *Conn, handle func(Type, []byte)) {
	t.err, t.ended = nil, false
	if broke := c.message(handle); broke != nil {
		t.err, t.ended = c.ended(broke), true
		c.lib.CloseNow()
	}
	t.done <- struct{}{}
}

// message reads one message whole and hands it over, unless we have said
// goodbye already.
func (c *Conn) message(handle func(Type, []byte)) error {
	t, r, err := c.lib.Reader(context.Background())
	if err != nil {
		return err
	}
	p := messages.Get().(*[]byte)
	defer func() {
		if cap(*p) <= keepMessage {
			messages.Put(p)
		}
	}()
	data, err := readAll((*p)[:0], r)
	*p = data
	if err == nil && c.wire.leaving() == nil {
		c.wire.handling(data)
		handle(Type(t), data)
		c.wire.handling(nil)
	}
	return err
}

// fingerprint is a hash of a message, the same in every process (FNV-1a of 64
// bits, by G. Fowler, L. C. Noll and K.-P. Vo), and 0 for nil.
func fingerprint(message []byte) uint64 {
	if message == nil {
		return 0
	}
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, b := range message {
		h = (h ^ uint64(b)) * prime
	}
	return max(h, 1<<16) // its low bits may be cut off
}

// readAll appends everything of r to b.
func readAll(b []byte, r io.Reader) ([]byte, error) {
	for {
		if cap(b)-len(b) < 512 {
			b = append(b, make([]byte, max(512, cap(b)))...)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// ended turns the library's error into Serve's.
func (c *Conn) ended(err error) error {
	if c.wire.hasMoved() {
		return ErrMoved
	}
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		if c.closedByUs() {
			return nil // the peer only answers
		}
		return &CloseError{Code: int(closed.Code), Reason: closed.Reason}
	}
	broken := isBroken(err)
	if broken && c.closedByUs() {
		return nil
	}
	if !broken {
		c.Close(int(websocket.StatusProtocolError), "") // where the library did not say it
		c.wire.linger()
	}
	return fmt.Errorf("ws: read: %w", err)
}

func (c *Conn) closedByUs() bool {
	f := c.wire.leaving()
	return f != nil && f.author == byUs
}

// isBroken tells a connection that ended from a peer that broke the protocol.
func isBroken(err error) bool {
	var sys *os.SyscallError
	var op *net.OpError
	return errors.As(err, &sys) || errors.As(err, &op) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// frames are lent to Write while a frame is assembled.
var frames = sync.Pool{New: func() any { return new([]byte) }}

// Write sends p as one text message. It returns [ErrSlow] when the peer does
// not read for the write timeout, and an error wrapping net.ErrClosed after
// the end.
//
// While the connection is frozen or held Write waits, without having begun and
// without a limit; [ErrMoved] then tells that the new owner has to send it.
// When it returns nil the frame is with the kernel, or travels with the
// connection.
func (c *Conn) Write(p []byte) error { return write(p, c.wire.send) }

// TryWrite is Write for whoever writes unasked, beside the handler: while the
// connection stands still, or is asked to, it returns [ErrStill] at once and
// nothing has been sent. A handler must use Write: its answers belong to the
// message that it was given.
func (c *Conn) TryWrite(p []byte) error { return write(p, c.wire.sendNow) }

// Offer is TryWrite that does not wait for the peer either. While the kernel has
// not taken the frame before whole it returns [ErrBusy] at once and nothing has
// been sent; [Conn.AwaitPeer] tells when to try again. What it takes of p a part
// of, it sees to the rest of.
func (c *Conn) Offer(p []byte) error { return write(p, c.wire.offer) }

// AwaitPeer waits until the kernel has taken what the peer would not read, at most
// the write timeout, or until nothing can be sent any more.
func (c *Conn) AwaitPeer() { c.wire.awaitPeer() }

func write(p []byte, send func([]byte) error) error {
	b := frames.Get().(*[]byte)
	*b = append(appendHeader((*b)[:0], opText, len(p)), p...)
	err := send(*b)
	if cap(*b) <= keepMessage {
		frames.Put(b)
	}
	if err != nil && err != ErrSlow && err != ErrMoved && err != ErrStill && err != ErrBusy {
		return fmt.Errorf("ws: write: %w", err)
	}
	return err
}

// appendHeader appends the header of an unfragmented frame from a server:
// final and unmasked (RFC 6455 section 5.2).
func appendHeader(b []byte, op byte, n int) []byte {
	b = append(b, finBit|op)
	switch {
	case n <= 125:
		return append(b, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
}

// maxReason is what a close frame can hold beside its code: a control frame
// has at most 125 bytes (RFC 6455 section 5.5).
const maxReason = 123

// Close says goodbye with a close code (RFC 6455 section 7.4) and a reason of
// at most 123 bytes, the rest is cut. No message is handled any more; Serve
// ends when the peer has answered, after [Linger] at the latest. The first
// Close counts.
//
// A connection that is frozen is closed when it is thawed; one that is held is
// dropped, as by CloseNow.
func (c *Conn) Close(code int, reason string) {
	c.wire.end(closeFrame(code, reason), byUs)
}

func closeFrame(code int, reason string) []byte {
	reason = reason[:min(len(reason), maxReason)]
	f := appendHeader(make([]byte, 0, 4+len(reason)), opClose, 2+len(reason))
	f = binary.BigEndian.AppendUint16(f, uint16(code))
	return append(f, reason...)
}

// CloseNow ends the connection without a word. One that is held it only drops:
// its owner goes on.
func (c *Conn) CloseNow() { c.wire.Close() }

// Silent tells how long the peer has said nothing, pongs included, and how
// long we have.
func (c *Conn) Silent() (peer, we time.Duration) {
	return c.wire.silent()
}

// RemoteAddr is the address of the peer, or of the proxy before it.
func (c *Conn) RemoteAddr() net.Addr { return c.wire.RemoteAddr() }
