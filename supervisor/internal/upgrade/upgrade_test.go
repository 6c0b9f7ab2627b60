package upgrade

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Manners of a successor. What it says it also does: a test waits for that.
const (
	refuses     = "refuses"      // before it asks for anything
	refusesLate = "refuses late" // what it was given
	exits       = "exits"
	hangs       = "hangs"
	hangsLate   = "hangs late" // with everything in its hands
	waits       = "waits"      // for a line, before it asks
	waitsLate   = "waits late" // for a line, before it takes over
	findsBusy   = "finds busy" // a supervisor that gives nothing
)

// envTimeout is how long a successor may take.
const envTimeout = "UPGRADE_TEST_TIMEOUT"

// many is more than goes in a packet, whatever its size ([proto.MaxFDs]).
const many = 260

// cell is one process of the test: a supervisor that does as lines of its
// standard input say, and tells everything on its standard output.
type cell struct {
	*Upgrader
	manner func() string
	in     *bufio.Reader
	has    map[string]int
}

// supervise is the process.
func supervise(mannerFile string) (code int) {
	timeout, err := time.ParseDuration(os.Getenv(envTimeout))
	if err != nil {
		panic(err)
	}
	u, err := join(timeout)
	if err != nil {
		panic(err)
	}
	// One byte at a time: the rest of the lines is for another process.
	c := cell{Upgrader: u, in: bufio.NewReaderSize(byByte{}, 16), manner: func() string {
		b, err := os.ReadFile(mannerFile)
		if err != nil {
			panic(err)
		}
		return string(b)
	}}
	if !u.TakesOver() {
		c.has = belongings()
	} else if err := c.succeed(c.manner()); err != nil {
		tell("gives up: %v", err)
		return 3
	}
	tell("supervises with %d of %s", whole(c.has), u.Path())
	return c.obey()
}

type byByte struct{}

func (byByte) Read(b []byte) (int, error) { return os.Stdin.Read(b[:1]) }

func tell(format string, args ...any) {
	fmt.Printf("%d %s\n", os.Getpid(), fmt.Sprintf(format, args...))
}

// belongings are descriptors whose content is their name.
func belongings() map[string]int {
	all := map[string]int{}
	for i := range many {
		name := fmt.Sprint("descriptor ", i)
		fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
		if err != nil {
			panic(err)
		}
		if _, err := unix.Pwrite(fd, []byte(name), 0); err != nil {
			panic(err)
		}
		all[name] = fd
	}
	return all
}

// whole counts those that are what they are called, and are not for children.
func whole(all map[string]int) (n int) {
	for name, fd := range all {
		b := make([]byte, 100)
		length, err := unix.Pread(fd, b, 0)
		flags, flagsErr := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flagsErr == nil && string(b[:length]) == name && flags&unix.FD_CLOEXEC != 0 {
			n++
		}
	}
	return n
}

// succeed takes over in a manner.
func (c *cell) succeed(manner string) (err error) {
	switch manner {
	case refuses:
		c.Refuse(errors.New("settings.toml: line 3: no such key"))
		return errors.New("it refused")
	case exits:
		return errors.New("it exits")
	case hangs:
		tell("hangs")
		select {}
	case waits:
		c.wait()
	}
	if c.has, err = c.Receive(); err != nil {
		return err
	}
	tell("received %d", whole(c.has))
	switch manner {
	case refusesLate:
		c.Refuse(errors.New("state of another version"))
		return errors.New("it refused")
	case hangsLate:
		select {}
	case waitsLate:
		c.wait()
	}
	return c.TakeOver(context.Background())
}

func (c *cell) wait() {
	tell("waits")
	c.in.ReadString('\n')
}

// obey does what lines say until there are no more, or another process has taken
// over.
func (c *cell) obey() (code int) {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return 0
		}
		switch strings.TrimSpace(line) {
		case "upgrade until told":
			go func() {
				c.wait()
				c.Stop()
			}()
			fallthrough
		case "upgrade":
			if err := c.Upgrade(c.give); err != nil {
				tell("goes on with %d: %v", whole(c.has), err)
				continue
			}
			tell("ends")
			return 0
		}
	}
}

func (c *cell) give() (map[string]int, error) {
	if c.manner() == findsBusy {
		return nil, errors.New("a worker is getting ready")
	}
	return c.has, nil
}

// family is a supervisor and those that come after it.
type family struct {
	*testing.T
	first  *exec.Cmd
	manner string // file
	path   string // of the executable
	in     io.WriteCloser
	lines  chan string
	ended  bool // the first one
}

const limit = 30 * time.Second

// open starts a supervisor through a symbolic link, from its folder.
func open(t *testing.T, timeout time.Duration) *family {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := &family{T: t, manner: filepath.Join(dir, "manner"), path: filepath.Join(dir, "current"), lines: make(chan string, 100)}
	if err := os.Symlink(self, f.path); err != nil {
		t.Fatal(err)
	}
	f.successorsAre("")
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	f.in = in
	f.first = exec.Command(f.path)
	f.first.Args[0], f.first.Dir = "./current", dir
	f.first.Env = append(os.Environ(), envManner+"="+f.manner, envTimeout+"="+timeout.String(), "GORACE=atexit_sleep_ms=0")
	f.first.Stdin, f.first.Stdout, f.first.Stderr = theirIn, theirOut, os.Stderr
	err = f.first.Start()
	theirIn.Close()
	theirOut.Close()
	if err != nil {
		t.Fatal(err)
	}
	go f.listen(out)
	t.Cleanup(f.end)
	f.expect("supervises with 260 of " + f.path)
	return f
}

