package worker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
)

// Handles are what a supervisor holds of a running worker: with duplicates of
// them another one can go on where this one stops. A descriptor of -1 is none.
type Handles struct {
	PID     int
	Joined  bool // it has said hello to a supervisor before
	Pidfd   int  // readable once the worker is dead
	Control int  // our end of the control socket
	Stdout  int  // read ends of its output
	Stderr  int
	Keeper  int // the leash of its keeper; -1 also of one that needs none
}

// handles are duplicates, so that whoever is given them does not depend on what
// this process does with its own. What cannot be had, for want of descriptors,
// costs no more than that. There is no process yet.
func (k *kit) handles() Handles {
	h := Handles{Pidfd: -1, Control: -1, Stdout: -1, Stderr: -1, Keeper: -1}
	if fd, err := k.control.Duplicate(); err == nil {
		h.Control = fd
	}
	for f, to := range map[*os.File]*int{k.stdout: &h.Stdout, k.stderr: &h.Stderr} {
		raw, err := rawFD(f)
		if err != nil {
			continue
		}
		if fd, err := unix.FcntlInt(raw, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			*to = fd
		}
	}
	return h
}

// becomes adds the process, with a pidfd where the kernel has them (5.3).
func (h *Handles) becomes(pid int) {
	h.PID = pid
	if fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK); err == nil {
		h.Pidfd = fd
	}
}

// Handles are those of the worker. They stay open until they are closed, which
// whoever started or adopted it does once it has ended.
func (p *Process) Handles() Handles {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handles
}

// fds are the descriptors that every worker has, in a fixed order.
func (h Handles) fds() []int { return []int{h.Pidfd, h.Control, h.Stdout, h.Stderr} }

// Close lets go of the descriptors but for the leash, which the Process does.
func (h Handles) Close() {
	for _, fd := range h.fds() {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// whole says what is missing. A pid of 0 or 1 would have this process's own
// group, or everybody, killed.
func (h Handles) whole() error {
	if h.PID <= 1 {
		return fmt.Errorf("adopt worker: it cannot be process %d", h.PID)
	}
	for i, fd := range h.fds() {
		if fd < 0 {
			return fmt.Errorf("adopt worker %d: it comes without its %s", h.PID, [...]string{"pidfd", "control socket", "stdout", "stderr"}[i])
		}
	}
	return nil
}

// Adopt goes on with a worker that another supervisor has started, and owns h,
// also on an error. It is Start in everything else, but that the worker is
// nobody's child here: how it ends cannot be known ([Exit.Unknown]).
func Adopt(h Handles, stdout, stderr io.WriteCloser, notify func(Event)) (*Process, error) {
	k, death, err := h.open()
	if err != nil {
		h.Close()
		if h.Keeper >= 0 {
			unix.Close(h.Keeper) // it ends the worker
		}
		return nil, err
	}
	p := k.process(h, stdout, stderr, notify)
	if h.Keeper >= 0 {
		p.leash = &leash{fd: h.Keeper}
	}
	go p.attend(k, func() Exit { return p.watch(death) })
	return p, nil
}

// open makes of duplicates of the handles what attend needs.
func (h Handles) open() (k *kit, death *os.File, err error) {
	if err := h.whole(); err != nil {
		return nil, nil, err
	}
	k = &kit{null: -1, outW: -1, errW: -1, controlW: -1}
	defer func() {
		if err != nil {
			k.closeOurs()
		}
	}()
	files := make([]*os.File, 0, 3)
	for i, fd := range []int{h.Pidfd, h.Stdout, h.Stderr} {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			closeAll(files)
			return k, nil, fmt.Errorf("adopt worker %d: %w", h.PID, err)
		}
		unix.SetNonblock(dup, true) // for the poller; so it is already, unless a store forgot
		files = append(files, os.NewFile(uintptr(dup), [...]string{"pidfd", "stdout", "stderr"}[i]))
	}
	control, err := unix.FcntlInt(uintptr(h.Control), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		k.control, err = proto.NewConn(control)
	}
	if err != nil {
		closeAll(files)
		return k, nil, fmt.Errorf("adopt worker %d: %w", h.PID, err)
	}
	k.stdout, k.stderr = files[1], files[2]
	return k, files[0], nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// watch waits for the death of a worker that is not our child, and ends what it
// left in its group. The pid may be another process's a moment later: the group
// is ended only if nobody has it, which the kernel does not give out as a pid
// while a process of it lives.
func (p *Process) watch(death *os.File) Exit {
	defer death.Close()
	raw, err := death.SyscallConn()
	if err == nil {
		err = raw.Read(func(fd uintptr) bool { return isDead(int(fd)) })
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		unix.Kill(-p.pid, unix.SIGKILL)
	}
	p.dead = true
	close(p.ended)
	if exit, ok := exitOfOther(p.handles.Pidfd); ok {
		return exit
	}
	if p.killed {
		return Exit{Code: -1, Signal: unix.SIGKILL}
	}
	return Exit{Code: -1, Unknown: true}
}

// reapedWithin is how long it is waited for the parent of a dead process to have
// taken its exit status: the kernel tells it to others only then.
const reapedWithin = 200 * time.Millisecond

// exitOfOther is how a process ended that is not our child, where the kernel tells
// (PIDFD_INFO_EXIT, Linux 6.15).
func exitOfOther(pidfd int) (Exit, bool) {
	for end := time.Now().Add(reapedWithin); ; time.Sleep(5 * time.Millisecond) {
		info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
		err := unix.IoctlPidfdInfo(pidfd, &info)
		if err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0 {
			return exitOf(syscall.WaitStatus(info.Exit_code)), true
		}
		if err != nil && !errors.Is(err, unix.ESRCH) || time.Now().After(end) {
			return Exit{}, false
		}
	}
}

// isDead reports whether the process of a pidfd has ended (pidfd_open(2)).
func isDead(pidfd int) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return n > 0
		}
	}
}
