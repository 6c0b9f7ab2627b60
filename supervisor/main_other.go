//go:build !linux

// Command supervisor keeps a program's sockets open while its workers come and
// go. See README.md.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Fprintf(os.Stderr, "supervisor: runs on Linux only, this is %s: use a Linux machine, a container or WSL 2\n", runtime.GOOS)
	os.Exit(1)
}
