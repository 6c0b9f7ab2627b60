package proto

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Names of the environment by which a worker is told what it was given.
const (
	EnvControl    = "SIMPLETALK_CONTROL" // number of the control socket's descriptor
	EnvListenPID  = "LISTEN_PID"         // the process the descriptors are for (sd_listen_fds(3))
	EnvListenFDs  = "LISTEN_FDS"         // how many, from descriptor 3 on
	EnvListenName = "LISTEN_FDNAMES"     // their names, separated by colons
	EnvNotify     = "NOTIFY_SOCKET"      // where READY=1 is said (sd_notify(3))
)

// firstListenFD is SD_LISTEN_FDS_START of sd_listen_fds(3).
const firstListenFD = 3

// takeControl returns the control socket's descriptor, close-on-exec, and
// removes it from the environment, so that nobody this process starts mistakes
// it for its own.
func takeControl() (int, error) {
	value, ok := os.LookupEnv(EnvControl)
	if !ok {
		return -1, ErrUnsupervised
	}
	os.Unsetenv(EnvControl)
	fd, err := strconv.Atoi(value)
	if err != nil || fd < firstListenFD {
		return -1, fmt.Errorf("%s=%q must be the number of a descriptor", EnvControl, value)
	}
	unix.CloseOnExec(fd)
	return fd, nil
}

// takeListenFDs returns the descriptors of the LISTEN_FDS contract by name,
// close-on-exec, and removes the contract from the environment. Descriptors
// meant for another process are refused: they are not what they seem.
func takeListenFDs() ([]namedFD, error) {
	count, ok := os.LookupEnv(EnvListenFDs)
	if !ok {
		return nil, nil
	}
	pid, names := os.Getenv(EnvListenPID), os.Getenv(EnvListenName)
	for _, name := range []string{EnvListenFDs, EnvListenPID, EnvListenName} {
		os.Unsetenv(name)
	}
	return parseListenFDs(os.Getpid(), pid, count, names)
}

// namedFD is a descriptor and what it is called.
type namedFD struct {
	name string
	fd   int
}

// maxListenFDs bounds what LISTEN_FDS may claim.
const maxListenFDs = 1024

func parseListenFDs(self int, pid, count, names string) ([]namedFD, error) {
	if pid != strconv.Itoa(self) {
		return nil, fmt.Errorf("%s=%q is not this process (%d): the listening sockets were meant for another one", EnvListenPID, pid, self)
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxListenFDs {
		return nil, fmt.Errorf("%s=%q must be a number of descriptors, 0 to %d", EnvListenFDs, count, maxListenFDs)
	}
	called := slices.Repeat([]string{"unknown"}, n) // sd_listen_fds_with_names(3)'s word
	if names != "" {
		called = strings.Split(names, ":")
	}
	if len(called) != n {
		return nil, fmt.Errorf("%s=%q names %d descriptors, %s says %d", EnvListenName, names, len(called), EnvListenFDs, n)
	}
	fds := make([]namedFD, n)
	for i := range fds {
		fds[i] = namedFD{called[i], firstListenFD + i}
		unix.CloseOnExec(fds[i].fd)
	}
	return fds, nil
}
