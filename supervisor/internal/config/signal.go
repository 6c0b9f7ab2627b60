package config

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// SignalName is the name of a signal, such as SIGTERM.
func SignalName(s syscall.Signal) string { return unix.SignalName(s) }

// ParseSignal reads the name of a signal, such as TERM or SIGTERM.
func ParseSignal(name string) (s syscall.Signal, ok bool) {
	s = unix.SignalNum("SIG" + strings.TrimPrefix(name, "SIG"))
	return s, s != 0
}