// listen hears everybody until the last one has ended.
func (f *family) listen(out *os.File) {
	defer close(f.lines)
	defer out.Close()
	for s := bufio.NewScanner(out); s.Scan(); {
		f.lines <- s.Text()
	}
}

// end lets everybody end. Nobody is left when the output has.
func (f *family) end() {
	f.in.Close()
	f.wait()
	for end := time.After(limit); ; {
		select {
		case _, more := <-f.lines:
			if !more {
				return
			}
		case <-end:
			f.Error("a process is left")
			return
		}
	}
}

func (f *family) wait() {
	if !f.ended {
		f.ended = true
		f.first.Wait()
	}
}

func (f *family) successorsAre(manner string) {
	f.Helper()
	if err := os.WriteFile(f.manner, []byte(manner), 0o600); err != nil {
		f.Fatal(err)
	}
}

func (f *family) say(line string) {
	f.Helper()
	if _, err := io.WriteString(f.in, line+"\n"); err != nil {
		f.Fatal(err)
	}
}

// expect waits for what somebody tells, and returns who.
func (f *family) expect(words ...string) (pid int) {
	f.Helper()
	select {
	case line := <-f.lines:
		who, what, _ := strings.Cut(line, " ")
		for _, w := range words {
			if !strings.Contains(what, w) {
				f.Fatalf("it tells %q, want %q", what, words)
			}
		}
		pid, err := strconv.Atoi(who)
		if err != nil {
			f.Fatalf("it tells %q: %v", line, err)
		}
		return pid
	case <-time.After(limit):
		f.Fatalf("nobody tells %q", words)
		return 0
	}
}

// succeeds has the present supervisor upgrade, and checks that everything moves.
func (f *family) succeeds(from int) (pid int) {
	f.Helper()
	f.successorsAre("")
	f.say("upgrade")
	pid = f.expect("received 260")
	if ended := f.expect("ends"); ended != from {
		f.Errorf("%d ends, want %d", ended, from)
	}
	if took := f.expect("supervises with 260 of " + f.path); took != pid || pid == from {
		f.Errorf("%d supervises after %d; %d received everything", took, from, pid)
	}
	return pid
}

func TestEverythingMovesToTheNext(t *testing.T) {
	f := open(t, Timeout)
	pid := f.first.Process.Pid
	for range 3 {
		pid = f.succeeds(pid)
	}
}

func TestASuccessorThatDoesNotComeUpChangesNothing(t *testing.T) {
	for _, test := range []struct {
		manner  string
		timeout time.Duration
		tells   []string // what the successor tells
		why     string
	}{
		{refuses, Timeout, []string{"gives up: it refused"}, "with 260: settings.toml: line 3: no such key"},
		{refusesLate, Timeout, []string{"received 260", "gives up: it refused"}, "with 260: state of another version"},
		{exits, Timeout, []string{"gives up: it exits"}, "exited: exit status 3"},
		{hangs, 4 * time.Second, []string{"hangs"}, "timed out"},
		{hangsLate, 4 * time.Second, []string{"received 260"}, "timed out"},
		{findsBusy, Timeout, []string{"gives up: receive from the supervisor before: EOF"}, "with 260: a worker is getting ready"},
	} {
		t.Run(test.manner, func(t *testing.T) {
			t.Parallel()
			f := open(t, test.timeout)
			for range 2 {
				f.successorsAre(test.manner)
				f.say("upgrade")
				for _, words := range test.tells {
					f.expect(words)
				}
				if pid := f.expect("goes on", test.why); pid != f.first.Process.Pid {
					t.Errorf("%d goes on", pid)
				}
			}
			f.succeeds(f.first.Process.Pid)
		})
	}
}

func TestAnExecutableThatIsGoneChangesNothing(t *testing.T) {
	f := open(t, Timeout)
	if err := os.Rename(f.path, f.path+".away"); err != nil {
		t.Fatal(err)
	}
	f.say("upgrade")
	f.expect("goes on", "no such file or directory")
	if err := os.Rename(f.path+".away", f.path); err != nil {
		t.Fatal(err)
	}
	f.succeeds(f.first.Process.Pid)
}

func TestTheSupervisorBeforeDiesInTheMiddle(t *testing.T) {
	for manner, says := range map[string]string{
		waits: "gives up: ", waitsLate: "gives up: " + ErrOrphaned.Error(),
	} {
		t.Run(manner, func(t *testing.T) {
			f := open(t, Timeout)
			f.successorsAre(manner)
			f.say("upgrade")
			if manner == waitsLate {
				f.expect("received 260")
			}
			successor := f.expect("waits")
			f.first.Process.Kill()
			f.wait()
			f.say("go on")
			if pid := f.expect(says); pid != successor {
				t.Errorf("%d gives up, want %d", pid, successor)
			}
		})
	}
}

func TestAnUpgradeUnderWayIsStopped(t *testing.T) {
	f := open(t, Timeout)
	f.successorsAre(hangs)
	f.say("upgrade until told")
	f.expect("waits")
	f.expect("hangs")
	f.say("stop")
	f.expect("goes on with 260: ", "terminating")
	f.successorsAre("")
	f.say("upgrade")
	f.expect("goes on with 260: ") // there is none any more
}
