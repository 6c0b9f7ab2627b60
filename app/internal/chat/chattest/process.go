package chattest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/proto/leaktest"
)

// Opener opens the log that target names, in whichever process it is called.
type Opener func(ctx context.Context, target string) (chat.Store, error)

// roleVariable makes the test binary another process on the same log.
const roleVariable = "CHATTEST_ROLE"

// Main is TestMain for the package of a store: it makes the test binary play
// the other processes when [Processes] starts it again, and fails the tests if
// they leave something behind.
func Main(m *testing.M, open Opener) {
	role := os.Getenv(roleVariable)
	if role == "" {
		leaktest.Main(m)
	}
	if err := play(role, open, os.Args[1:]); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// play runs a role: each tells on its standard output what it has done and
// waits on its standard input for what to do next.
func play(role string, open Opener, args []string) error {
	in := bufio.NewReader(os.Stdin)
	switch role {
	case "append": // TARGET NAME SIZE PAUSE: append batches to rooms a and b until told
		return playAppend(in, open, args[0], args[1], args[2], args[3])
	case "open": // TARGET: open when told, tell the epoch, close when told
		fmt.Println("ready")
		in.ReadString('\n')
		s, err := open(context.Background(), args[0])
		if err != nil {
			return err
		}
		fmt.Println(s.Epoch())
		in.ReadString('\n')
		return s.Close()
	}
	return fmt.Errorf("no role %q", role)
}

// stopLimit is how long an appending process that was told to stop goes on
// repeating what it was not yet told of.
const stopLimit = time.Minute

// playAppend does as the chat does: it repeats with the same nonces what the
// store could not answer.
func playAppend(in *bufio.Reader, open Opener, target, name, size, between string) error {
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	pause, err := time.ParseDuration(between)
	if err != nil {
		return err
	}
	s, err := open(context.Background(), target)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	in.ReadString('\n')
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		in.ReadString('\n')
		stop()
	}()
	for b := 0; ctx.Err() == nil; b++ {
		if err := appendUntilStored(ctx, s, posts("ab"[b%2:b%2+1], fmt.Sprintf("%s-%d", name, b), n)); err != nil {
			return err
		}
		time.Sleep(pause)
	}
	return s.Close()
}

