//go:build linux

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// residentBytes returns the resident memory of a process, 0 if it has ended
// (proc_pid_statm(5), second field).
func residentBytes(pid int) int64 {
	if pid == 0 {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
