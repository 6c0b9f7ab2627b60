package e2e

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func kill(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }

// killAndWatch kills a process and returns when all of it is gone, and how long
// that took: with thousands of sockets to close it is milliseconds, in which
// they still take what is sent to them.
func (s *site) killAndWatch(pid int) span {
	s.t.Helper()
	from := time.Now()
	if err := kill(pid); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("the killed process is gone", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
	return span{from, time.Now()}
}

// lives reports whether a process has not ended; whether its parent has heard of
// that does not count.
func lives(pid int) bool {
	stat, err := os.ReadFile(procDir(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func suspend(pid int) error  { return syscall.Kill(pid, syscall.SIGSTOP) }
func procDir(pid int) string { return "/proc/" + strconv.Itoa(pid) }

// resident returns a process's resident memory in bytes (proc_pid_statm(5)).
func resident(t testing.TB, pid int) int64 {
	t.Helper()
	statm, err := os.ReadFile(procDir(pid) + "/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// share is what a process has allocated, in bytes, swapped or not: of what it
// shares with n others an n-th, and nothing of its program, which the kernel
// takes away and brings back (proc_pid_smaps(5)).
func share(t testing.TB, pid int) (total int64) {
	t.Helper()
	rollup, err := os.ReadFile(procDir(pid) + "/smaps_rollup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(rollup)) {
		if f := strings.Fields(line); slices.Contains([]string{"Pss_Anon:", "Pss_Shmem:", "SwapPss:"}, f[0]) {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			total += kb << 10
		}
	}
	return total
}

// worker is the pid of the serving worker.
func (s *site) worker() int {
	s.t.Helper()
	st, err := s.status()
	if err != nil {
		s.t.Fatal(err)
	}
	return st.Programs[0].Instances[0].PID
}
