//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/supervisor/internal/cgroup"
	"github.com/simpletalk/simpletalk/supervisor/internal/sdnotify"
	"github.com/simpletalk/simpletalk/supervisor/internal/upgrade"
)

// leftoverGrace is how long workers that nobody knows may take to let their
// clients go: they notice by themselves that they have no supervisor.
const leftoverGrace = 40 * time.Second

// endLeftovers ends what supervisors before this one have started in its unit and
// this one does not know: workers whose state was lost, and half a supervisor
// whose upgrade was cut off. It returns when they are gone or ctx ends.
func (d *daemon) endLeftovers(ctx context.Context) {
	if !sdnotify.Present() {
		return
	}
	members, err := cgroup.Members()
	if err != nil {
		return // this is no unit
	}
	known := append(d.Workers(ctx), os.Getpid())
	var ending sync.WaitGroup
	defer ending.Wait()
	for _, pid := range members {
		group, err := unix.Getpgid(pid)
		if err != nil || slices.Contains(known, pid) || slices.Contains(known, group) || parent(pid) == os.Getpid() {
			continue // the last one is being started at this moment
		}
		fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
		if err != nil {
			continue
		}
		switch grace, ours := leftover(pid); {
		case ours:
			d.log.Warn("process of a supervisor before", "pid", pid, "grace", grace)
			ending.Go(func() { endAfter(ctx, fd, grace) })
		default:
			unix.Close(fd)
		}
	}
}

// leftover reports whether a supervisor has started pid, and how long it may take
// to end. An operator's command is none.
func leftover(pid int) (grace time.Duration, ours bool) {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return 0, false
	}
	for variable := range bytes.SplitSeq(environ, []byte{0}) {
		switch name, _, _ := bytes.Cut(variable, []byte{'='}); string(name) {
		case proto.EnvControl:
			return leftoverGrace, true
		case upgrade.EnvSuccessor:
			return 0, true
		}
	}
	return 0, false
}

// parent is the parent of a process, 0 if that is not known.
func parent(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, ok := strings.Cut(string(stat), ") ") // behind the name, proc_pid_stat(5)
	fields := strings.Fields(rest)
	if err != nil || !ok || len(fields) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(fields[1])
	return n
}

// endAfter kills the process of a pidfd, which it owns, unless it ends before.
func endAfter(ctx context.Context, pidfd int, grace time.Duration) {
	f := os.NewFile(uintptr(pidfd), "leftover")
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })()
	f.SetReadDeadline(time.Now().Add(grace))
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	ended := raw.Read(func(fd uintptr) bool {
		n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0
	})
	if ended != nil && ctx.Err() == nil {
		raw.Control(func(fd uintptr) { unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
	}
}
