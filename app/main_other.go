//go:build !linux

// Command app is the chat worker. See README.md.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Fprintf(os.Stderr, "app: runs on Linux only, this is %s: use a Linux machine, a container or WSL 2\n", runtime.GOOS)
	os.Exit(1)
}
