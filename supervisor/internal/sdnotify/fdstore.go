package sdnotify

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sendTimeout bounds how long a datagram to a busy systemd may wait.
	sendTimeout = 2 * time.Second

	// settlePatience is the usual one of sd_notify_barrier(3).
	settlePatience = 5 * time.Second
)

// FDStore is the unit's file descriptor store (FileDescriptorStoreMax= in
// systemd.service(5)): what is in it is given to the next start of the unit by
// LISTEN_FDS, however this process ends. go-systemd does not know it.
type FDStore struct {
	Prefix   string        // of the names there
	Patience time.Duration // until systemd has handled what it was told; 0 means 5 s
}

// Keep stores duplicates of descriptors and returns when systemd has them. They
// are not watched (FDPOLL=0): that a worker has died while no supervisor runs is
// for the next one to see.
func (s FDStore) Keep(fds map[string]int) error {
	for name, fd := range fds {
		text := "FDSTORE=1\nFDPOLL=0\nFDNAME=" + s.Prefix + name
		if err := send(text, fd); err != nil {
			return fmt.Errorf("keep descriptor %s: %w", name, err)
		}
	}
	return s.Settle()
}

// Forget removes descriptors. It does not wait for systemd to have done so.
func (s FDStore) Forget(names []string) error {
	var errs []error
	for _, name := range names {
		if err := send("FDSTOREREMOVE=1\nFDNAME=" + s.Prefix + name); err != nil {
			errs = append(errs, fmt.Errorf("forget descriptor %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// Settle returns when systemd has handled everything that was told before: it
// closes the pipe that it is sent (BARRIER=1, sd_notify(3)).
func (s FDStore) Settle() error {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("wait for systemd: %w", err)
	}
	defer unix.Close(pipe[0])
	err := send("BARRIER=1", pipe[1])
	unix.Close(pipe[1])
	if err != nil {
		return fmt.Errorf("wait for systemd: %w", err)
	}
	return awaitHangup(pipe[0], cmp.Or(s.Patience, settlePatience))
}

// awaitHangup returns when nobody holds the other end of a pipe any more.
func awaitHangup(fd int, patience time.Duration) error {
	for end := time.Now().Add(patience); ; {
		left := time.Until(end).Milliseconds()
		if left <= 0 {
			return fmt.Errorf("systemd did not answer within %s", patience)
		}
		fds := []unix.PollFd{{Fd: int32(fd)}} // POLLHUP needs no asking
		n, err := unix.Poll(fds, int(left))
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("wait for systemd: %w", err)
		case n > 0:
			return nil
		}
	}
}

// send sends one datagram with duplicates of descriptors.
func send(text string, fds ...int) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return errors.New("there is no NOTIFY_SOCKET")
	}
	if strings.HasPrefix(name, "@") {
		name = "\x00" + name[1:]
	}
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	timeout := unix.NsecToTimeval(sendTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout); err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	for {
		err := unix.Sendmsg(s, []byte(text), rights, &unix.SockaddrUnix{Name: name}, unix.MSG_NOSIGNAL)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
