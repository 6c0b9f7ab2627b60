//go:build linux

package sdbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// failing is how TestFailsInTheMiddle has to fail.
const failing = "SDBOX_TEST_FAILS_BY"

// spacesOf are the namespaces of a process as /proc shows them.
func spacesOf(pid string) (spaces []string) {
	for _, kind := range []string{"pid", "mnt", "uts", "ipc", "net", "cgroup"} {
		if s, err := os.Readlink(filepath.Join("/proc", pid, "ns", kind)); err == nil {
			spaces = append(spaces, s)
		}
	}
	return spaces
}

// TestFailsInTheMiddle is run by TestBoxIsGoneAfterAFailure, in a process of its
// own.
func TestFailsInTheMiddle(t *testing.T) {
	how := os.Getenv(failing)
	if how == "" {
		t.Skip("it is for TestBoxIsGoneAfterAFailure")
	}
	b := Boot(t, Options{})
	b.Start(b.Command(t.Context(), "sleep", "infinity"))
	if how != "kill" { // what is outside the box is not ended by the kernel
		b.Start(b.Network.Command(t.Context(), "sleep", "infinity"))
	}
	leader, _, _ := b.m.now()
	os.Stdout.WriteString("spaces " + strings.Join(spacesOf(strconv.Itoa(leader.Pid)), " ") + "\n")
	switch how {
	case "fatal":
		t.Fatal("as told")
	case "panic":
		panic("as told")
	case "kill":
		self, _ := os.FindProcess(os.Getpid())
		self.Kill()
		select {}
	}
}

func TestBoxIsGoneAfterAFailure(t *testing.T) {
	need(t)
	for _, how := range []string{"fatal", "panic", "kill"} {
		t.Run(how, func(t *testing.T) {
			tmp := t.TempDir()
			pid, out, spaces := failBy(t, how, tmp)
			own := spacesOf("self")
			for _, s := range spaces {
				if !slices.Contains(own, s) {
					empties(t, s)
				}
			}
			if how == "kill" {
				return // nobody was left to remove folder and cgroup
			}
			if left, _ := filepath.Glob(filepath.Join(tmp, "*")); len(left) > 0 {
				t.Errorf("folders left: %v", left)
			}
			if left := cgroupsOf(pid); len(left) > 0 {
				t.Errorf("cgroups left: %v", left)
			}
			if how == "fatal" && !strings.Contains(out, "journal of the box") {
				t.Errorf("the journal was not shown:\n%s", out)
			}
		})
	}
}

// failBy runs a test that fails after it has booted a box, with its temporary
// folders in tmp. It returns the process, what it wrote, and the box's
// namespaces.
func failBy(t *testing.T, how, tmp string) (pid int, out string, spaces []string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFailsInTheMiddle$", "-test.v")
	c.Env = append(os.Environ(), failing+"="+how, "TMPDIR="+tmp)
	text, err := c.CombinedOutput()
	if err == nil {
		t.Fatalf("the test did not fail:\n%s", text)
	}
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(line, "spaces "); ok {
			spaces = strings.Fields(list)
		}
	}
	if len(spaces) == 0 {
		t.Fatalf("the test did not get to its middle:\n%s", text)
	}
	return c.Process.Pid, string(text), spaces
}

// empties checks that no process is in the namespace, at the latest once those
// that were killed have ended.
func empties(t *testing.T, space string) {
	t.Helper()
	var in []string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if in = processesIn(space); len(in) == 0 {
			return
		}
	}
	t.Errorf("%s has processes left: %v", space, in)
}

func processesIn(space string) (pids []string) {
	links, _ := filepath.Glob("/proc/[0-9]*/ns/*")
	for _, l := range links {
		if s, err := os.Readlink(l); err == nil && s == space {
			pids = append(pids, strings.Split(l, "/")[2])
		}
	}
	return pids
}

// What a killed test process could not remove the next box removes.
func TestBoxSweepsUp(t *testing.T) {
	need(t)
	base, err := cgroupBase()
	if err != nil {
		t.Fatal(err)
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(base, cgroupPrefix+strconv.Itoa(dead.Process.Pid)+".1")
	if err := os.MkdirAll(filepath.Join(left, "init.scope"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := makeCgroup()
	if err != nil {
		t.Fatal(err)
	}
	defer removeCgroup(dir)
	if _, err := os.Stat(left); err == nil {
		t.Errorf("%s is still there", left)
	}
}
