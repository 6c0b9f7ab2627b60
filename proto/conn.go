package proto

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// MaxPacket is the longest packet in bytes. A SEQPACKET socket with the
	// default buffers passes 200 KiB; 64 KiB leaves room for several.
	MaxPacket = 64 << 10

	// MaxFDs is how many descriptors one packet may carry (SCM_MAX_FD,
	// unix(7)).
	MaxFDs = 253
)

// ErrTruncated says that a packet was longer than [MaxPacket], or that
// descriptors of it were lost because this process may not open more. What
// did arrive has been closed.
var ErrTruncated = errors.New("packet truncated")

// Conn is one end of a control socket: a SOCK_SEQPACKET pair keeps each
// message and its descriptors together. One goroutine may send while another
// receives.
type Conn struct {
	unix *net.UnixConn
	buf  []byte // of Recv
	oob  []byte // of Recv
}

// Pair makes a control socket. ours is ready to use; theirs is a raw
// close-on-exec descriptor for the process to be started, owned by the caller.
func Pair() (ours *Conn, theirs int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, fmt.Errorf("make control socket: %w", err)
	}
	ours, err = NewConn(fds[0])
	if err != nil {
		unix.Close(fds[1])
		return nil, -1, err
	}
	return ours, fds[1], nil
}

// NewConn takes fd, which must be a connected SOCK_SEQPACKET Unix socket, and
// owns it from here on, also on error.
func NewConn(fd int) (*Conn, error) {
	f := os.NewFile(uintptr(fd), "control socket")
	if f == nil {
		return nil, fmt.Errorf("control socket: bad descriptor %d", fd)
	}
	defer f.Close() // net.FileConn duplicates it
	if typ, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil {
		return nil, fmt.Errorf("control socket: descriptor %d: %w", fd, err)
	} else if typ != unix.SOCK_SEQPACKET {
		return nil, fmt.Errorf("control socket: descriptor %d is no SOCK_SEQPACKET socket", fd)
	}
	nc, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	uc, ok := nc.(*net.UnixConn)
	if !ok {
		nc.Close()
		return nil, fmt.Errorf("control socket: descriptor %d is no Unix socket", fd)
	}
	return &Conn{
		unix: uc,
		buf:  make([]byte, MaxPacket+1),
		oob:  make([]byte, unix.CmsgSpace(MaxFDs*4)),
	}, nil
}

// Duplicate returns another descriptor of this end, close-on-exec and the
// caller's: for a process that is to go on with it.
func (c *Conn) Duplicate() (int, error) {
	raw, err := c.unix.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("duplicate control socket: %w", err)
	}
	fd := -1
	var dupErr error
	err = raw.Control(func(s uintptr) { fd, dupErr = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, dupErr); err != nil {
		return -1, fmt.Errorf("duplicate control socket: %w", err)
	}
	return fd, nil
}

// Send sends one packet with duplicates of fds, which stay the caller's. It
// blocks while the peer does not read.
func (c *Conn) Send(packet []byte, fds ...int) error {
	if len(packet) == 0 || len(packet) > MaxPacket || len(fds) > MaxFDs {
		return fmt.Errorf("send packet: %d bytes with %d descriptors, at most %d with %d and at least 1", len(packet), len(fds), MaxPacket, MaxFDs)
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := c.unix.WriteMsgUnix(packet, rights, nil); err != nil {
		return fmt.Errorf("send packet: %w", err)
	}
	return nil
}

// Recv waits for the next packet. The bytes are valid until the next call;
// the descriptors are close-on-exec and the caller's. At the peer's end it
// returns io.EOF, on a packet that did not arrive whole [ErrTruncated].
func (c *Conn) Recv() (packet []byte, fds []int, err error) {
	n, oobn, flags, _, err := c.unix.ReadMsgUnix(c.buf, c.oob)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET): // reset: the peer ended without reading everything
		return nil, nil, io.EOF
	case err != nil:
		return nil, nil, fmt.Errorf("receive packet: %w", err)
	}
	if fds, err = parseRights(c.oob[:oobn]); err != nil {
		return nil, nil, err
	}
	if flags&(unix.MSG_CTRUNC|unix.MSG_TRUNC) != 0 || n > MaxPacket {
		CloseFDs(fds)
		return nil, nil, fmt.Errorf("receive packet: %w (%d bytes, %d descriptors, flags %#x)", ErrTruncated, n, len(fds), flags)
	}
	if n == 0 {
		CloseFDs(fds)
		return nil, nil, io.EOF
	}
	return c.buf[:n], fds, nil
}

// Close ends both directions; a blocked Send or Recv returns.
func (c *Conn) Close() error { return c.unix.Close() }

func parseRights(oob []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("receive packet: control message: %w", err)
	}
	var fds []int
	for i := range messages {
		if messages[i].Header.Level != unix.SOL_SOCKET || messages[i].Header.Type != unix.SCM_RIGHTS {
			continue
		}
		rights, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			CloseFDs(fds)
			return nil, fmt.Errorf("receive packet: descriptors: %w", err)
		}
		fds = append(fds, rights...)
	}
	return fds, nil
}

// CloseFDs closes descriptors that were received and are not wanted.
func CloseFDs(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// HungUp reports whether the peer has ended. What it said before that may still
// wait to be received.
func (c *Conn) HungUp() bool {
	raw, err := c.unix.SyscallConn()
	if err != nil {
		return true
	}
	hungUp := true
	err = raw.Control(func(s uintptr) {
		fds := []unix.PollFd{{Fd: int32(s)}} // POLLHUP needs no asking
		for {
			n, err := unix.Poll(fds, 0)
			if !errors.Is(err, unix.EINTR) {
				hungUp = err != nil || n > 0
				return
			}
		}
	})
	return hungUp || err != nil
}
