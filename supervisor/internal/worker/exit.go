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
	// or by a signal. Said is why, as it told before, if it did.
	Unknown bool
	Said    string
}

func exitOf(ws syscall.WaitStatus) Exit {
	if ws.Signaled() {
		return Exit{Code: -1, Signal: ws.Signal()}
	}
	return Exit{Code: ws.ExitStatus()}
}

// String says it for people: "exit status 3", "killed by SIGSEGV".
func (e Exit) String() string {
	switch {
	case e.Unknown && e.Said != "":
		return fmt.Sprintf("ended (%s)", e.Said)
	case e.Unknown:
		return "ended, how is not known: it was started by the supervisor before this one"
	}
	if e.Signal != 0 {
		return fmt.Sprintf("killed by %s", unix.SignalName(e.Signal))
	}
	return fmt.Sprintf("exit status %d", e.Code)
}
