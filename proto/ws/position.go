package ws

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// States of a TCP connection (RFC 9293 section 3.3.2), as the kernel numbers
// them.
const (
	tcpFinWait1  = 4
	tcpFinWait2  = 5
	tcpTimeWait  = 6
	tcpClose     = 7
	tcpCloseWait = 8
	tcpLastAck   = 9
	tcpClosing   = 11
)

// StreamPositions asks the kernel how many bytes have been read from an
// accepted TCP connection, and how many written to it, since it was made, by
// whichever process. They are final only when no process that could read or
// write lives any more. The end of either direction counts nothing. For other
// sockets the error wraps EOPNOTSUPP, for a connection that is over
// net.ErrClosed.
func StreamPositions(fd int) (read, written uint64, err error) {
	before, err := takeCounters(fd)
	for tries := 0; err == nil && tries < 100; tries++ {
		var now counters
		if now, err = takeCounters(fd); err == nil && now == before {
			return now.positions()
		}
		before = now
	}
	if err == nil {
		err = fmt.Errorf("they do not stand still")
	}
	return 0, 0, fmt.Errorf("ws: stream positions: %w", err)
}

// counters is what the kernel knows. A segment may arrive, or be acknowledged,
// between two questions: only two equal answers belong together.
type counters struct {
	state           uint8
	received, acked uint64 // in order from the peer; of ours by the peer
	unread, unacked int    // bytes waiting to be read; of ours not acknowledged
}

func takeCounters(fd int) (c counters, err error) {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return c, err
	}
	c.state, c.received, c.acked = info.State, info.Bytes_received, info.Bytes_acked
	if c.unread, err = unix.IoctlGetInt(fd, unix.SIOCINQ); err != nil {
		return c, err
	}
	c.unacked, err = unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	return c, err
}

// positions: a FIN takes a number of the sequence space, in the direction that
// it ends, without being a byte (RFC 9293 section 3.4).
func (c counters) positions() (read, written uint64, err error) {
	read, written = c.received-uint64(c.unread), c.acked+uint64(c.unacked)
	switch c.state {
	case tcpClose:
		return 0, 0, fmt.Errorf("ws: stream positions: %w", net.ErrClosed)
	case tcpCloseWait:
		read--
	case tcpFinWait1, tcpFinWait2:
		written--
	case tcpLastAck, tcpClosing, tcpTimeWait:
		read--
		written--
	}
	return read, written, nil
}
