package cgroup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// group is what a process finds of a control group that it has made for itself,
// one member beside it and one below.
type group struct {
	Wrong   string // why there is none
	Root    string // what Members says in the group of everything, "" if it began elsewhere
	Path    string
	Made    string
	All     []int
	Members []int
}

// found makes a group and tells of it.
func found() {
	var g group
	if err := g.found(); err != nil {
		g.Wrong = err.Error()
	}
	json.NewEncoder(os.Stdout).Encode(g)
}

// found mounts version 2 where it belongs, whatever the machine has there: the
// mounts are this process's own.
func (g *group) found() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("have mounts of its own: %w", err)
	}
	if err := unix.Mount("none", mount, "cgroup2", 0, ""); err != nil {
		return fmt.Errorf("mount cgroup2: %w", err)
	}
	home, err := Path(os.Getpid())
	if err != nil {
		return err
	}
	if home == "/" {
		_, err := Members()
		g.Root = fmt.Sprint(err)
	}
	g.Made = filepath.Join(home, fmt.Sprint("cgroup-test-", os.Getpid()))
	below := filepath.Join(mount, g.Made, "a", "b")
	if err := os.MkdirAll(below, 0o755); err != nil {
		return err
	}
	defer func() {
		enter(filepath.Join(mount, home), os.Getpid())
		for _, dir := range []string{below, filepath.Dir(below), filepath.Join(mount, g.Made)} {
			os.Remove(dir)
		}
	}()
	if err := enter(filepath.Join(mount, g.Made), os.Getpid()); err != nil {
		return err
	}
	return g.look(below)
}

// look starts the members and asks who is there.
func (g *group) look(below string) error {
	g.All = []int{os.Getpid()}
	for _, dir := range []string{filepath.Dir(filepath.Dir(below)), below} {
		pid, end, err := member()
		if err != nil {
			return err
		}
		defer end()
		if err := enter(dir, pid); err != nil {
			return err
		}
		g.All = append(g.All, pid)
	}
	var err error
	if g.Path, err = Path(os.Getpid()); err != nil {
		return err
	}
	g.Members, err = Members()
	return err
}

// member starts a process that lives until end.
func member() (pid int, end func(), err error) {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), envPart+"=member", "GORACE=atexit_sleep_ms=0")
	in, err := c.StdinPipe()
	if err != nil {
		return 0, nil, err
	}
	if err := c.Start(); err != nil {
		return 0, nil, err
	}
	return c.Process.Pid, func() { in.Close(); c.Wait() }, nil
}

func enter(dir string, pid int) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

func TestMembers(t *testing.T) {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), envPart+"=founder", "GORACE=atexit_sleep_ms=0")
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	c.Stderr = os.Stderr
	out, err := c.Output()
	if errors.Is(err, fs.ErrPermission) {
		skip(t, "only root may have mounts of its own")
	}
	if err != nil {
		t.Fatal(err)
	}
	var g group
	if err := json.Unmarshal(out, &g); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if strings.HasPrefix(g.Wrong, "mount cgroup2") {
		skip(t, g.Wrong)
	}
	slices.Sort(g.All)
	slices.Sort(g.Members)
	if g.Wrong != "" || g.Path != g.Made || !slices.Equal(g.Members, g.All) || len(g.All) != 3 {
		t.Errorf("got %+v", g)
	}
	if g.Root != "" && g.Root != ErrNone.Error() {
		t.Errorf("in the group of everything: %q, want ErrNone", g.Root)
	}
}

// skip ends a test that cannot run here, or fails it where every part of the
// system has to be there.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal("REQUIRE_ALL=1, but ", why)
	}
	t.Skip(why)
}

func TestThePathIsTheKernels(t *testing.T) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Path(os.Getpid())
	if !strings.Contains("\n"+string(text), "\n0::") {
		if !errors.Is(err, ErrNone) {
			t.Errorf("without version 2: %q, %v", got, err)
		}
		return
	}
	if err != nil || !strings.Contains("\n"+string(text), "\n0::"+got+"\n") || !strings.HasPrefix(got, "/") {
		t.Errorf("got %q, %v of\n%s", got, err, text)
	}
}

func TestAProcessThatIsGoneHasNone(t *testing.T) {
	pid, end, err := member()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Path(pid); err != nil && !errors.Is(err, ErrNone) {
		t.Errorf("while it lives: %v", err)
	}
	end()
	if _, err := Path(pid); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
