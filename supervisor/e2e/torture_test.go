package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Whatever operators and the machine do to a supervisor, in whatever order: it
// answers each of them in one line, nobody who asks the chat for a page is let
// down without a reason, and in the end everything is as it was asked to be,
// with nothing left over. TORTURE_SEED repeats a run, SOAK=1 is the long form.
func TestTorture(t *testing.T) {
	length := 10 * time.Second
	if os.Getenv("SOAK") != "" {
		length = 145 * time.Second
	}
	seed := rand.Uint64()
	if s := os.Getenv("TORTURE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	for name, variant := range map[string]uint64{"a small disk": 0, "few descriptors": 1} {
		t.Run(name, func(t *testing.T) {
			t.Logf("TORTURE_SEED=%d", seed)
			x := newTorture(t, seed, variant)
			before := x.footprint()
			probes := x.probe()
			x.renewing = true
			x.reconfigure()
			for end := time.Now().Add(length); time.Now().Before(end) && !t.Failed(); {
				x.turn()
			}
			x.release()
			x.checkSettled()
			x.checkRenewed()
			x.restore() // the chat runs now: nobody waits for it any more
			x.checkLogFiles()
			x.checkProbes(probes())
			x.checkFootprint(before)
			x.checkEnd()
			if t.Failed() {
				t.Logf("what was done:\n%s", strings.Join(x.done[max(0, len(x.done)-60):], "\n"))
			}
			t.Logf("%d turns", x.turns)
		})
	}
}

// wanted is what becomes of a program when everything has settled.
type wanted int

const (
	unknown wanted = iota // what was asked for failed halfway
	runs
	stopped
)

// torture is a supervisor of several programs that is treated badly, one thing
// after the other.
type torture struct {
	*site
	t    *testing.T
	rng  *rand.Rand
	disk string // a small file system that has the record, "" without
	logs string // one that has log files, or a folder
	few  bool   // descriptors

	// What the configuration says.
	mode     string // $MODE of the programs
	night    bool   // their environment of that name is chosen
	extra    bool   // it names that program, whose memory grows beyond its limit
	renewing bool   // the chat has a schedule

	want   map[string]wanted
	copies map[string]int      // instances of programs that were scaled
	saved  *output             // of `supervisor watch`
	totals map[string]float64  // counters, as they were told last
	good   map[string][]string // builds by program
	bad    map[string]string   // builds by what is bad about them
	held   []net.Conn          // clients that follow logs and do not read
	hurt   []span              // when requests to the chat may fail
	down   time.Time           // since when the chat does not run
	added  int
	turns  int
	done   []string
}

