package worker

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// output collects what a worker writes.
type output struct {
	mu     sync.Mutex
	text   strings.Builder
	closed bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return errors.New("closed twice")
	}
	o.closed = true
	return nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) isClosed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed
}

// run is a worker under test.
type run struct {
	*Process
	t              *testing.T
	stdout, stderr output
	events         chan Event
	exit           *Exit // once it has ended
}

// self is this test binary, pinned.
func self(t *testing.T) *Build {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return pin(t, path)
}

func pin(t *testing.T, path string) *Build {
	t.Helper()
	b, err := Pin(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// start starts this test binary as a worker that behaves so.
func start(t *testing.T, behaviour string) *run {
	t.Helper()
	return startSpec(t, Spec{Build: self(t), Env: env(behaviour)})
}

// env makes a worker behave so. The race detector's worker would sleep for a
// second as it exits.
func env(behaviour string) []string {
	return append(Inherit(os.Environ()), envBehaviour+"="+behaviour, "GORACE=atexit_sleep_ms=0")
}

func startSpec(t *testing.T, spec Spec) *run {
	t.Helper()
	r := &run{t: t, events: make(chan Event, 1000)}
	spec.Stdout, spec.Stderr = &r.stdout, &r.stderr
	if spec.Args == nil {
		spec.Args = []string{"worker"}
	}
	var err error
	if r.Process, err = Start(spec, func(e Event) { r.events <- e }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r.exit == nil {
			r.Signal(syscall.SIGKILL)
			r.end()
		}
	})
	return r
}

// next waits for the worker's next event.
func (r *run) next() Event {
	r.t.Helper()
	select {
	case e := <-r.events:
		if exited, ok := e.(Exited); ok {
			r.exit = &exited.Exit
		}
		return e
	case <-time.After(patience):
		r.t.Fatalf("nothing happened; it wrote %q and %q", &r.stdout, &r.stderr)
		return nil
	}
}

// end waits for the worker's end and checks that it is the last to be heard.
func (r *run) end() Exit {
	r.t.Helper()
	lives := r.exit == nil
	for r.exit == nil {
		r.next()
	}
	if lives {
		r.Handles().Close()
	}
	if !r.stdout.isClosed() || !r.stderr.isClosed() {
		r.t.Error("ended before its output was closed")
	}
	select {
	case e := <-r.events:
		r.t.Errorf("after its end came %#v", e)
	default:
	}
	return *r.exit
}

func listen(t *testing.T) (l net.Listener, fd int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(s uintptr) { fd = int(s) })
	return l, fd
}

