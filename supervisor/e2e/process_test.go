package e2e

import (
	"strconv"
	"syscall"
)

func kill(pid int) error     { return syscall.Kill(pid, syscall.SIGKILL) }
func suspend(pid int) error  { return syscall.Kill(pid, syscall.SIGSTOP) }
func procDir(pid int) string { return "/proc/" + strconv.Itoa(pid) }
