//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/supervisor/internal/cgroup"
	"github.com/simpletalk/simpletalk/supervisor/internal/sdnotify"
	"github.com/simpletalk/simpletalk/supervisor/internal/statedir"
)

// lockPatience is how long a supervisor that systemd started waits for the one
// that holds the lock to end by itself, and once more after it was killed.
const lockPatience = 2 * time.Second

// lock makes this process the supervisor of its state directory. The one that
// systemd started wins against what an upgrade has left in its unit, whose
// parent was killed in the middle.
func (d *daemon) lock() error {
	err := d.dir.Lock()
	if !errors.Is(err, statedir.ErrLocked) || !sdnotify.Present() {
		return err
	}
	if err = d.lockWithin(lockPatience); err == nil {
		return nil
	}
	holder := d.dir.Holder()
	if killErr := killBeside(holder); killErr != nil {
		return err // an operator's, most likely
	}
	d.log.Warn("supervisor killed that an upgrade had left", "pid", holder)
	return d.lockWithin(lockPatience)
}

func (d *daemon) lockWithin(patience time.Duration) (err error) {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if err = d.dir.Lock(); !errors.Is(err, statedir.ErrLocked) || time.Now().After(end) {
			return err
		}
	}
}

// killBeside kills a process of this one's unit.
func killBeside(pid int) error {
	if pid <= 1 {
		return fmt.Errorf("process %d", pid)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ours, err := cgroup.Path(os.Getpid())
	if err != nil {
		return err
	}
	if theirs, err := cgroup.Path(pid); err != nil || theirs != ours || ours == "/" {
		return fmt.Errorf("process %d is not of this unit", pid)
	}
	return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
}