func TestTheWorkersEnvironment(t *testing.T) {
	for _, v := range []string{"LISTEN_FDS=9", "LISTEN_PID=1", "LISTEN_FDNAMES=x", "NOTIFY_SOCKET=/run/systemd/notify",
		"WATCHDOG_USEC=1", "WATCHDOG_PID=1", "TABLEFLIP_HAS_PARENT_7DIU3=yes", "CREDENTIALS_DIRECTORY=/run/c",
		"SIMPLETALK_CONTROL=9", "SIMPLETALK_STATE=/run/s", "SIMPLETALK_DETACHED=3"} {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	t.Setenv("SIMPLETALK_DATA", "/srv/data")
	_, first := listen(t)
	_, second := listen(t)
	r := startSpec(t, Spec{Build: self(t), Env: env("environment"), Sockets: []Socket{{"http", first}, {"metrics", second}}})
	if exit := r.end(); exit != (Exit{}) {
		t.Fatalf("%s: %s", exit, &r.stderr)
	}
	got := map[string]string{}
	for line := range strings.Lines(r.stdout.String()) {
		if v, isEnv := strings.CutPrefix(strings.TrimSpace(line), "env "); isEnv {
			name, value, _ := strings.Cut(v, "=")
			got[name] = value
		}
	}
	if !strings.HasPrefix(got["NOTIFY_SOCKET"], "@simpletalk-notify-") {
		t.Errorf("NOTIFY_SOCKET=%q", got["NOTIFY_SOCKET"])
	}
	delete(got, "NOTIFY_SOCKET")
	for name, want := range map[string]string{
		"LISTEN_PID": strconv.Itoa(r.PID()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:metrics",
		"SIMPLETALK_CONTROL": "5", "SIMPLETALK_DATA": "/srv/data", "PATH": os.Getenv("PATH"),
	} {
		if got[name] != want {
			t.Errorf("%s=%q, want %q", name, got[name], want)
		}
	}
	for _, name := range []string{"WATCHDOG_USEC", "WATCHDOG_PID", "TABLEFLIP_HAS_PARENT_7DIU3", "CREDENTIALS_DIRECTORY", "SIMPLETALK_STATE", "SIMPLETALK_DETACHED"} {
		if value, there := got[name]; there {
			t.Errorf("%s=%q belongs to the supervisor", name, value)
		}
	}
	if !strings.Contains(r.stdout.String(), fmt.Sprintf("pid %d\n", r.PID())) {
		t.Errorf("PID is %d, the worker says %q", r.PID(), r.stdout.String()[:20])
	}
}

// Whoever started the supervisor may have left descriptors open in it, such as
// make its jobserver: the worker gets none of them.
func TestTheWorkersDescriptors(t *testing.T) {
	zero, err := unix.Open("/dev/zero", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(zero)
	far, err := unix.FcntlInt(uintptr(zero), unix.F_DUPFD, 200)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(far)
	_, first := listen(t)
	_, second := listen(t)
	r := startSpec(t, Spec{Build: self(t), Env: env("descriptors"), Sockets: []Socket{{"a", first}, {"b", second}}})
	r.end()
	want := "0 /dev/null\n1 pipe\n2 pipe\n3 socket\n4 socket\n5 socket\n"
	if r.stdout.String() != want {
		t.Errorf("got\n%swant\n%s", &r.stdout, want)
	}
}

// A start must not make the shared socket blocking: an Accept would hang over
// its Close and swallow a client.
func TestTheSharedSocketStaysNonBlocking(t *testing.T) {
	l, fd := listen(t)
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	r := startSpec(t, Spec{Build: self(t), Env: env("wait"), Sockets: []Socket{{"http", fd}}})
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_NONBLOCK == 0 {
		t.Errorf("flags %#x, %v: not O_NONBLOCK", flags, err)
	}
	l.Close()
	select {
	case err := <-accepted:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v, want it closed", err)
		}
	case <-time.After(patience):
		t.Error("Accept hangs over Close")
	}
	r.Signal(syscall.SIGKILL)
	r.end()
}

func TestAWorkerLeadsItsOwnGroup(t *testing.T) {
	r := start(t, "wait")
	if group, err := unix.Getpgid(r.PID()); err != nil || group != r.PID() {
		t.Errorf("process group %d, %v; want %d", group, err, r.PID())
	}
}

// What the supervisor ignores or blocks is its own affair.
func TestTheWorkersSignalsAreTheDefault(t *testing.T) {
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	r := startSpec(t, Spec{Build: pin(t, script(t, "#!/bin/sh\ngrep -E '^Sig(Blk|Ign)' /proc/self/status\n"))})
	r.end()
	for line := range strings.Lines(r.stdout.String()) {
		_, hex, _ := strings.Cut(strings.TrimSpace(line), ":")
		mask, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		const libc = 1<<31 | 1<<32 // signals 32 and 33 are the C library's own (signal(7))
		if err != nil || mask&^libc != 0 {
			t.Errorf("not all default: %s", line)
		}
	}
	if r.stdout.String() == "" {
		t.Errorf("it wrote nothing; to stderr %q", &r.stderr)
	}
}

func TestArgumentsAndDirectory(t *testing.T) {
	r := startSpec(t, Spec{Build: self(t), Args: []string{"app", "serve", "--x", ""}, Env: env("arguments")})
	r.end()
	if want := "[app serve --x ]\n"; r.stdout.String() != want {
		t.Errorf("arguments %q, want %q", &r.stdout, want)
	}
	dir := t.TempDir()
	r = startSpec(t, Spec{Build: self(t), Dir: dir, Env: env("directory")})
	r.end()
	if r.stdout.String() != dir+"\n" {
		t.Errorf("directory %q, want %q", &r.stdout, dir)
	}
}

// Only root can: elsewhere the configuration is refused.
func TestAWorkerOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root starts workers as other users")
	}
	path, err := exec.LookPath("id")
	if err != nil {
		t.Fatal(err)
	}
	r := startSpec(t, Spec{Build: pin(t, path), Args: []string{"id", "-a"}, Env: env(""), User: &syscall.Credential{Uid: 65534, Gid: 65533, Groups: []uint32{65532}}})
	r.end()
	for _, want := range []string{"uid=65534", "gid=65533", "65532"} {
		if !strings.Contains(r.stdout.String(), want) {
			t.Errorf("id says %q, want %s in it", &r.stdout, want)
		}
	}
	if strings.Contains(r.stdout.String(), "0(root)") {
		t.Errorf("id says %q: something of root's is left", &r.stdout)
	}
}

