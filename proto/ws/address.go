package ws

import (
	"net"

	"golang.org/x/sys/unix"
)

// LocalAddr is our address.
func (w *wire) LocalAddr() net.Addr { return w.address(unix.Getsockname) }

// RemoteAddr is the address of the peer, or of the proxy before it.
func (w *wire) RemoteAddr() net.Addr {
	if accepted, ok := w.sock.(net.Conn); ok {
		return accepted.RemoteAddr()
	}
	return w.address(unix.Getpeername)
}

// address asks the kernel: an adopted socket was never told.
func (w *wire) address(ask func(int) (unix.Sockaddr, error)) net.Addr {
	var sa unix.Sockaddr
	w.raw.Control(func(fd uintptr) { sa, _ = ask(int(fd)) })
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}
	case *unix.SockaddrUnix:
		return &net.UnixAddr{Name: sa.Name, Net: "unix"}
	}
	return &net.TCPAddr{} // it has ended
}
