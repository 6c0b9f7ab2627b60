package address

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// Listen opens the address: a *net.TCPListener, or a *net.UnixListener whose
// path has its final mode from the start and goes with it. It takes the place
// of a Unix socket that nobody listens on any more. Its error says what is in
// the way, but not where: the caller knows. The umask of the process is changed
// for a moment.
func (a Address) Listen(ctx context.Context) (net.Listener, error) {
	listen := a.listenTCP
	if a.Network == "unix" {
		listen = a.listenUnix
	}
	l, err := listen(ctx)
	if err != nil {
		return nil, reason(err)
	}
	return l, nil
}

func (a Address) listenTCP(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // Go's default would make it an MPTCP socket
	return lc.Listen(ctx, "tcp", a.String())
}

// listenUnix makes the socket with its final mode and takes the place of one
// that nobody listens on any more.
func (a Address) listenUnix(ctx context.Context) (net.Listener, error) {
	if err := clearStale(a.Path); err != nil {
		return nil, err
	}
	old := syscall.Umask(int(^a.Mode & 0o777))
	defer syscall.Umask(old)
	var lc net.ListenConfig
	return lc.Listen(ctx, "unix", a.Path)
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