func newTorture(t *testing.T, seed, variant uint64) *torture {
	t.Helper()
	x := &torture{
		site: &site{t: t, dir: t.TempDir(), ended: make(chan struct{}), output: new(output)},
		t:    t, rng: rand.New(rand.NewPCG(seed, variant)), few: variant == 1, mode: "first",
		want:   map[string]wanted{"chat": runs, "echo": runs, "plain": runs},
		copies: map[string]int{}, totals: map[string]float64{},
	}
	x.build()
	if err := os.Mkdir(x.state(), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, builds := range x.good {
		x.place(name, builds[0])
	}
	if x.logs = x.mount("5m"); x.logs == "" {
		x.logs = t.TempDir()
	}
	x.configure("")
	args := []string{binaries.supervisor(t), "run", "--state", x.state(), "--config", x.file("supervisor.toml")}
	if x.few {
		args = append([]string{"sh", "-c", `ulimit -n 400; exec "$0" "$@"`}, args...)
	}
	c := exec.Command(args[0], args[1:]...)
	if x.disk = x.mount("64k"); x.disk != "" {
		c.Env = append(os.Environ(), "STATE_DIRECTORY="+x.disk)
	}
	x.launch(c)
	t.Cleanup(x.release) // before the supervisor is stopped
	x.awaitAll("running")
	x.call([]int{0}, "reload", "--wait") // from here on there is a build to roll back to
	x.addr = x.address("http")
	x.watch()
	return x
}

func (x *torture) file(name string) string { return filepath.Join(x.dir, name) }

// build makes the builds that the programs get.
func (x *torture) build() {
	tinyA, tinyB := binaries.tiny(x.t, "aaaa"), binaries.tiny(x.t, "bbbb")
	const loop = "#!/bin/sh\ntrap 'exit 0' TERM\n%s ready || exit 1\nwhile :; do echo still here; sleep 0.2; done\n"
	for name, tiny := range map[string]string{"plain-a": tinyA, "plain-b": tinyB} {
		script(fmt.Sprintf(loop, tiny))(x.t, x.file(name))
	}
	x.good = map[string][]string{
		"chat":  {binaries.app(x.t, "aaaa"), binaries.app(x.t, "bbbb")},
		"echo":  {tinyA, tinyB},
		"plain": {x.file("plain-a"), x.file("plain-b")},
	}
	x.place("hoard", tinyA)
	x.bad = map[string]string{}
	for what, write := range map[string]func(*testing.T, string){
		"crashes":      script("#!/bin/sh\necho no database here >&2\nexit 7\n"),
		"crashes late": script("#!/bin/sh\n" + tinyA + " ready\nsleep 0.1\nexit 7\n"),
		"half-written": copied(tinyA, 2, 0o755),
	} {
		x.bad[what] = x.file("bad " + what)
		write(x.t, x.bad[what])
	}
}

// mount returns a small file system, "" where none may be had.
func (x *torture) mount(size string) string {
	if x.few || os.Getuid() != 0 {
		return ""
	}
	dir := x.t.TempDir()
	if err := unix.Mount("simpletalk-test", dir, "tmpfs", 0, "size="+size+",mode=700"); err != nil {
		if os.Getenv("REQUIRE_ALL") == "1" {
			x.t.Fatal("REQUIRE_ALL=1, but mount: ", err)
		}
		return ""
	}
	x.t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			x.t.Error(err)
		}
	})
	return dir
}

// configure writes the configuration, with mistake in it.
func (x *torture) configure(mistake string) {
	x.t.Helper()
	var text strings.Builder
	if x.night {
		fmt.Fprintln(&text, "environment = 'night'")
	}
	fmt.Fprintf(&text, "[metrics]\nlisten = %q\n", "unix://"+x.file("metrics.sock"))
	fmt.Fprintln(&text, "[listen]\nhttp = '127.0.0.1:0'\necho = '127.0.0.1:0'")
	if x.extra {
		fmt.Fprintln(&text, "extra = '127.0.0.1:0'")
	}
	program := func(name, command, listen string) {
		fmt.Fprintf(&text, `
[program.%s]
command = [%s]
listen = [%s]
env_file = "env"
environment.night = { env = { MODE = "night" } }
ready_timeout = "8s"
bake = "300ms"
drain = { timeout = "3s" }
restart = { min = "20ms", max = "500ms", reset_after = "1s" }
log = { memory = "64K", file = %q, format = "json", max_size = "1M", keep = 2 }
`, name, command, listen, filepath.Join(x.logs, name+".log"))
	}
	program("chat", `"./chat", "serve", "--data", "data"`, `"http"`)
	fmt.Fprintf(&text, "dir = %q\n", x.dir)
	if x.renewing {
		fmt.Fprintln(&text, "cron = '@every 3s'")
	}
	program("echo", `"./echo", "talk"`, `"echo"`)
	program("plain", `"./plain"`, "")
	if x.extra {
		program("extra", `"./hoard", "hoard"`, `"extra"`)
		fmt.Fprintln(&text, "memory_max = '32M'")
	}
	fmt.Fprintln(&text, mistake)
	x.write("env", "MODE="+x.mode+"\n")
	x.write("supervisor.toml", text.String())
}

