package fdstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
)

// envGiven is how many descriptors a process was really given.
const envGiven = "FDSTORE_TEST_GIVEN"

// heir is what a process that was started with descriptors makes of them.
type heir struct {
	Left      map[string]string // what is behind the descriptors that were kept
	Listeners map[string]string // addresses
	Env       map[string]string // of the contract, between the two
	Wrong     string            // of the listeners' error
	Leaky     []int             // descriptors that a child of it would get
}

// Ways of being started.
const (
	meant      = "meant"      // the descriptors are for this process
	foreign    = "foreign"    // they are for another one
	restricted = "restricted" // as meant, with few descriptors allowed
)

func inherit(way string) {
	pid := os.Getpid()
	if way == foreign {
		pid = 1
	}
	os.Setenv(proto.EnvListenPID, strconv.Itoa(pid))
	if way == restricted {
		l := syscall.Rlimit{Cur: 64, Max: 64}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
			panic(err)
		}
	}
	left, err := Inherited()
	if err != nil {
		panic(err)
	}
	h := heir{Left: map[string]string{}, Env: map[string]string{}, Listeners: map[string]string{}}
	for name, fd := range left {
		b := make([]byte, 100)
		n, err := unix.Pread(fd, b, 0)
		if err != nil {
			panic(err)
		}
		h.Left[name] = string(b[:n])
	}
	for _, name := range []string{proto.EnvListenFDs, proto.EnvListenName} {
		if value, ok := os.LookupEnv(name); ok {
			h.Env[name] = value
		}
	}
	listeners, err := proto.Listeners()
	if err != nil {
		h.Wrong = err.Error()
	}
	for name, l := range listeners {
		h.Listeners[name] = l.Addr().String()
	}
	h.Leaky = leaky(left)
	json.NewEncoder(os.Stdout).Encode(h)
}

// leaky lists what a child would get of those kept, and of the row of what was
// given.
func leaky(kept map[string]int) (fds []int) {
	all := slices.Collect(maps.Values(kept))
	n, _ := strconv.Atoi(os.Getenv(envGiven))
	for i := range n {
		all = append(all, firstListenFD+i)
	}
	for _, fd := range all {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			fds = append(fds, fd)
		}
	}
	return fds
}

// gift is a descriptor by name and what is behind it.
type gift struct {
	name, what string
	file       *os.File
}

func socket(t *testing.T, name string) gift {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return gift{name, l.Addr().String(), file}
}

func stored(t *testing.T, name, what string) gift {
	t.Helper()
	fd, err := unix.FcntlInt(uintptr(memory(t, []byte(what))), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), name)
	t.Cleanup(func() { file.Close() })
	return gift{Prefix + name, what, file}
}

// start starts a process with gifts as systemd does it. env is added to its
// environment.
func start(t *testing.T, way string, gifts []gift, env ...string) (h heir) {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	var names []string
	for _, g := range gifts {
		names = append(names, g.name)
		c.ExtraFiles = append(c.ExtraFiles, g.file)
	}
	c.Env = append(os.Environ(), envPart+"="+way, envGiven+"="+strconv.Itoa(len(gifts)), "GORACE=atexit_sleep_ms=0",
		proto.EnvListenFDs+"="+strconv.Itoa(len(gifts)), proto.EnvListenName+"="+strings.Join(names, ":"))
	c.Env = append(c.Env, env...)
	var wrong bytes.Buffer
	c.Stderr = &wrong
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &wrong)
	}
	if err := json.Unmarshal(out, &h); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return h
}

// expect checks that what was kept and what is for others has come, and that
// the contract tells of the others only.
func (h heir) expect(t *testing.T, gifts []gift) {
	t.Helper()
	left, others := map[string]string{}, map[string]string{}
	var names []string
	for _, g := range gifts {
		name, ours := strings.CutPrefix(g.name, Prefix)
		switch _, twice := left[name]; {
		case !ours:
			others[g.name] = g.what
			names = append(names, g.name)
		case !twice:
			left[name] = g.what
		}
	}
	env := map[string]string{}
	if len(names) > 0 {
		env[proto.EnvListenFDs], env[proto.EnvListenName] = strconv.Itoa(len(names)), strings.Join(names, ":")
	}
	if !maps.Equal(h.Left, left) || !maps.Equal(h.Listeners, others) || !maps.Equal(h.Env, env) || h.Wrong != "" || len(h.Leaky) > 0 {
		t.Errorf("given %v: got %+v;\nwant %v, listeners %v, environment %v, nothing for a child", gifts, h, left, others, env)
	}
}

