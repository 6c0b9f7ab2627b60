package listener

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/proto/address"
)

// Inherited returns the sockets that this process was started with by name, as
// systemd does it for a socket unit (sd_listen_fds(3)); none without, and none if
// they were meant for a process before. Call it once. A configured listener of the same name takes its socket instead of
// opening one, whatever address it has.
func Inherited() ([]Listener, error) {
	if os.Getenv(proto.EnvListenPID) != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	given, err := proto.Listeners()
	if err != nil {
		return nil, fmt.Errorf("sockets from systemd: %w", err)
	}
	var all []Listener
	for name, l := range given {
		fd, dupErr := duplicate(l)
		at, addrErr := addressOf(l.Addr())
		l.Close()
		if dupErr == nil {
			all = append(all, Listener{Name: name, FD: fd, Address: at, lent: true})
		}
		if err == nil && (dupErr != nil || addrErr != nil) {
			err = fmt.Errorf("socket %s from systemd: %w", name, errors.Join(dupErr, addrErr))
		}
	}
	if err != nil {
		for _, l := range all {
			l.Close()
		}
		return nil, err
	}
	return all, nil
}

// addressOf is an address as an operator writes it.
func addressOf(a net.Addr) (address.Address, error) {
	if a.Network() == "unix" {
		return address.Address{Network: "unix", Path: a.String(), Mode: 0o660}, nil
	}
	return address.Parse(a.String())
}
