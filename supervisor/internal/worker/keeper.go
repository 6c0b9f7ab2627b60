package worker

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A program that does not speak our protocol would not notice that its supervisor
// has died for good. A keeper does for it: a process of our own executable that
// holds one end of a socket, its leash, and ends the program's process group when
// the other end is gone. A supervisor that goes on with the program goes on with
// the leash.

// keeperName is argv[0] of a keeper.
const keeperName = "simpletalk-keeper"

// Descriptors of a keeper, behind the standard ones.
const (
	keeperLeash = 3
	keeperPidfd = 4 // of the program
)

// Guard says how a program is ended that nobody supervises any more.
type Guard struct {
	Signal syscall.Signal // asks it to
	Within time.Duration  // until SIGKILL
}

// KeepIfAsked makes this process the keeper it was forked to be, and returns at
// once if it was not. It must be called before anything else is started.
func KeepIfAsked() {
	if len(os.Args) != 4 || os.Args[0] != keeperName {
		return
	}
	group, err := strconv.Atoi(os.Args[1])
	signal, err2 := strconv.Atoi(os.Args[2])
	within, err3 := time.ParseDuration(os.Args[3])
	if err := errors.Join(err, err2, err3); err != nil || group <= 1 {
		fmt.Fprintf(os.Stderr, "supervisor: keep process group %s: %v\n", os.Args[1], err)
		os.Exit(execFailed)
	}
	os.WriteFile("/proc/self/comm", []byte("keeper"), 0) // else ps calls it exe
	keep(group, Guard{syscall.Signal(signal), within})
	os.Exit(0)
}

// keep returns when the program has ended, or is somebody else's to watch.
func keep(group int, g Guard) {
	leash, pidfd := unix.PollFd{Fd: keeperLeash, Events: unix.POLLIN}, unix.PollFd{Fd: keeperPidfd, Events: unix.POLLIN}
	if await(-1, leash, pidfd) == keeperPidfd {
		return
	}
	if n, err := unix.Read(keeperLeash, make([]byte, 1)); n > 0 || err != nil {
		return // a word: it is not needed any more
	}
	unix.Kill(-group, g.Signal)
	await(g.Within, pidfd)
	unix.Kill(-group, unix.SIGKILL) // what the program leaves in its group too
}

// await returns the first descriptor that is readable, -1 if none is in time. A
// negative time is for ever.
func await(within time.Duration, fds ...unix.PollFd) int {
	end := time.Now().Add(within)
	for {
		wait := -1
		if within >= 0 {
			wait = max(0, int(time.Until(end).Milliseconds()))
		}
		n, err := unix.Poll(fds, wait)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || n == 0:
			return -1
		}
		for _, fd := range fds {
			if fd.Revents != 0 {
				return int(fd.Fd)
			}
		}
	}
}

// leash is our end of a keeper's.
type leash struct {
	fd  int
	pid int // of the keeper; 0: it is not our child
}

// startKeeper starts the keeper of a process group, whose first process pidfd is.
// The leash is close-on-exec, and the caller's.
func startKeeper(group, pidfd int, g Guard) (*leash, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("start keeper: %w", err)
	}
	defer unix.Close(fds[1])
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(fds[0])
		return nil, fmt.Errorf("start keeper: %w", err)
	}
	defer unix.Close(null)
	argv := []string{keeperName, strconv.Itoa(group), strconv.Itoa(int(g.Signal)), g.Within.String()}
	pid, err := syscall.ForkExec("/proc/self/exe", argv, &syscall.ProcAttr{
		Env:   []string{"GOMAXPROCS=1"},
		Files: []uintptr{uintptr(null), uintptr(null), uintptr(null), uintptr(fds[1]), uintptr(pidfd)},
		Sys:   &syscall.SysProcAttr{Setpgid: true}, // a signal to the program is not for it
	})
	if err != nil {
		unix.Close(fds[0])
		return nil, fmt.Errorf("start keeper: %w", err)
	}
	return &leash{fds[0], pid}, nil
}

// release says that the program needs no keeper any more, and returns when it has
// ended.
func (l *leash) release() {
	unix.Write(l.fd, []byte{'x'})
	unix.Close(l.fd)
	for l.pid > 0 {
		if _, err := syscall.Wait4(l.pid, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

// Guard has the worker end as g says when no supervisor is left, until Unguard or
// its end. Its handles have the leash from then on. After an Unguard it does
// nothing: the worker may say that it ends by itself while it is being guarded.
func (p *Process) Guard(g Guard) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead || p.free || p.leash != nil || p.handles.Pidfd < 0 {
		return nil
	}
	l, err := startKeeper(p.pid, p.handles.Pidfd, g)
	if err != nil {
		return err
	}
	p.leash, p.handles.Keeper = l, l.fd
	return nil
}

// Unguard says that the worker ends by itself.
func (p *Process) Unguard() {
	p.mu.Lock()
	l := p.leash
	p.leash, p.handles.Keeper, p.free = nil, -1, true
	p.mu.Unlock()
	if l != nil {
		l.release()
	}
}
