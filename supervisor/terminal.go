//go:build linux

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// isTerminal reports whether f is a terminal.
func isTerminal(f *os.File) bool {
	raw, err := f.SyscallConn() // Fd would make the file blocking, for everybody who shares it
	if err != nil {
		return false
	}
	var not error
	err = raw.Control(func(fd uintptr) { _, not = unix.IoctlGetTermios(int(fd), unix.TCGETS) })
	return err == nil && not == nil
}
