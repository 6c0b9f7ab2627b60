// Package leaktest fails a package's tests when they leave a goroutine, a
// descriptor or a child process behind. Only tests import it.
package leaktest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// settle is how long what ends by itself after the last test may take.
const settle = 5 * time.Second

// Main runs the tests and exits: with their status, or with 1 when they left
// something behind. Call it from TestMain, after anything that must stay for
// the whole run (a built binary's temporary folder is no descriptor) is there.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is [Main] for a TestMain that has to clean up before it exits.
func Run(m *testing.M) int {
	goroutines := goleak.IgnoreCurrent()
	before := descriptors()
	code := m.Run()
	if code != 0 {
		return code
	}
	if err := goleak.Find(goroutines); err != nil {
		fmt.Fprintln(os.Stderr, "leaktest: goroutines left behind:", err)
		code = 1
	}
	if left := wait(func() []string { return added(before, descriptors()) }); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "leaktest: descriptors left behind:\n\t%s\n", strings.Join(left, "\n\t"))
		code = 1
	}
	if left := wait(children); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "leaktest: processes left behind:\n\t%s\n", strings.Join(left, "\n\t"))
		code = 1
	}
	return code
}

// wait asks leaked until it finds nothing or settle has passed.
func wait(leaked func() []string) []string {
	for end := time.Now().Add(settle); ; time.Sleep(20 * time.Millisecond) {
		left := leaked()
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}

// descriptors maps each open descriptor of this process to what it refers to,
// without those that the runtime opens once and keeps (its poller, cgroup
// files) and the one that reads the directory.
func descriptors() map[string]string {
	open := map[string]string{}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		to, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		if err != nil || strings.HasPrefix(to, "anon_inode:[event") || strings.HasPrefix(to, "/sys/fs/cgroup/") {
			continue
		}
		open[e.Name()] = to
	}
	return open
}

func added(before, now map[string]string) []string {
	var left []string
	for fd, to := range now {
		if before[fd] != to && !strings.HasPrefix(to, "/proc/") {
			left = append(left, fd+" → "+to)
		}
	}
	slices.Sort(left)
	return left
}

// children lists this process's children, zombies included.
func children() []string {
	var left []string
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		pids, _ := os.ReadFile(list)
		for _, pid := range strings.Fields(string(pids)) {
			cmdline, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			left = append(left, pid+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return left
}
