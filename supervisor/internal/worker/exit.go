package worker

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit is how a worker ended.
type Exit struct {
	Code   int            // exit status, -1 if a signal ended it
	Signal syscall.Signal // 0 if it ended by itself

	// Unknown says that nobody here was its parent: it may have ended by itself
	// or by a signal.
	Unknown bool
}

func exitOf(ws syscall.WaitStatus) Exit {
	if ws.Signaled() {
		return Exit{Code: -1, Signal: ws.Signal()}
	}
	return Exit{Code: ws.ExitStatus()}
}

// String says it for people: "exit status 3", "killed by SIGSEGV".
func (e Exit) String() string {
	if e.Unknown {
		return "ended, nobody knows how"
	}
	if e.Signal != 0 {
		return fmt.Sprintf("killed by %s", unix.SignalName(e.Signal))
	}
	return fmt.Sprintf("exit status %d", e.Code)
}
