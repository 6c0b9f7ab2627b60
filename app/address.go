//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// address is where to listen.
type address struct {
	network string // tcp or unix
	where   string // HOST:PORT or a path
	mode    fs.FileMode
}

// defaultMode of a Unix socket: its user and group may connect.
const defaultMode = 0o660

func (a address) String() string {
	if a.network == "unix" {
		return "unix://" + a.where
	}
	return a.where
}

// parseAddress reads HOST:PORT, tcp://HOST:PORT or unix:///PATH?mode=0660.
func parseAddress(s string) (address, error) {
	if strings.HasPrefix(s, "unix:") {
		return parseUnix(s)
	}
	where := strings.TrimPrefix(s, "tcp://")
	_, port, err := net.SplitHostPort(where)
	if err != nil || strings.Contains(where, "/") {
		return address{}, fmt.Errorf("address %q must be HOST:PORT, tcp://HOST:PORT or unix:///PATH?mode=0660", s)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return address{}, fmt.Errorf("address %q: port %q must be a number from 0 to 65535", s, port)
	}
	return address{network: "tcp", where: where}, nil
}

func parseUnix(s string) (address, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
		return address{}, fmt.Errorf("address %q: a Unix socket must be unix:///PATH with an absolute path", s)
	}
	a := address{network: "unix", where: u.Path, mode: defaultMode}
	for key, values := range u.Query() {
		mode, err := strconv.ParseUint(values[0], 8, 9)
		if key != "mode" || err != nil {
			return address{}, fmt.Errorf("address %q: %s=%s is not known, only mode= with octal digits such as 0660", s, key, values[0])
		}
		a.mode = fs.FileMode(mode)
	}
	return a, nil
}

// listen opens the address. Its error names it.
func listen(ctx context.Context, a address) (net.Listener, error) {
	var c net.ListenConfig
	c.SetMultipathTCP(false) // the socket may be handed to programs that expect plain TCP
	if a.network == "unix" {
		if err := removeStale(a.where); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", a, err)
		}
		// The socket is made with its final mode: changed later, others could
		// connect before.
		old := syscall.Umask(int(^a.mode & 0o777))
		defer syscall.Umask(old)
	}
	l, err := c.Listen(ctx, a.network, a.where)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: another program listens there already; stop it, or choose another address with --listen", a)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", a, reason(err))
	}
	return l, nil
}

// reason is the innermost error: the outer ones repeat the address.
func reason(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// removeStale removes a socket file that nobody listens on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return nil // nothing there, or not ours to remove: Listen will say
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return nil
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path)
	}
	return nil
}
