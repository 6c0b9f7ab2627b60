//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/supervisor/internal/sdnotify"
)

// A supervisor in a terminal or a container has somebody wait for its process: a
// shell, a script, the container itself. When it has been replaced, that process
// stays: it becomes a stand-in, which passes signals on to the supervisor and ends
// as that does. systemd follows the PID file instead.
const (
	// standInName is argv[0] of a stand-in.
	standInName = "simpletalk-stand-in"

	// envStandIn is the process that stays, in the environment of supervisors that
	// took over from it.
	envStandIn = "SIMPLETALK_STAND_IN"
)

// standsIn reports whether this process is to stay.
func (d *daemon) standsIn() bool {
	return !sdnotify.Present() && !d.detach && os.Getenv(envStandIn) == strconv.Itoa(os.Getpid())
}

// announceStandIn tells supervisors after this one who stays.
func (d *daemon) announceStandIn() {
	if !sdnotify.Present() && !d.detach && os.Getenv(envStandIn) == "" {
		os.Setenv(envStandIn, strconv.Itoa(os.Getpid()))
	}
}

// standIn turns this process into the stand-in of supervisor pid. It returns only
// if that cannot be.
func standIn(pidFile string, pid int) {
	syscall.Exec("/proc/self/exe", []string{standInName, pidFile, strconv.Itoa(pid)}, os.Environ())
}

// StandInIfAsked makes this process the stand-in it was turned into, and returns
// at once if it was not.
func standInIfAsked() {
	if len(os.Args) != 3 || os.Args[0] != standInName {
		return
	}
	pid, err := strconv.Atoi(os.Args[2])
	if err != nil || pid <= 1 {
		fmt.Fprintf(os.Stderr, "supervisor: stand in for process %q: no such process\n", os.Args[2])
		os.Exit(exitError)
	}
	os.Exit(stayFor(os.Args[1], pid))
}

// stayFor waits for supervisor pid, and for those that take over from it, and
// returns the exit status of the last one. What else ends up with it is reaped.
func stayFor(pidFile string, pid int) int {
	os.WriteFile("/proc/self/comm", []byte("supervisor"), 0) // else ps calls it exe
	unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)      // later supervisors become our children
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGCHLD)
	for {
		if status, ended := reap(pid); ended {
			next := successor(pidFile, pid)
			if next == 0 {
				return exitStatus(status)
			}
			pid = next
			continue
		}
		if sig := <-signals; sig != syscall.SIGCHLD {
			syscall.Kill(pid, sig.(syscall.Signal))
		}
	}
}

// reap takes the ends of children, and reports whether pid's is among them.
func reap(pid int) (status syscall.WaitStatus, ended bool) {
	for {
		var ws syscall.WaitStatus
		child, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		switch {
		case err == syscall.EINTR:
		case child == pid:
			return ws, true
		case err == syscall.ECHILD: // not even pid: it was somebody else's
			return 0, true
		case child <= 0:
			return 0, false
		}
	}
}

// successor is the supervisor that the PID file names by now, if it is another
// one that lives; else 0.
func successor(pidFile string, pid int) int {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return 0
	}
	next, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || next <= 1 || next == pid || syscall.Kill(next, 0) != nil {
		return 0
	}
	return next
}

// exitStatus is how a shell tells an end: 128 and the number of a signal.
func exitStatus(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// leaveTerminalGroup makes a supervisor that took over deaf to the terminal's own
// signals: its stand-in gets them and passes them on, once.
func leaveTerminalGroup() {
	if os.Getenv(envStandIn) == "" {
		return
	}
	signal.Ignore(syscall.SIGTTOU) // it may write from the background
	syscall.Setpgid(0, 0)
}

// watchStandIn calls ended when this supervisor's stand-in has ended before it: then
// nobody waits for it any more.
func watchStandIn(ctx context.Context, ended func()) {
	pid, err := strconv.Atoi(os.Getenv(envStandIn))
	if err != nil || pid == os.Getpid() {
		return
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		ended()
		return
	}
	f := os.NewFile(uintptr(fd), "stand-in")
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })()
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	if err := raw.Read(func(fd uintptr) bool {
		n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0
	}); err == nil {
		ended()
	}
}
