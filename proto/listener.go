package proto

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Listeners returns the listening sockets this process was given by name, by
// the LISTEN_FDS contract of sd_listen_fds(3), and takes the contract out of
// the environment. It returns none and no error when there is no contract.
// Sockets given under one name are an error. Call it once.
func Listeners() (map[string]net.Listener, error) {
	fds, err := takeListenFDs()
	if err != nil {
		return nil, err
	}
	listeners := make(map[string]net.Listener, len(fds))
	for i, f := range fds {
		l, err := newListener(f)
		if err == nil && listeners[f.name] != nil {
			l.Close()
			err = fmt.Errorf("listening socket %q was given twice", f.name)
		}
		if err != nil {
			for _, open := range listeners {
				open.Close()
			}
			for _, rest := range fds[i+1:] {
				unix.Close(rest.fd)
			}
			return nil, err
		}
		listeners[f.name] = l
	}
	return listeners, nil
}

// listener accepts from a listening socket that other processes share.
// net.FileListener would do, but on its way it makes the shared open file
// description blocking for a moment: an Accept of another process that falls
// into it hangs, also over its Close. So this one is read through the poller
// as it is and never changes the descriptor's flags.
type listener struct {
	file *os.File
	raw  syscall.RawConn
	addr net.Addr
}

// newListener takes f's descriptor and owns it, also on error.
func newListener(f namedFD) (*listener, error) {
	if on, err := unix.GetsockoptInt(f.fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || on == 0 {
		unix.Close(f.fd)
		return nil, fmt.Errorf("descriptor %d (%s) is no listening socket", f.fd, f.name)
	}
	if err := unix.SetNonblock(f.fd, true); err != nil { // whoever opened it: a blocking one could not be closed
		unix.Close(f.fd)
		return nil, fmt.Errorf("listening socket %s: %w", f.name, err)
	}
	addr, err := localAddr(f.fd)
	if err != nil {
		unix.Close(f.fd)
		return nil, fmt.Errorf("listening socket %s: %w", f.name, err)
	}
	file := os.NewFile(uintptr(f.fd), f.name)
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("listening socket %s: %w", f.name, err)
	}
	return &listener{file: file, raw: raw, addr: addr}, nil
}

// Accept implements net.Listener. After Close it returns an error that wraps
// net.ErrClosed.
func (l *listener) Accept() (net.Conn, error) {
	var fd int
	var acceptErr error
	err := l.raw.Read(func(s uintptr) bool {
		fd, acceptErr = accept(int(s))
		return acceptErr != unix.EAGAIN
	})
	if err != nil {
		acceptErr = waitError(err)
	}
	if acceptErr != nil {
		return nil, &net.OpError{Op: "accept", Net: l.addr.Network(), Addr: l.addr, Err: acceptErr}
	}
	f := os.NewFile(uintptr(fd), "")
	defer f.Close() // net.FileConn duplicates it
	return net.FileConn(f)
}

// accept takes the next client off the queue. The descriptor is left blocking:
// os.NewFile then keeps it out of the poller, and net.FileConn sets its own.
func accept(listening int) (int, error) {
	for {
		fd, _, err := unix.Accept4(listening, unix.SOCK_CLOEXEC)
		switch err {
		case unix.EINTR, unix.ECONNABORTED: // the client left the queue: the next one
			continue
		case nil:
			keepAlive(fd)
		}
		return fd, err
	}
}

// keepAlivePeriod is net.ListenConfig's default, so that a client that
// vanished is noticed.
const keepAlivePeriod = 15 * time.Second

// keepAlive asks for TCP keep-alive probes; a Unix socket refuses the second
// option and needs neither.
func keepAlive(fd int) {
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	seconds := int(keepAlivePeriod / time.Second)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds)
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
}

// waitError is the error of a wait in the poller as callers of net.Listener
// know it. The poller reports a deadline, which is a timeout, or the end of
// the file, for which it has no exported error.
func waitError(err error) error {
	if os.IsTimeout(err) {
		return err
	}
	return net.ErrClosed
}

// Close implements net.Listener. The socket itself stays open in every other
// process that has it: nothing is refused.
func (l *listener) Close() error { return l.file.Close() }

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return l.addr }

// SyscallConn implements [syscall.Conn].
func (l *listener) SyscallConn() (syscall.RawConn, error) { return l.raw, nil }

// SetDeadline makes a pending and every later Accept return at t, a zero t
// never; the socket stays open.
func (l *listener) SetDeadline(t time.Time) error { return l.file.SetReadDeadline(t) }

func localAddr(fd int) (net.Addr, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return nil, fmt.Errorf("getsockname: %w", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}, nil
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}, nil
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}, nil
	default:
		return nil, fmt.Errorf("address family of %T is not supported", sa)
	}
}
