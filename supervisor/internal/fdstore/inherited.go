package fdstore

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
)

// Prefix begins the names that descriptors of this package have at a Keeper: a
// socket unit may give others.
const Prefix = "supervisor/"

// firstListenFD is SD_LISTEN_FDS_START of sd_listen_fds(3).
const firstListenFD = 3

// Inherited takes from what systemd has started this process with
// (sd_listen_fds(3)) what a supervisor before had kept, by its name without
// [Prefix]. The contract in the environment is left as if there had been the
// rest only. Call it once, before anything else reads the contract. Of two
// descriptors of one name the first counts.
func Inherited() (map[string]int, error) {
	if os.Getenv(proto.EnvListenPID) != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	names := strings.Split(os.Getenv(proto.EnvListenName), ":")
	n, err := strconv.Atoi(os.Getenv(proto.EnvListenFDs))
	if err != nil || n != len(names) {
		return nil, nil // whoever reads the rest says what is wrong with it
	}
	left := map[string]int{}
	var others []string
	for i, name := range names {
		fd := firstListenFD + i
		if ours, is := strings.CutPrefix(name, Prefix); is {
			err = take(left, ours, fd)
		} else {
			err = move(fd, firstListenFD+len(others))
			others = append(others, name)
		}
		if err != nil {
			return nil, fmt.Errorf("descriptor %d (%s) from systemd: %w", fd, name, err)
		}
	}
	if len(others) == 0 {
		for _, name := range []string{proto.EnvListenFDs, proto.EnvListenPID, proto.EnvListenName} {
			os.Unsetenv(name)
		}
		return left, nil
	}
	os.Setenv(proto.EnvListenFDs, strconv.Itoa(len(others)))
	os.Setenv(proto.EnvListenName, strings.Join(others, ":"))
	return left, nil
}

// take moves fd out of the row, so that the others can close up.
func take(left map[string]int, name string, fd int) error {
	defer unix.Close(fd)
	if _, twice := left[name]; twice {
		return nil
	}
	const beyond = firstListenFD + 2*Max
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, beyond)
	if err != nil { // fewer descriptors are allowed: anywhere that is not in the row
		dup, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, fd)
	}
	if err != nil {
		return err
	}
	left[name] = dup
	return nil
}

// move gives a descriptor the number to.
func move(fd, to int) error {
	if fd == to {
		return nil
	}
	defer unix.Close(fd)
	return unix.Dup3(fd, to, unix.O_CLOEXEC)
}
