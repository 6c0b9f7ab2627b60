// Package listener opens the sockets that the supervisor holds for as long as
// it lives, whatever becomes of the workers that accept from them.
package listener

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
)

// Listener is a listening socket held by its raw descriptor, outside the
// runtime's poller: this process never accepts.
type Listener struct {
	Name    string
	FD      int
	Address config.Address // with the port that the kernel chose
}

// Open opens all of listens or none. An error names the socket and what is in
// the way.
func Open(listens []config.Listen) ([]Listener, error) {
	var open []Listener
	for _, l := range listens {
		opened, err := openOne(l)
		if err != nil {
			for _, o := range open {
				o.Close()
			}
			return nil, fmt.Errorf("listen on %s (%s): %w", l.Address, l.Name, err)
		}
		open = append(open, opened)
	}
	return open, nil
}

// Close closes the socket for good: clients are refused from here on.
func (l Listener) Close() error {
	if l.Address.Network == "unix" {
		os.Remove(l.Address.Path)
	}
	return unix.Close(l.FD)
}

func openOne(l config.Listen) (Listener, error) {
	opened := Listener{Name: l.Name, Address: l.Address}
	var listening net.Listener
	var err error
	if l.Address.Network == "unix" {
		listening, err = listenUnix(l.Address)
	} else {
		listening, err = listenTCP(l.Address)
	}
	if err != nil {
		return opened, reason(err)
	}
	defer listening.Close()
	if tcp, ok := listening.Addr().(*net.TCPAddr); ok {
		opened.Address.Port = tcp.Port
	}
	opened.FD, err = duplicate(listening)
	return opened, err
}

func listenTCP(a config.Address) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // Go's default would make it an MPTCP socket
	return lc.Listen(context.Background(), "tcp", a.String())
}

// listenUnix makes the socket with its final mode and takes the place of one
// that nobody listens on any more.
func listenUnix(a config.Address) (net.Listener, error) {
	if err := clearStale(a.Path); err != nil {
		return nil, err
	}
	old := unix.Umask(int(^a.Mode & 0o777))
	defer unix.Umask(old)
	l, err := net.Listen("unix", a.Path)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the duplicate lives on
	return l, nil
}

func clearStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("the path exists and is no socket: remove it or choose another")
	}
	c, err := net.Dial("unix", path)
	switch {
	case err == nil:
		c.Close()
		return syscall.EADDRINUSE
	case errors.Is(err, syscall.EAGAIN): // somebody listens: the queue is full
		return syscall.EADDRINUSE
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	default:
		return err
	}
}

// duplicate returns a raw close-on-exec copy of l's descriptor and leaves its
// flags alone.
func duplicate(l net.Listener) (int, error) {
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	var dupErr error
	err = raw.Control(func(s uintptr) { fd, dupErr = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(err, dupErr)
}

// reason says what is in the way without naming the address again.
func reason(err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	switch errno {
	case syscall.EADDRINUSE:
		return errors.New("the address is in use by another process")
	case syscall.EACCES:
		return errors.New("permission denied (ports below 1024 need CAP_NET_BIND_SERVICE, a path needs a folder you may write)")
	case syscall.EADDRNOTAVAIL:
		return errors.New("this machine has no such address")
	default:
		return errno
	}
}
