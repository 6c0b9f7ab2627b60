package worker

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
)

// execName is argv[0] of a process that has been forked and is about to become
// a worker.
const execName = "simpletalk-exec"

// execFailed is the exit status of a worker that could not be started, as a
// shell has it.
const execFailed = 126

// ExecIfAsked turns this process into the worker it was forked to be, and
// returns at once if it was not. It must be the first thing main does.
//
// Between fork and the worker stands our own executable because LISTEN_PID
// must name the worker's own process, which only that process knows.
func ExecIfAsked() {
	if len(os.Args) < 4 || os.Args[0] != execName {
		return
	}
	err := execWorker(os.Args[1], os.Args[2], os.Args[3:])
	fmt.Fprintf(os.Stderr, "supervisor: start %s: %v\n", os.Args[2], err)
	os.Exit(execFailed)
}

// execWorker replaces this process by the build on descriptor fd, or, for a
// script (fd "-"), by the file at path.
func execWorker(fd, path string, argv []string) error {
	os.Setenv(proto.EnvListenPID, strconv.Itoa(os.Getpid()))
	if fd != "-" {
		n, err := strconv.Atoi(fd)
		if err != nil {
			return fmt.Errorf("bad descriptor %q", fd)
		}
		unix.CloseOnExec(n)
		path = "/proc/self/fd/" + fd
	}
	closeOthers()
	err := unix.Exec(path, argv, os.Environ())
	if errors.Is(err, unix.ENOENT) { // the file was there when it was pinned
		return fmt.Errorf("%w: it has gone, or its interpreter or loader is missing", err)
	}
	return err
}

// closeOthers marks close-on-exec what lies beyond the control socket, the last
// descriptor that a worker is given: whoever started the supervisor may have
// left some open in it. Before Linux 5.11 they stay.
func closeOthers() {
	if control, err := strconv.Atoi(os.Getenv(proto.EnvControl)); err == nil {
		unix.CloseRange(uint(control)+1, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	}
}
