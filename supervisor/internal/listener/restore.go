package listener

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto/address"
)

// Names in the store: whose socket it is, its name, and the address that was
// asked for, which has characters that a name may not have.
const (
	storedOwn  = "listener/"
	storedLent = "listener-lent/"
)

func (l Listener) stored() string {
	prefix := storedOwn
	if l.lent {
		prefix = storedLent
	}
	return prefix + l.Name + "/" + base64.RawURLEncoding.EncodeToString([]byte(l.asked.String()))
}

// hold registers l. What systemd lends it gives to the next start by itself. That
// a socket would not outlive a crash is no reason not to open it.
func (s *Set) hold(l Listener) {
	switch {
	case s.Store == nil:
	case l.lent:
		s.Store.Hold(l.stored(), l.FD)
	default:
		s.Store.Put(map[string]int{l.stored(): l.FD})
	}
}

func (s *Set) forget(l Listener) {
	if s.Store != nil {
		s.Store.Remove(l.stored())
	}
}

// Restore opens again what a supervisor before has left in the store. What
// cannot be understood is an error, and left there; the rest is open all the same.
func (s *Set) Restore() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, prefix := range []string{storedOwn, storedLent} {
		for _, name := range s.Store.Left(prefix) {
			fd, _ := s.Store.Peek(name)
			l, err := restored(strings.TrimPrefix(name, prefix), fd, prefix == storedLent)
			if err != nil {
				errs = append(errs, fmt.Errorf("socket %s of the supervisor before: %w", name, err))
				continue
			}
			s.Store.Take(name)
			unix.SetNonblock(fd, true) // as it was, unless whoever passed it on forgot
			if l.lent {
				s.Store.Hold(name, fd)
			}
			s.open = append(s.open, l)
		}
	}
	return errors.Join(errs...)
}

// restored reads what stored has written of the socket behind fd.
func restored(stored string, fd int, lent bool) (Listener, error) {
	name, encoded, _ := strings.Cut(stored, "/")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return Listener{}, err
	}
	asked, err := address.Parse(string(text))
	if err != nil {
		return Listener{}, err
	}
	bound, err := boundAddress(fd)
	if err != nil {
		return Listener{}, err
	}
	at := asked
	at.Port = bound.Port
	if lent { // its address may be any
		at = bound
	}
	return Listener{Name: name, FD: fd, Address: at, asked: asked, lent: lent}, nil
}

// boundAddress is where a socket listens.
func boundAddress(fd int) (address.Address, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return address.Address{}, fmt.Errorf("getsockname: %w", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return addressOf(&net.TCPAddr{IP: sa.Addr[:], Port: sa.Port})
	case *unix.SockaddrInet6:
		return addressOf(&net.TCPAddr{IP: sa.Addr[:], Port: sa.Port})
	case *unix.SockaddrUnix:
		return addressOf(&net.UnixAddr{Name: sa.Name, Net: "unix"})
	default:
		return address.Address{}, fmt.Errorf("address family of %T is not supported", sa)
	}
}