func (x *torture) write(name, text string) {
	x.t.Helper()
	if err := os.WriteFile(x.file(name+".new"), []byte(text), 0o600); err != nil {
		x.t.Fatal(err)
	}
	if err := os.Rename(x.file(name+".new"), x.file(name)); err != nil {
		x.t.Fatal(err)
	}
}

// place puts a build in a program's place, as a deploy does.
func (x *torture) place(program, build string) {
	x.t.Helper()
	link := x.file(program)
	os.Remove(link + ".new")
	if err := os.Symlink(build, link+".new"); err != nil {
		x.t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		x.t.Fatal(err)
	}
}

// pick returns one of the programs there are.
func (x *torture) pick() string {
	names := slices.Sorted(maps.Keys(x.want))
	return names[x.rng.IntN(len(names))]
}

// atRun returns the programs that were added at run time.
func (x *torture) atRun() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(x.want)), func(name string) bool { return !strings.HasPrefix(name, "at-run-") })
}

func configured(name string) bool { return !strings.HasPrefix(name, "at-run-") }

func (x *torture) note(format string, args ...any) {
	x.done = append(x.done, time.Now().Format("05.000 ")+fmt.Sprintf(format, args...))
}

// call runs a command that has to end with one of codes, in time, and to say so
// in a line.
func (x *torture) call(codes []int, args ...string) (out string, code int) {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, errOut, code := x.ask(ctx, args...)
	if ctx.Err() != nil {
		x.t.Errorf("%q did not end within %s", args, patience)
	}
	if !slices.Contains(codes, code) {
		x.t.Errorf("%q: exit %d, want one of %v: %s%s", args, code, codes, out, errOut)
	}
	told := strings.Count(errOut, "\n") == 1 && strings.HasPrefix(errOut, "supervisor: ")
	switch code {
	case 0:
		told = out != "" && errOut == ""
	case 3:
		told = strings.Contains(out, "rejected ") && errOut == ""
	case 4:
		told = strings.Contains(out, "returned ") && errOut == ""
	}
	if !told {
		x.t.Errorf("%q: exit %d and not one line: %q and %q", args, code, out, errOut)
	}
	return out, code
}

func (x *torture) ask(ctx context.Context, args ...string) (out, errOut string, code int) {
	var o, e bytes.Buffer
	c := exec.CommandContext(ctx, binaries.supervisor(x.t), append([]string{"--state", x.state()}, args...)...)
	c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	c.Stdout, c.Stderr = &o, &e
	c.Run()
	x.note("%q: exit %d: %s", args, c.ProcessState.ExitCode(), lastLine(o.String()+e.String()))
	return o.String(), e.String(), c.ProcessState.ExitCode()
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// A deploy that moves a listener and is rejected leaves the old one open, for as
// long as it takes: a crash needs it.
func TestARejectedMoveOfAListenerLeavesTheOldOne(t *testing.T) {
	x := newTorture(t, 1, 1)
	before := x.address("echo")
	x.call([]int{0}, "start", "--name", "other", "--", binaries.tiny(t, "aaaa"), "serve")

	x.place("echo", x.bad["crashes"])
	config, err := os.ReadFile(x.file("supervisor.toml"))
	if err != nil {
		t.Fatal(err)
	}
	x.write("supervisor.toml", strings.NewReplacer("echo = '", "moved = '", `"echo"]`, `"moved"]`).Replace(string(config)))
	x.call([]int{3}, "reload", "--wait", "echo")
	x.call([]int{0}, "delete", "other")
	pid := x.serving("echo")
	x.killAndWatch(pid)
	x.eventually("echo serves again", func() bool {
		now := x.serving("echo")
		return now != 0 && now != pid
	})
	c, err := net.Dial("tcp", before)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil {
		t.Errorf("%q, %v", line, err)
	}
}