func appendUntilStored(stopped context.Context, s chat.Store, drafts []chat.Draft) error {
	deadline := time.Time{}
	for {
		appended, err := s.Append(context.Background(), drafts)
		switch {
		case err == nil:
			var told strings.Builder
			for _, a := range appended {
				fmt.Fprintf(&told, "stored %s %d %s\n", a.Event.Room, a.Event.Seq, a.Event.Nonce)
			}
			os.Stdout.WriteString(told.String())
			return nil
		case !errors.Is(err, chat.ErrUnavailable), !deadline.IsZero() && time.Now().After(deadline):
			return err
		}
		fmt.Println("again")
		if deadline.IsZero() && stopped.Err() != nil {
			deadline = time.Now().Add(stopLimit)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// posts are n drafts with nonces that begin with prefix.
func posts(room, prefix string, n int) []chat.Draft {
	all := drafts(room, prefix, n)
	for i := range all {
		all[i].Text = "something of an ordinary length for a chat"
	}
	return all
}

// Process is the test binary in another process. It is killed with the test.
type Process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// Appender starts a process that appends batches of size drafts, with nonces
// that begin with name, to rooms a and b from [Process.Next] until the next one.
// It pauses between any two. It has opened the log when Appender returns.
func Appender(t *testing.T, target, name string, size int, pause time.Duration) *Process {
	t.Helper()
	p := Start(t, nil, roleVariable+"=append", target, name, strconv.Itoa(size), pause.String())
	if line := p.Line(); line != "ready" {
		t.Fatalf("an appending process said %q", line)
	}
	return p
}

// Start starts the test binary again with a variable in its environment and
// arguments, as another user (nil: as this one).
func Start(t *testing.T, user *syscall.Credential, variable string, args ...string) *Process {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...) // reachable whatever the user
	cmd.Env = append(os.Environ(), variable, "GORACE=atexit_sleep_ms=0")
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
	p := &Process{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	t.Cleanup(p.Kill)
	return p
}

// PID is the process's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Line is the next line it tells, "" at its end.
func (p *Process) Line() string {
	p.out.Scan()
	return p.out.Text()
}

// Rest is everything it tells until its end.
func (p *Process) Rest() []string {
	var lines []string
	for p.out.Scan() {
		lines = append(lines, p.out.Text())
	}
	return lines
}

// Next has it do the next thing; it has no effect on one that has ended.
func (p *Process) Next() { io.WriteString(p.in, "\n") }

// Signal sends it a signal.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Kill ends it at once, if it has not ended, and waits for it.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// Told is what appending processes reported as stored: by room and nonce, the
// seq.
type Told map[string]map[string]int64

// Add counts lines of an appender: how many events were stored, and how often
// it had to repeat a batch.
func (r Told) Add(t *testing.T, lines []string) (stored, again int) {
	t.Helper()
	for _, line := range lines {
		if line == "again" {
			again++
			continue
		}
		var room, nonce string
		var seq int64
		if _, err := fmt.Sscanf(line, "stored %s %d %s", &room, &seq, &nonce); err != nil {
			t.Fatalf("told %q", line)
		}
		if r[room] == nil {
			r[room] = map[string]int64{}
		}
		r[room][nonce] = seq
		stored++
	}
	return stored, again
}

// Check compares what was told with the store: dense, nothing twice, all there.
// It returns how many events nobody was told of.
func (r Told) Check(t *testing.T, s chat.Store) (untold int) {
	t.Helper()
	for room, stored := range r {
		events := after(t, s, room, 0, 1<<20)
		seqs := map[string]int64{}
		for i, e := range events {
			if e.Seq != int64(i)+1 {
				t.Fatalf("event %d of %s has seq %d", i+1, room, e.Seq)
			}
			if seqs[e.Nonce] != 0 {
				t.Fatalf("%s of %s is stored at %d and %d", e.Nonce, room, seqs[e.Nonce], e.Seq)
			}
			seqs[e.Nonce] = e.Seq
		}
		for nonce, seq := range stored {
			if seqs[nonce] != seq {
				t.Errorf("%s of %s was reported at %d, stored is %d", nonce, room, seq, seqs[nonce])
			}
		}
		untold += len(events) - len(stored)
	}
	return untold
}

// Shared is a store that several processes may have open.
type Shared struct {
	Open    Opener
	New     func(t *testing.T) (target string) // a log that nobody has opened yet
	Batches Batches
	For     time.Duration // how long two processes write at once; 0: 2 s
	Share   float64       // what at least the slower of two gets of all appends; 0: 0.2
	Rounds  int           // how many processes are killed; 0: 20
	Pause   time.Duration // between the appends of those, for stores that are slow in tests
}

// Processes checks the guarantees of [chat.Store] that concern several
// processes. The package's TestMain calls [Main].
func Processes(t *testing.T, s Shared) {
	if s.For == 0 {
		s.For = 2 * time.Second
	}
	if s.Share == 0 {
		s.Share = 0.2
	}
	if s.Rounds == 0 {
		s.Rounds = 20
	}
	t.Run("two processes share one log", func(t *testing.T) { twoProcesses(t, s) })
	t.Run("a killed process loses nothing it reported", func(t *testing.T) { killedProcess(t, s) })
	t.Run("many open a new log at once", func(t *testing.T) { firstOpen(t, s) })
}

func (s Shared) open(t *testing.T, target string) chat.Store {
	t.Helper()
	st, err := s.Open(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return closing(t, st)
}

func twoProcesses(t *testing.T, s Shared) {
	target := s.New(t)
	one, two := Appender(t, target, "one", 1, 0), Appender(t, target, "two", 1, 0)
	one.Next()
	two.Next()
	time.AfterFunc(s.For, func() { one.Next(); two.Next() })
	outputs := make(chan []string)
	go func() { outputs <- two.Rest() }()
	told := Told{}
	n1, again1 := told.Add(t, one.Rest())
	n2, again2 := told.Add(t, <-outputs)
	share := float64(min(n1, n2)) / float64(n1+n2)
	t.Logf("%d and %d appends in %v, smaller share %.2f", n1, n2, s.For, share)
	if share < s.Share || again1+again2 > 0 {
		t.Errorf("the smaller share is %.2f, want at least %.2f; %d appends failed, want 0", share, s.Share, again1+again2)
	}
	if untold := told.Check(t, s.open(t, target)); untold != 0 {
		t.Errorf("%d events are stored that nobody was told of", untold)
	}
}

func killedProcess(t *testing.T, s Shared) {
	const size = 3
	target := s.New(t)
	told := Told{}
	steady := Appender(t, target, "steady", 1, s.Pause)
	steady.Next()
	steadyTold := make(chan []string)
	go func() { steadyTold <- steady.Rest() }()
	for round := range s.Rounds {
		p := Appender(t, target, fmt.Sprint("killed", round), size, s.Pause)
		p.Next()
		first := p.Line()
		time.AfterFunc(time.Duration(round)*5*time.Millisecond, func() { p.cmd.Process.Kill() })
		told.Add(t, append([]string{first}, p.Rest()...))
		p.Kill()
	}
	steady.Next()
	told.Add(t, <-steadyTold)

	untold := told.Check(t, s.open(t, target))
	if untold > s.Rounds*size {
		t.Errorf("%d events are stored that nobody was told of, at most one batch a round can be", untold)
	}
	if untold%size != 0 && s.Batches == Whole {
		t.Errorf("%d untold events are no whole batches of %d", untold, size)
	}
	t.Logf("%d and %d events reported, %d stored and not reported", len(told["a"]), len(told["b"]), untold)
}

func firstOpen(t *testing.T, s Shared) {
	const rounds, n = 3, 4
	for range rounds {
		target := s.New(t)
		var all []*Process
		for range n {
			all = append(all, Start(t, nil, roleVariable+"=open", target))
		}
		for _, p := range all {
			p.Line()
		}
		for _, p := range all {
			p.Next()
		}
		var epochs []string
		for _, p := range all {
			epoch := p.Line()
			if epoch == "" || strings.HasPrefix(epoch, "error") {
				t.Errorf("opened with %q", epoch)
			}
			epochs = append(epochs, epoch)
		}
		if len(slices.Compact(epochs)) != 1 {
			t.Errorf("one log has the epochs %v", epochs)
		}
		for _, p := range all {
			p.Next()
			if rest := p.Rest(); len(rest) > 0 {
				t.Errorf("closed with %q", rest)
			}
		}
	}
}
