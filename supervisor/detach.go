//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/simpletalk/simpletalk/supervisor/internal/statedir"
)

const (
	// envDetached is set in a supervisor that goes on in the background: the
	// descriptor on which the one in front waits for its first word.
	envDetached = "SIMPLETALK_DETACHED"

	launched = "launched"

	// logName is where a detached supervisor writes, in its state directory.
	logName = "supervisor.log"
)

// detach starts this command again in a session of its own and returns when
// that one is up, or with its error.
func detach(state string) error {
	dir, err := statedir.FindOrMake(state)
	if err != nil {
		return err
	}
	logPath := filepath.Join(dir, logName)
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("log of the detached supervisor: %w", err)
	}
	defer log.Close()
	hear, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer hear.Close()
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Args[0] = os.Args[0]
	c.Env = append(os.Environ(), envDetached+"=3")
	c.Stdout, c.Stderr, c.ExtraFiles = log, log, []*os.File{tell}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = c.Start()
	tell.Close()
	if err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	word, _ := io.ReadAll(hear)
	if string(word) == launched {
		fmt.Printf("supervisor runs in the background, pid %d, log in %s\n", c.Process.Pid, logPath)
		return c.Process.Release()
	}
	return failedToDetach(c.Wait(), string(word), logPath)
}

// failedToDetach is the error of a supervisor that ended before it was up,
// with its exit code where that was about usage.
func failedToDetach(ended error, word, logPath string) error {
	if word == "" {
		word = "ended at once, see " + logPath
	}
	err := errors.New(strings.TrimSpace(word))
	var exit *exec.ExitError
	if errors.As(ended, &exit) && exit.ExitCode() == exitUsage {
		return usage(err)
	}
	return err
}

// detached reports whether this process is the one that goes on in the
// background: --detach is still among its arguments.
func detached() bool { return os.Getenv(envDetached) != "" }

// tellLauncher says the first word to the process that detached this one, if
// one did: launched, or why not. Only the first counts.
func tellLauncher(word string) {
	fd, err := strconv.Atoi(os.Getenv(envDetached))
	if err != nil {
		return
	}
	os.Unsetenv(envDetached)
	f := os.NewFile(uintptr(fd), "launcher")
	io.WriteString(f, word)
	f.Close()
}
