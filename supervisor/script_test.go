//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// TestScripts runs testdata/script. Beside testscript's own commands there are
//
//	exits CODE COMMAND…    COMMAND exits with CODE
//	await REGEXP COMMAND…  COMMAND's output comes to match REGEXP
//	vanish FILE            FILE is taken away
//	signal NAME FILE       sends SIGNAME to the process whose pid FILE holds
//	ended FILE             the process whose pid FILE holds comes to an end
//	build FILE NAME HOW    makes FILE a build of app, called NAME, that behaves so (see app), as a deploy does: by renaming it there
//	artifact FILE NAME HOW [FILE…]
//	                       makes FILE an artifact with one build of app and further files, and FILE.sha256
//	sum FILE               makes FILE.sha256
//	readlink LINK TARGET   LINK says TARGET
//	mode FILE MODE         FILE has the permissions MODE
//	expand FILE            replaces $WORK in FILE
//	listening NAME         sets $NAME to the address of the supervisor's listener NAME
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: false,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else each process sleeps for a second as it exits
			e.Defer(func() { killLeft(e.WorkDir + "/.supervisor/supervisor.pid") })
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":     exits,
			"await":     await,
			"vanish":    vanish,
			"signal":    signalFile,
			"ended":     ended,
			"build":     buildApp,
			"artifact":  artifact,
			"sum":       sum,
			"readlink":  readlink,
			"mode":      mode,
			"listening": listening,
			"expand":    expand,
		},
	})
}

// killLeft ends a detached supervisor that a failed script left.
func killLeft(pidFile string) {
	if pid, err := readPID(pidFile); err == nil {
		unix.Kill(pid, unix.SIGKILL)
	}
}

func readPID(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

func arguments(ts *testscript.TestScript, neg bool, args []string, least int) {
	if neg || len(args) < least {
		ts.Fatalf("see TestScripts for how to use this")
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit status %d, want %s", code, args[0])
	}
}

// until repeats done until it is, or fails the script.
func until(ts *testscript.TestScript, what string, done func() bool) {
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("%s: not within %s", what, patience)
		}
	}
}

func await(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2)
	want := regexp.MustCompile("(?m)" + args[0])
	until(ts, args[0], func() bool {
		ts.Exec(args[1], args[2:]...) // its output tells
		return want.MatchString(ts.ReadFile("stdout") + ts.ReadFile("stderr"))
	})
}

func vanish(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1)
	until(ts, args[0]+" taken away", func() bool {
		_, err := os.Lstat(ts.MkAbs(args[0]))
		return errors.Is(err, os.ErrNotExist)
	})
}

func signalFile(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2)
	pid, err := readPID(ts.MkAbs(args[1]))
	if err == nil {
		err = unix.Kill(pid, unix.SignalNum("SIG"+args[0]))
	}
	ts.Check(err)
}

func ended(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1)
	pid, err := readPID(ts.MkAbs(args[0]))
	ts.Check(err)
	until(ts, args[0]+" ended", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || bytes.Contains(stat, []byte(") Z ")) // nobody may wait for an orphan
	})
}

func buildApp(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 3)
	self, err := os.Executable()
	ts.Check(err)
	content, err := os.ReadFile(self)
	ts.Check(err)
	content = append(content, appBuild{args[1], args[2]}.mark()...)
	path := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	ts.Check(os.WriteFile(path+".new", content, 0o755))
	ts.Check(os.Rename(path+".new", path))
}

func expand(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1)
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "$WORK", ts.Getenv("WORK"))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

func listening(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1)
	ts.Check(ts.Exec("supervisor", "status", "--json"))
	var s control.Status
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &s))
	for _, l := range s.Listen {
		if l.Name == args[0] {
			ts.Setenv(args[0], l.Address)
			return
		}
	}
	ts.Fatalf("no listener %s", args[0])
}
