// Package listener opens the sockets that the supervisor holds for as long as
// it lives, whatever becomes of the workers that accept from them.
package listener

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto/address"
	"github.com/simpletalk/simpletalk/supervisor/internal/config"
)

// Listener is a listening socket held by its raw descriptor, outside the
// runtime's poller: this process never accepts.
type Listener struct {
	Name    string
	FD      int
	Address address.Address // with the port that the kernel chose

	asked address.Address // as the configuration has it
	lent  bool            // by systemd, to whom its path belongs
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
	if l.Address.Network == "unix" && !l.lent {
		os.Remove(l.Address.Path)
	}
	return unix.Close(l.FD)
}

func openOne(l config.Listen) (Listener, error) {
	opened := Listener{Name: l.Name, Address: l.Address}
	listening, err := l.Address.Listen(context.Background())
	if err != nil {
		return opened, err
	}
	defer listening.Close()
	switch listening := listening.(type) {
	case *net.TCPListener:
		opened.Address.Port = listening.Addr().(*net.TCPAddr).Port
	case *net.UnixListener:
		listening.SetUnlinkOnClose(false) // the duplicate lives on
	}
	opened.FD, err = duplicate(listening)
	return opened, err
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