func TestHowAWorkerEnds(t *testing.T) {
	for _, test := range []struct {
		script, want string
	}{
		{"exit 0", "exit status 0"},
		{"exit 3", "exit status 3"},
		{"exit 255", "exit status 255"},
		{"kill -KILL $$", "killed by SIGKILL"},
		{"ulimit -c 0; kill -SEGV $$", "killed by SIGSEGV"},
		{"kill -TERM $$", "killed by SIGTERM"},
	} {
		t.Run(test.script, func(t *testing.T) {
			r := startSpec(t, Spec{Build: pin(t, script(t, "#!/bin/sh\n"+test.script+"\n"))})
			if got := r.end().String(); got != test.want {
				t.Errorf("got %q, want %q (%q)", got, test.want, &r.stderr)
			}
		})
	}
}

func TestSignal(t *testing.T) {
	r := start(t, "wait")
	if err := r.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit := r.end(); exit.Signal != syscall.SIGTERM {
		t.Errorf("it ended with %s", exit)
	}
	if err := r.Signal(syscall.SIGKILL); err != nil {
		t.Errorf("after its end, when its pid may be another's: %v, want nothing to happen", err)
	}
}

// gone waits until no process pid runs. An orphan may stay a zombie where
// nobody reaps.
func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return
		}
		_, after, _ := strings.Cut(string(stat), ") ")
		if strings.HasPrefix(after, "Z") {
			return
		}
	}
	t.Errorf("process %d still runs", pid)
}

func TestWhatAWorkerStartedEndsWithIt(t *testing.T) {
	r := start(t, "beget")
	if exit := r.end(); exit != (Exit{}) {
		t.Errorf("%s; it wrote %q", exit, &r.stdout)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(r.stdout.String()))
	if err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
}

// A process that left the group may hold the output's pipe for ever: the end
// is told all the same.
func TestWhatLeftTheGroupDelaysNothing(t *testing.T) {
	r := start(t, "beget away")
	r.end()
	pid, err := strconv.Atoi(strings.TrimSpace(r.stdout.String()))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, 0); err != nil {
		t.Errorf("it should have lived on: %v", err)
	}
	unix.Kill(pid, unix.SIGKILL)
	gone(t, pid)
}

func TestOutputIsComplete(t *testing.T) {
	r := start(t, "write")
	r.end()
	if got, want := r.stdout.String(), "one\ntwo without an end"; got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	if got, want := r.stderr.String(), "three\nfour without an end"; got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
}

func TestABurstOfOutput(t *testing.T) {
	r := start(t, "burst")
	if exit := r.end(); exit != (Exit{}) {
		t.Errorf("%s", exit)
	}
	if got := len(r.stdout.String()); got != burstSize {
		t.Errorf("%d bytes of %d", got, burstSize)
	}
}

func TestReadyByNotifySocket(t *testing.T) {
	for _, test := range []struct {
		says string
		want bool
	}{
		{"READY=1", true},
		{"STATUS=warm,READY=1,MAINPID=5,", true},
		{"STATUS=cold|WATCHDOG=1|READY=1", true},
		{"READY=0|XREADY=1|READY=1x||READY", false},
	} {
		t.Run(test.says, func(t *testing.T) {
			r := start(t, "notify "+test.says)
			if test.want {
				if e := r.next(); e != Event(Ready{}) {
					t.Errorf("got %#v, want Ready", e)
				}
				return
			}
			select {
			case e := <-r.events:
				t.Errorf("got %#v, want nothing", e)
			case <-time.After(500 * time.Millisecond):
			}
		})
	}
}

func TestAConversation(t *testing.T) {
	r := startSpec(t, Spec{Build: self(t), Env: env("join"), Generation: 7})
	hello, ok := r.next().(Message)
	if !ok {
		t.Fatal("its first word is no message")
	}
	want := proto.Build{Version: "v1", Commit: "abc"}
	if h, ok := hello.Message.(proto.Hello); !ok || h.Build != want || h.PID != r.PID() {
		t.Errorf("it greets with %#v", hello.Message)
	}
	if e := r.next(); e != Event(Ready{}) {
		t.Errorf("then %#v, want Ready", e)
	}
	r.Send(proto.Ping{})
	if e := r.next(); !isPong(e) {
		t.Errorf("a ping is answered by %#v", e)
	}
	r.Send(proto.Drain{Why: proto.WhyDeploy, Rate: 1, TimeoutMS: 1000})
	if exit := r.end(); exit != (Exit{}) {
		t.Errorf("after a drain: %s", exit)
	}
	if got := r.stdout.String(); got != "generation 7\n" {
		t.Errorf("it knows %q", got)
	}
	if err := r.Send(proto.Ping{}); err != nil {
		t.Errorf("Send after the end: %v", err)
	}
}

