package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/proto/leaktest"
)

// roleVariable makes the test binary another process on the same directory.
const roleVariable = "SQLITE_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role, os.Args[1:]); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leaktest.Main(m)
}

// play runs a role: each tells on its standard output what it has done and
// waits on its standard input for what to do next.
func play(role string, args []string) error {
	in := bufio.NewReader(os.Stdin)
	switch role {
	case "append": // DIR NAME SIZE: append batches to rooms a and b until the input ends
		return playAppend(in, args[0], args[1], args[2])
	case "open": // DIR: open when told, tell the epoch, close when told
		fmt.Println("ready")
		in.ReadString('\n')
		s, err := Open(context.Background(), args[0], Options{})
		if err != nil {
			return err
		}
		fmt.Println(s.Epoch())
		in.ReadString('\n')
		return s.Close()
	case "hold": // DIR: keep the lock until told
		l, err := openLock(directory{args[0]}.lock())
		if err != nil {
			return err
		}
		if err := l.acquire(context.Background(), time.Now().Add(time.Minute)); err != nil {
			return err
		}
		fmt.Println("held")
		in.ReadString('\n')
		return l.close()
	}
	return fmt.Errorf("no role %q", role)
}

func playAppend(in *bufio.Reader, dir, name, size string) error {
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	s, err := Open(context.Background(), dir, Options{})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	in.ReadString('\n')
	stop := make(chan struct{})
	go func() {
		in.ReadString('\n')
		close(stop)
	}()
	for b := 0; ; b++ {
		select {
		case <-stop:
			return s.Close()
		default:
		}
		drafts := posts("ab"[b%2:b%2+1], fmt.Sprintf("%s-%d", name, b), n)
		appended, err := s.Append(context.Background(), drafts)
		if err != nil {
			return err
		}
		var told strings.Builder
		for _, a := range appended {
			fmt.Fprintf(&told, "stored %s %d %s\n", a.Event.Room, a.Event.Seq, a.Event.Nonce)
		}
		os.Stdout.WriteString(told.String())
	}
}

// posts are n drafts with nonces that begin with prefix.
func posts(room, prefix string, n int) []chat.Draft {
	drafts := make([]chat.Draft, n)
	for i := range drafts {
		drafts[i] = chat.Draft{
			Room: room, Kind: "post", User: chat.User{ID: "u-1", Name: "Ada"},
			Nonce: fmt.Sprintf("%s-%d", prefix, i), Text: "something of an ordinary length for a chat",
		}
	}
	return drafts
}

// process is the test binary in a role. It is killed with the test.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func start(t *testing.T, role string, args ...string) *process {
	t.Helper()
	return startAs(t, nil, role, args...)
}

// startAs starts it as another user, nil for this one.
func startAs(t *testing.T, user *syscall.Credential, role string, args ...string) *process {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...) // reachable whatever the user
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	t.Cleanup(p.kill)
	return p
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// line is the next line it tells, "" at its end.
func (p *process) line() string {
	p.out.Scan()
	return p.out.Text()
}

// rest is everything it tells until its end.
func (p *process) rest() []string {
	var lines []string
	for p.out.Scan() {
		lines = append(lines, p.out.Text())
	}
	return lines
}

// next has it do the next thing; it has no effect on one that has ended.
func (p *process) next() { io.WriteString(p.in, "\n") }

// kill ends it at once, if it has not ended, and waits for it.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// lacking skips the test, or fails it where everything is required.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal("required, but ", what)
	}
	t.Skip(what)
}