// permutations calls each with every order of all.
func permutations(all []gift, each func([]gift)) {
	if len(all) == 1 {
		each(all)
		return
	}
	for i := range all {
		rest := slices.Delete(slices.Clone(all), i, i+1)
		permutations(rest, func(p []gift) { each(append([]gift{all[i]}, p...)) })
	}
}

func TestTheOrderDoesNotMatter(t *testing.T) {
	all := []gift{socket(t, "http"), stored(t, "chat/0/state", "a"), socket(t, "web"), stored(t, "listener/x", "b")}
	permutations(all, func(gifts []gift) { start(t, meant, gifts).expect(t, gifts) })
}

func TestManyDescriptorsOfEitherKind(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, way := range []string{meant, restricted} {
		for range 5 {
			var all []gift
			for i := range 20 {
				if r.IntN(2) == 0 {
					all = append(all, socket(t, fmt.Sprint("socket", i)))
				} else {
					all = append(all, stored(t, fmt.Sprint("kept/", i), fmt.Sprint("text ", i)))
				}
			}
			start(t, way, all).expect(t, all)
		}
	}
}

func TestOneKindOnly(t *testing.T) {
	kept := []gift{stored(t, "a", "1"), stored(t, "b", "2")}
	start(t, meant, kept).expect(t, kept)
	sockets := []gift{socket(t, "http"), socket(t, "web")}
	start(t, meant, sockets).expect(t, sockets)
}

func TestTheFirstOfANameCounts(t *testing.T) {
	gifts := []gift{stored(t, "a", "first"), socket(t, "http"), stored(t, "a", "second"), stored(t, "b", "other"), stored(t, "a", "third")}
	h := start(t, meant, gifts)
	h.expect(t, gifts)
	if h.Left["a"] != "first" {
		t.Errorf("got %q", h.Left["a"])
	}
}

func TestDescriptorsOfAnotherProcessAreLeftAlone(t *testing.T) {
	h := start(t, foreign, []gift{stored(t, "a", "1"), socket(t, "http")})
	want := map[string]string{proto.EnvListenFDs: "2", proto.EnvListenName: Prefix + "a:http"}
	if len(h.Left)+len(h.Listeners) > 0 || !maps.Equal(h.Env, want) || !strings.Contains(h.Wrong, "meant for another one") {
		t.Errorf("got %+v", h)
	}
	if !slices.Equal(h.Leaky, []int{3, 4}) {
		t.Errorf("descriptors for a child: %v, want them as they were", h.Leaky)
	}
}

// What is wrong with the contract is for whoever reads the rest of it to say.
func TestAWrongContractIsLeftAsItIs(t *testing.T) {
	gifts := []gift{stored(t, "a", "1"), socket(t, "http")}
	for wrong, says := range map[string]string{
		proto.EnvListenFDs + "=3":    "names 2 descriptors, LISTEN_FDS says 3",
		proto.EnvListenFDs + "=many": `LISTEN_FDS="many" must be a number`,
		proto.EnvListenName + "=one": "names 1 descriptors, LISTEN_FDS says 2",
	} {
		if h := start(t, meant, gifts, wrong); len(h.Left)+len(h.Listeners) > 0 || !strings.Contains(h.Wrong, says) {
			t.Errorf("%s: got %+v, want %q said", wrong, h, says)
		}
	}
	nameless := []gift{socket(t, "")}
	if h := start(t, meant, nameless); len(h.Left) > 0 || h.Listeners["unknown"] != nameless[0].what {
		t.Errorf("without a name: got %+v", h)
	}
}