func TestBrokenConversations(t *testing.T) {
	for _, packet := range []string{"\x01garbage", "hello {", "hello []", "huge"} {
		t.Run(packet, func(t *testing.T) {
			r := start(t, "raw "+packet)
			e := r.next()
			if broken, ok := e.(Broken); !ok || broken.Err == nil || errors.Is(broken.Err, io.EOF) {
				t.Errorf("got %#v, want Broken with what is wrong; it wrote %q", e, &r.stdout)
			}
			if err := unix.Kill(r.PID(), 0); err != nil {
				t.Errorf("whoever watches decides about its end: %v", err)
			}
		})
	}
}

// script writes an executable file.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestScripts(t *testing.T) {
	_, fd := listen(t)
	b := pin(t, script(t, "#!/bin/sh\necho \"$@\" $LISTEN_FDNAMES $$ $LISTEN_PID\n"))
	if b.Pinned() {
		t.Error("a script counts as pinned, but its interpreter opens it anew")
	}
	r := startSpec(t, Spec{Build: b, Args: []string{"server", "one", "two"}, Sockets: []Socket{{"http", fd}}})
	r.end()
	if got, want := r.stdout.String(), fmt.Sprintf("one two http %d %d\n", r.PID(), r.PID()); got != want {
		t.Errorf("got %q, want %q (%q)", got, want, &r.stderr)
	}
}

func TestWhatCannotBeExecuted(t *testing.T) {
	t.Run("still being written", func(t *testing.T) {
		path := copySelf(t)
		b := pin(t, path)
		writing, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer writing.Close()
		refused(t, startSpec(t, Spec{Build: b, Env: env("exit")}), path, "text file busy")
	})
	t.Run("without its interpreter", func(t *testing.T) {
		path := script(t, "#!/no/such/interpreter\n")
		refused(t, startSpec(t, Spec{Build: pin(t, path)}), path, "interpreter")
	})
	t.Run("in a directory that is missing", func(t *testing.T) {
		_, err := Start(Spec{Build: self(t), Args: []string{"worker"}, Dir: "/no/such/directory"}, func(Event) {})
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want an error of Start", err)
		}
	})
}

func refused(t *testing.T, r *run, words ...string) {
	t.Helper()
	if exit := r.end(); exit.Code != 126 {
		t.Errorf("%s, want exit status 126", exit)
	}
	line, _, _ := strings.Cut(r.stderr.String(), "\n")
	for _, w := range words {
		if !strings.Contains(line, w) {
			t.Errorf("it says %q, want a line with %q", &r.stderr, w)
		}
	}
}

func TestAPinnedBuildStartsWhateverBecameOfItsFile(t *testing.T) {
	for _, test := range []struct {
		name   string
		become func(path string) error
	}{
		{"deleted", os.Remove},
		{"replaced", func(path string) error {
			next := path + ".new"
			return errors.Join(os.WriteFile(next, []byte("garbage"), 0o755), os.Rename(next, path))
		}},
		{"not executable any more", func(path string) error { return os.Chmod(path, 0o644) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := copySelf(t)
			b := pin(t, path)
			sum, err := b.SHA256()
			if err != nil {
				t.Fatal(err)
			}
			if err := test.become(path); err != nil {
				t.Fatal(err)
			}
			if again, err := b.SHA256(); again != sum || len(sum) != 64 {
				t.Errorf("checksum %s, %v; was %s", again, err, sum)
			}
			r := startSpec(t, Spec{Build: b, Env: env("exit 5")})
			exit := r.end()
			if test.name == "not executable any more" { // the kernel asks the file, not the name
				refused(t, r, "permission denied")
				return
			}
			if exit.Code != 5 {
				t.Errorf("%s, want exit status 5 (%q)", exit, &r.stderr)
			}
		})
	}
}

func TestManyAtOnce(t *testing.T) {
	b := self(t)
	var all []*run
	for i := range 16 {
		all = append(all, startSpec(t, Spec{Build: b, Env: env(fmt.Sprintf("exit %d", i))}))
	}
	for i, r := range slices.Backward(all) {
		if exit := r.end(); exit.Code != i {
			t.Errorf("worker %d: %s", i, exit)
		}
	}
}

func isPong(e Event) bool {
	m, ok := e.(Message)
	return ok && m.Message == proto.Pong{} && len(m.FDs) == 0
}
