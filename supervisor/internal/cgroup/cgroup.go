// Package cgroup lists the processes beside this one in its control group
// (cgroups(7), version 2): under systemd, those of its unit.
package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mount is where the unified hierarchy is (file-hierarchy(7)).
const mount = "/sys/fs/cgroup"

// ErrNone says that this process is in no control group of version 2, or in that
// of everything.
var ErrNone = errors.New("no control group of its own")

// Path is the control group of a process, such as
// "/system.slice/simpletalk.service".
func Path(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path, nil
		}
	}
	return "", ErrNone
}

// Members are the processes in the control group of this one, itself among them,
// and of those below it.
func Members() ([]int, error) {
	path, err := Path(os.Getpid())
	if err != nil {
		return nil, err
	}
	if path == "/" {
		return nil, ErrNone
	}
	var pids []int
	err = filepath.WalkDir(mount+path, func(dir string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		some, err := procs(dir)
		pids = append(pids, some...)
		return err
	})
	return pids, err
}

func procs(dir string) (pids []int, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	for _, field := range bytes.Fields(text) {
		if pid, err := strconv.Atoi(string(field)); err == nil && pid > 0 { // 0 is one of another PID namespace
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
