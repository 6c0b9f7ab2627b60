//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// orphanAge is how long a dead child that nobody has waited for is left to whoever
// might: what the supervisor starts itself is waited for at once.
const orphanAge = 2 * time.Second

// reapOrphans reaps, as process 1 of a container has to, what others have left to
// it, until ctx ends. Any other process is left nothing.
func reapOrphans(ctx context.Context) {
	if os.Getpid() != 1 {
		return
	}
	tick := time.NewTicker(orphanAge)
	defer tick.Stop()
	var before map[int]bool
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var orphans []int
		orphans, before = overdue(before, deadChildren())
		for _, pid := range orphans {
			syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
	}
}

// overdue returns those of dead that were dead at the look before, and the others
// for the next one.
func overdue(before map[int]bool, dead []int) (orphans []int, next map[int]bool) {
	next = map[int]bool{}
	for _, pid := range dead {
		if before[pid] {
			orphans = append(orphans, pid)
		} else {
			next[pid] = true
		}
	}
	return orphans, next
}

// deadChildren are the children of this process that wait to be reaped
// (proc_pid_stat(5): state and ppid, behind the name).
func deadChildren() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	mine := fmt.Appendf(nil, ") Z %d ", os.Getpid())
	for _, f := range files {
		stat, err := os.ReadFile(f)
		if err != nil || !bytes.Contains(stat, mine) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
