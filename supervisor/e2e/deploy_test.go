package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// deployed is a site whose builds are put there by `supervisor deploy`.
type deployed struct {
	*site
	artifacts map[string]string // by commit
}

// openDeployed starts one on its first release.
func openDeployed(t *testing.T, flags ...string) *deployed {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), ended: make(chan struct{}), output: new(output)}
	d := &deployed{s, map[string]string{}}
	for commit, build := range map[string]string{
		"aaaa": binaries.app(t, "aaaa"), "bbbb": binaries.app(t, "bbbb"), "bad": badBuild(t),
	} {
		d.artifacts[commit] = makeArtifact(t, filepath.Join(s.dir, commit+".tar.gz"), map[string]string{"app": build})
	}
	if out, code := d.deploy("aaaa").run(); code != 0 {
		t.Fatalf("the first release: exit %d: %s", code, out)
	}
	s.start(flags, filepath.Join(s.dir, "current", "app"), "serve", "--data", filepath.Join(s.dir, "data"))
	return d
}

// delivery is a `supervisor deploy` that may be killed.
type delivery struct{ *exec.Cmd }

func (d *deployed) deploy(commit string, more ...string) delivery {
	args := []string{"--state", d.state(), "deploy", "--artifact", d.artifacts[commit], "--releases", filepath.Join(d.dir, "releases")}
	c := exec.Command(binaries.supervisor(d.t), append(args, more...)...)
	c.Env = append(os.Environ(), "GORACE=halt_on_error=1 atexit_sleep_ms=0")
	return delivery{c}
}

func (d delivery) run() (out string, code int) {
	text, _ := d.CombinedOutput() // the exit code tells
	return string(text), d.ProcessState.ExitCode()
}

// killAt kills it as soon as it has printed n lines, and reports whether it came
// to that.
func (d delivery) killAt(t *testing.T, n int) bool {
	t.Helper()
	out, err := d.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	killed := n == 0
	for i := 0; i < n; i++ {
		if killed = lines.Scan(); !killed {
			break
		}
	}
	if killed {
		d.Process.Kill()
	}
	io.Copy(io.Discard, out)
	d.Wait()
	return killed && d.ProcessState.ExitCode() == -1
}

// killAfter kills it after some time.
func (d delivery) killAfter(t *testing.T, after time.Duration) {
	t.Helper()
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	d.Process.Kill()
	d.Wait()
}

// current is the release that the link names, which has to be there.
func (d *deployed) current() string {
	d.t.Helper()
	target, err := os.Readlink(filepath.Join(d.dir, "current"))
	if err == nil {
		_, err = os.Stat(filepath.Join(d.dir, target, "app"))
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return filepath.Base(target)
}

// serves checks that a build serves and is current, and that nothing is left
// beside.
func (d *deployed) serves(commit, when string) {
	d.t.Helper()
	if h := d.mustHealth(); h.Commit != commit || d.current() != commit {
		d.t.Fatalf("%s: %s serves and %s is current, want %s", when, h.Commit, d.current(), commit)
	}
	entries, err := os.ReadDir(filepath.Join(d.dir, "releases"))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, ".") {
			d.t.Fatalf("%s: %s is left", when, name)
		}
	}
}

// whole checks what must hold at every moment.
func (d *deployed) whole() {
	d.t.Helper()
	d.mustHealth()
	d.current()
}

// A deploy that is killed, wherever, harms nobody; the same again, or another,
// does what it says.
func TestAKilledDeployIsHarmless(t *testing.T) {
	d := openDeployed(t, "--bake", "300ms")
	_, wait := d.load(binaries.app(t, "aaaa"), "--clients", "40", "--chatters", "5", "--rate", "20", "--rooms", "2", "--for", "20s")
	serving := "aaaa"
	other := map[string]string{"aaaa": "bbbb", "bbbb": "aaaa"}
	again := func(wish, when string) {
		t.Helper()
		want := 0
		if wish == "bad" {
			want, wish = 3, serving
		}
		out, code := d.deploy(map[bool]string{true: "bad", false: wish}[want == 3]).run()
		if code != want {
			t.Fatalf("%s, again: exit %d, want %d:\n%s", when, code, want, out)
		}
		serving = wish
		d.serves(serving, when)
	}
	lines := 0
	for more := true; more; lines++ {
		wish := other[serving]
		more = d.deploy(wish).killAt(t, lines)
		d.whole()
		again(wish, fmt.Sprintf("killed after %d lines", lines))
	}
	if lines < 10 {
		t.Errorf("it was killed at %d places only", lines)
	}
	lines = 3 // until then it is the same for both
	for more := true; more; lines++ {
		more = d.deploy("bad").killAt(t, lines)
		d.whole()
		if lines%2 == 0 { // what follows a killed bad one may be the good one, too
			again(serving, fmt.Sprintf("a bad one killed after %d lines, then the good one", lines))
		} else {
			again("bad", fmt.Sprintf("a bad one killed after %d lines", lines))
		}
	}
	for range 8 {
		after := time.Duration(rand.IntN(250)) * time.Millisecond
		wish := other[serving]
		d.deploy(wish).killAfter(t, after)
		d.whole()
		again(wish, fmt.Sprint("killed after ", after))
	}
	r, code := wait()
	checkMessages(t, r, 20)
	if code != 0 || r.Disconnects != 0 {
		t.Errorf("exit %d, %d disconnected, want nobody", code, r.Disconnects)
	}
}

// While one deploy is under way another is refused, and harms it not.
func TestTwoDeploysAtOnce(t *testing.T) {
	d := openDeployed(t, "--bake", "2s")
	first := d.deploy("bbbb")
	var out bytes.Buffer
	first.Stdout = &out
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	d.eventually("the first one has begun", func() bool {
		_, err := os.Stat(filepath.Join(d.dir, "releases", ".journal"))
		return err == nil
	})
	text, code := d.deploy("aaaa").run()
	if want := "another deploy is under way in " + filepath.Join(d.dir, "releases") + ": wait for its verdict"; code != 1 || !strings.Contains(text, want) {
		t.Errorf("exit %d, %s, want 1 and %s", code, text, want)
	}
	if err := first.Wait(); err != nil {
		t.Errorf("the first: %v: %s", err, out.String())
	}
	d.serves("bbbb", "afterwards")
}

// The supervisor's death during a deploy is no verdict: the deploy finds out what
// serves afterwards.
func TestADeployWhoseSupervisorDies(t *testing.T) {
	d := openDeployed(t, "--bake", "20s")
	c := d.deploy("bbbb")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errOut bytes.Buffer
	c.Stderr = &errOut
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "baking") {
	}
	d.kill()
	d.ended = make(chan struct{})
	args := []string{"run", "--state", d.state(), "--listen", "http=127.0.0.1:0", "--bake", "0s", "--", filepath.Join(d.dir, "current", "app"), "serve", "--data", filepath.Join(d.dir, "data")}
	d.launch(exec.Command(binaries.supervisor(t), args...))
	rest, _ := io.ReadAll(out)
	if err := c.Wait(); err != nil || !strings.Contains(string(rest), "bbbb serves") {
		t.Errorf("%v: %s%s", err, rest, errOut.String())
	}
	d.eventually("it serves", func() bool {
		st, err := d.status()
		return err == nil && st.Programs[0].Instances[0].State == "running"
	})
	st, _ := d.status()
	d.addr = st.Listen[0].Address
	d.serves("bbbb", "afterwards")
}
