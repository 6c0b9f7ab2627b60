package sdnotify

import (
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// storage plays systemd's store: it keeps descriptors by name and closes what a
// barrier brings.
type storage struct {
	conn   *net.UnixConn
	silent bool // it keeps the barriers too
	ended  sync.WaitGroup

	mu    sync.Mutex
	told  []string
	fds   map[string]int
	extra []int // descriptors that were not to come, or barriers that are not answered
}

func keepFor(t *testing.T, c *net.UnixConn, silent bool) *storage {
	t.Helper()
	s := &storage{conn: c, silent: silent, fds: map[string]int{}}
	s.ended.Go(s.receive)
	t.Cleanup(func() {
		c.Close()
		s.ended.Wait()
		for _, fd := range append(s.extra, slices.Collect(maps.Values(s.fds))...) {
			unix.Close(fd)
		}
	})
	return s
}

func (s *storage) receive() {
	buf, oob := make([]byte, 4096), make([]byte, 1024)
	for {
		n, oobn, _, _, err := s.conn.ReadMsgUnix(buf, oob)
		if err != nil {
			return
		}
		var fds []int
		messages, _ := unix.ParseSocketControlMessage(oob[:oobn])
		for _, m := range messages {
			some, _ := unix.ParseUnixRights(&m)
			fds = append(fds, some...)
		}
		s.take(string(buf[:n]), fds)
	}
}

func (s *storage) take(text string, fds []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, text)
	_, name, named := strings.Cut(text, "FDNAME=")
	switch {
	case strings.HasPrefix(text, "FDSTORE=1\n") && named && len(fds) == 1:
		s.fds[name] = fds[0]
	case strings.HasPrefix(text, "FDSTOREREMOVE=1\n") && named && len(fds) == 0:
		unix.Close(s.fds[name])
		delete(s.fds, name)
	case text == "BARRIER=1" && len(fds) == 1 && !s.silent:
		unix.Close(fds[0])
	default:
		s.extra = append(s.extra, fds...)
	}
}

// contents is what is behind the descriptors.
func (s *storage) contents(t *testing.T) map[string]string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]string{}
	for name, fd := range s.fds {
		b := make([]byte, 100)
		n, err := unix.Pread(fd, b, 0)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(b[:n])
	}
	return all
}

// said is everything that was told, sorted.
func (s *storage) said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.told))
}

// memory is a descriptor of memory that holds text.
func memory(t *testing.T, text string) int {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.Pwrite(fd, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
	return fd
}

// abstract is the end of systemd at a name that is no path.
func abstract(t *testing.T) *net.UnixConn {
	t.Helper()
	name := fmt.Sprintf("@sdnotify-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", name)
	return c
}

func TestWhatIsKeptIsThereWhenKeepReturns(t *testing.T) {
	for name, open := range map[string]func(*testing.T) *net.UnixConn{"path": manager, "abstract": abstract} {
		t.Run(name, func(t *testing.T) {
			systemd := keepFor(t, open(t), false)
			s := FDStore{Prefix: "test/"}
			if err := s.Keep(map[string]int{"a": memory(t, "one"), "b/c": memory(t, "two")}); err != nil {
				t.Fatal(err)
			}
			if got, want := systemd.contents(t), map[string]string{"test/a": "one", "test/b/c": "two"}; !maps.Equal(got, want) {
				t.Errorf("it has %v, want %v", got, want)
			}
			want := []string{"BARRIER=1", "FDSTORE=1\nFDPOLL=0\nFDNAME=test/a", "FDSTORE=1\nFDPOLL=0\nFDNAME=test/b/c"}
			if got := systemd.said(); !slices.Equal(got, want) {
				t.Errorf("it was told %q, want %q", got, want)
			}
		})
	}
}

// Keep waits for what it tells, Forget does not.
func TestWhatIsForgottenIsGoneOnceSettled(t *testing.T) {
	systemd := keepFor(t, manager(t), false)
	s := FDStore{Prefix: "test/"}
	if err := s.Keep(map[string]int{"a": memory(t, "one"), "b": memory(t, "two"), "c": memory(t, "three")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Forget([]string{"a", "c"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	if got, want := systemd.contents(t), map[string]string{"test/b": "two"}; !maps.Equal(got, want) {
		t.Errorf("it has %v, want %v", got, want)
	}
}

func TestASystemdThatDoesNotAnswer(t *testing.T) {
	systemd := keepFor(t, manager(t), true)
	s := FDStore{Patience: 200 * time.Millisecond}
	began := time.Now()
	err := s.Keep(map[string]int{"a": memory(t, "one")})
	if err == nil || err.Error() != "systemd did not answer within 200ms" {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took < s.Patience/2 || took > settlePatience {
		t.Errorf("after %v", took)
	}
	if err := s.Settle(); err == nil {
		t.Error("it has settled")
	}
	if err := s.Forget([]string{"a"}); err != nil {
		t.Errorf("to forget does not wait: %v", err)
	}
	if got := systemd.said(); len(got) < 3 {
		t.Errorf("it was told %q", got)
	}
}

// One that is busy for a moment is waited for.
func TestASystemdThatAnswersLate(t *testing.T) {
	c := manager(t)
	systemd := make(chan *storage, 1)
	late := time.AfterFunc(300*time.Millisecond, func() { systemd <- keepFor(t, c, false) })
	defer late.Stop()
	if err := (FDStore{}).Keep(map[string]int{"a": memory(t, "one")}); err != nil {
		t.Error(err)
	}
	if got := (<-systemd).contents(t); got["a"] != "one" {
		t.Errorf("it has %v", got)
	}
}

func TestWithoutSystemdNothingIsKept(t *testing.T) {
	for socket, says := range map[string]string{
		"": "there is no NOTIFY_SOCKET", t.TempDir() + "/none": "no such file or directory", "@sdnotify-test-nobody": "connection refused",
	} {
		t.Setenv("NOTIFY_SOCKET", socket)
		s := FDStore{Prefix: "test/"}
		for during, err := range map[string]error{
			"keep descriptor a":   s.Keep(map[string]int{"a": memory(t, "one")}),
			"forget descriptor b": s.Forget([]string{"a", "b"}),
			"wait for systemd":    s.Settle(),
		} {
			if err == nil || !strings.Contains(err.Error(), during+": "+says) {
				t.Errorf("%s: got %v, want %s: %s", socket, err, during, says)
			}
		}
	}
}

func TestADescriptorThatIsNoneIsAnError(t *testing.T) {
	systemd := keepFor(t, manager(t), false)
	if err := (FDStore{}).Keep(map[string]int{"a": -1}); err == nil || !strings.Contains(err.Error(), "keep descriptor a") {
		t.Errorf("got %v", err)
	}
	if got := systemd.contents(t); len(got) > 0 {
		t.Errorf("it has %v", got)
	}
}
