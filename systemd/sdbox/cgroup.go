//go:build linux

package sdbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupPrefix begins the name of a box's cgroup: prefix, pid of the test
// process, number.
const cgroupPrefix = "sdbox."

var cgroups atomic.Int64

// cgroupBase is where cgroup2 is mounted: alone, or beside version 1.
func cgroupBase() (string, error) {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir, nil
		}
	}
	return "", errors.New("no cgroup2 is mounted on /sys/fs/cgroup")
}

// makeCgroup makes the cgroup of one box. Those of test processes that died
// before they could remove them go at this moment.
func makeCgroup() (string, error) {
	base, err := cgroupBase()
	if err != nil {
		return "", err
	}
	sweep(base)
	dir := filepath.Join(base, fmt.Sprintf("%s%d.%d", cgroupPrefix, os.Getpid(), cgroups.Add(1)))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("make cgroup: %w", err)
	}
	return dir, nil
}

func sweep(base string) {
	dirs, _ := filepath.Glob(filepath.Join(base, cgroupPrefix+"*"))
	for _, dir := range dirs {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), cgroupPrefix), ".")
		if pid, err := strconv.Atoi(owner); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			removeTree(dir) // refused while something still runs in it
		}
	}
}

// removeCgroup removes the cgroup of a box that is off. Its last processes may
// still be on their way out.
func removeCgroup(dir string) error {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := removeTree(dir)
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// removeTree removes a cgroup and those in it: a cgroup's files cannot be
// removed, so that os.RemoveAll does not do.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			err = errors.Join(err, removeTree(filepath.Join(dir, e.Name())))
		}
	}
	if err == nil {
		err = os.Remove(dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
