package worker

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
)

// foster is a supervisor that starts a worker, gives its handles away on
// descriptor 3, and is then killed.
func foster(behaviour string) {
	os.Unsetenv(envBehaviour) // that of the worker is another
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	build, err := Pin(path)
	if err != nil {
		panic(err)
	}
	p, err := Start(Spec{Build: build, Args: []string{"worker"}, Env: env(behaviour), Stdout: &output{}, Stderr: &output{}, Generation: 7}, func(Event) {})
	if err != nil {
		panic(err)
	}
	conn, err := proto.NewConn(3)
	if err != nil {
		panic(err)
	}
	h := p.Handles()
	text, err := json.Marshal(h.PID)
	if err != nil {
		panic(err)
	}
	if err := conn.Send(text, h.fds()...); err != nil {
		panic(err)
	}
	linger()
}

// orphan returns the handles of a worker whose supervisor has been killed.
func orphan(t *testing.T, behaviour string) Handles {
	t.Helper()
	ours, theirs, err := proto.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	file := os.NewFile(uintptr(theirs), "theirs")
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), envBehaviour+"=foster "+behaviour, "GORACE=atexit_sleep_ms=0")
	c.ExtraFiles = []*os.File{file}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	file.Close()
	packet, fds, err := ours.Recv()
	if err != nil || len(fds) != 4 {
		t.Fatalf("%d descriptors, %v", len(fds), err)
	}
	h := Handles{Pidfd: fds[0], Control: fds[1], Stdout: fds[2], Stderr: fds[3]}
	if err := json.Unmarshal(packet, &h.PID); err != nil {
		t.Fatal(err)
	}
	c.Process.Kill()
	c.Wait()
	return h
}

// adopt goes on with a worker.
func adopt(t *testing.T, h Handles) *run {
	t.Helper()
	r := &run{t: t, events: make(chan Event, 1000)}
	var err error
	if r.Process, err = Adopt(h, &r.stdout, &r.stderr, func(e Event) { r.events <- e }); err != nil {
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

// A worker talks on with its next supervisor, as if nothing had been.
func TestAWorkerOutlivesItsSupervisor(t *testing.T) {
	r := adopt(t, orphan(t, "join"))
	var hello, ready bool
	for !hello || !ready {
		switch e := r.next().(type) {
		case Message:
			proto.CloseFDs(e.FDs)
			_, is := e.Message.(proto.Hello)
			hello = hello || is
		case Ready:
			ready = true
		case Exited:
			t.Fatalf("it ended: %q %q", &r.stdout, &r.stderr)
		}
	}
	if err := r.Send(proto.Ping{}); err != nil {
		t.Fatal(err)
	}
	for {
		if m, ok := r.next().(Message); ok && m.Kind() == proto.KindPong {
			break
		}
	}
	if err := r.Send(proto.Drain{Why: proto.WhyStop, TimeoutMS: 1000}); err != nil {
		t.Fatal(err)
	}
	if exit := r.end(); exit.String() != "ended (stop)" && exit != (Exit{}) { // whose kernel tells
		t.Errorf("it ended with %+v", exit)
	}
	if want := "generation 7\n"; r.stdout.String() != want {
		t.Errorf("it wrote %q, want %q", &r.stdout, want)
	}
	if err := r.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal after its end: %v", err)
	}
}

func TestAnAdoptedWorkerIsKilledWithItsGroup(t *testing.T) {
	r := adopt(t, orphan(t, "beget"))
	r.end()
	var child int
	if _, err := fmt.Sscan(r.stdout.String(), &child); err != nil {
		t.Fatalf("it wrote %q: %v", &r.stdout, err)
	}
	for end := time.Now().Add(patience); unix.Kill(child, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child)); err == nil && strings.Contains(string(state), ") Z") {
			break // dead; whose it is to reap is not ours
		}
		if time.Now().After(end) {
			t.Fatal("what it started outlived it")
		}
	}
}

func TestAWorkerThatHasEndedMeanwhile(t *testing.T) {
	h := orphan(t, "exit 3")
	for end := time.Now().Add(patience); !isDead(h.Pidfd) && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
	}
	if exit := adopt(t, h).end(); !exit.Unknown && exit.Code != 3 {
		t.Errorf("it ended with %+v", exit)
	}
}

func TestAnIncompleteWorkerIsNotAdopted(t *testing.T) {
	h := orphan(t, "wait")
	defer unix.Kill(h.PID, unix.SIGKILL)
	unix.Close(h.Control)
	h.Control = -1
	if _, err := Adopt(h, &output{}, &output{}, func(Event) {}); err == nil || !strings.Contains(err.Error(), "without its control socket") {
		t.Errorf("got %v", err)
	}
}

// What is said and written in a pause is for whoever goes on with the worker.
func TestAWorkerChangesHandsInAPause(t *testing.T) {
	r := start(t, "chatter")
	said := 0
	for range 20 {
		said = counted(t, r.next(), said)
	}
	resume, err := r.Pause()
	if err != nil {
		t.Fatal(err)
	}
	for len(r.events) > 0 {
		said = counted(t, <-r.events, said)
	}
	second := adopt(t, duplicates(t, r.Handles()))
	for range 100 {
		said = counted(t, second.next(), said)
	}
	if n := len(r.events); n > 0 {
		t.Errorf("%d messages were heard in a pause", n)
	}
	written := r.stdout.String()
	second.Signal(syscall.SIGKILL)
	second.end()
	lines := strings.Fields(written + second.stdout.String())
	for i, l := range lines[:len(lines)-1] {
		if l != strconv.Itoa(i+1) {
			t.Fatalf("line %d is %q: the output has a gap", i+1, l)
		}
	}
	resume()
	r.end()
}

// counted checks that e is the next thing that a chatter says after number said.
func counted(t *testing.T, e Event, said int) int {
	t.Helper()
	m, ok := e.(Message)
	if !ok || m.Message.(proto.Stats).Conns != said+1 {
		t.Fatalf("after %d came %#v", said, e)
	}
	return said + 1
}

// duplicates are those of h, as another process would get them.
func duplicates(t *testing.T, h Handles) Handles {
	t.Helper()
	for _, fd := range []*int{&h.Pidfd, &h.Control, &h.Stdout, &h.Stderr} {
		dup, err := unix.FcntlInt(uintptr(*fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		*fd = dup
	}
	return h
}
