package listener

import (
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto/address"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
)

// keeper knows the names of what would outlive this process.
type keeper struct {
	mu   sync.Mutex
	kept map[string]bool
}

func (k *keeper) Keep(fds map[string]int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name := range fds {
		k.kept[name] = true
	}
	return nil
}

func (k *keeper) Forget(names []string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range names {
		delete(k.kept, name)
	}
	return nil
}

func (k *keeper) Settle() error { return nil }

// names are those of the sockets that are kept, without the addresses.
func (k *keeper) names() (names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name := range k.kept {
		names = append(names, name[:strings.LastIndex(name, "/")])
	}
	slices.Sort(names)
	return names
}

// newSet is the set of a supervisor that was left something.
func newSet(k *keeper, left map[string]int) *Set {
	return &Set{Store: fdstore.New(k, left)}
}

// die leaves everything in the store of s as an upgrade does, and lets go of the
// rest as the end of a process does.
func die(t *testing.T, s *Set) (left map[string]int) {
	t.Helper()
	left = s.Store.All()
	for name, fd := range left {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.SetNonblock(dup, false) // as some do on the way
		unix.Close(fd)
		left[name] = dup
	}
	return left
}

// lend makes a socket at a path and lends a duplicate of it.
func lend(t *testing.T, s *Set, name, path string) {
	t.Helper()
	theirs := open(t, name+"=unix://"+path)[0]
	fd, err := unix.FcntlInt(uintptr(theirs.FD), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.Lend([]Listener{{Name: name, FD: fd, Address: theirs.Address, lent: true}})
}

// dial connects, says hello and waits for nothing: nobody may accept yet.
func dial(t *testing.T, a address.Address) net.Conn {
	t.Helper()
	at := a.String()
	if a.Network == "unix" {
		at = a.Path
	}
	c, err := net.DialTimeout(a.Network, at, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	return c
}

// accept takes the next client of a socket and answers it.
func accept(t *testing.T, l Listener, c net.Conn) {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(l.FD), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 10_000); n != 1 {
		t.Fatalf("%s: no client: %v", l.Name, err)
	}
	fd, _, err := unix.Accept4(l.FD, unix.SOCK_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte("welcome")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 7)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "welcome" {
		t.Fatalf("%s: the client got %q, %v", l.Name, b, err)
	}
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func TestSocketsGoOnInTheNextSupervisor(t *testing.T) {
	dir := t.TempDir()
	own, theirs := filepath.Join(dir, "own.sock"), filepath.Join(dir, "theirs.sock")
	fixed := open(t, "fixed=127.0.0.1:0")[0] // a port that is free in a moment
	fixed.Close()
	listens := parse(t, "http=127.0.0.1:0", "fixed="+fixed.Address.String(), "six=[::1]:0", "own=unix://"+own+"?mode=0600", "web=127.0.0.1:0")
	k := &keeper{kept: map[string]bool{}}
	s := newSet(k, nil)
	lend(t, s, "web", theirs)
	if err := s.Add(listens); err != nil {
		t.Fatal(err)
	}
	all := []string{"listener/fixed", "listener/http", "listener/own", "listener/six"}
	for range 3 { // supervisors
		var before []Listener
		var waiting []net.Conn
		for _, l := range listens {
			found, err := s.Find(l)
			if err != nil {
				t.Fatal(err)
			}
			before = append(before, found)
			accept(t, found, dial(t, found.Address))
			waiting = append(waiting, dial(t, found.Address))
		}
		s = newSet(k, die(t, s))
		if err := s.Restore(); err != nil {
			t.Fatal(err)
		}
		if lost, err := s.Store.Drop(); len(lost) > 0 || err != nil {
			t.Errorf("nobody took %q, %v", lost, err)
		}
		for i, l := range listens {
			found, err := s.Find(l)
			if err != nil {
				t.Fatal(err)
			}
			was := before[i]
			was.FD = found.FD
			if found != was {
				t.Errorf("it was %+v, is %+v", was, found)
			}
			if flags, err := unix.FcntlInt(uintptr(found.FD), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
				t.Errorf("%s: status flags %#x, %v: not O_NONBLOCK", l.Name, flags, err)
			}
			accept(t, found, waiting[i]) // it came when the one before lived
			accept(t, found, dial(t, found.Address))
		}
		if err := s.Add(listens); err != nil || len(s.All()) != len(listens) {
			t.Fatalf("%d are open, %v: a restored socket was opened anew", len(s.All()), err)
		}
		if got := k.names(); !slices.Equal(got, all) {
			t.Errorf("a crash leaves %q, want %q", got, all)
		}
	}
	s.Close()
	if got := s.Store.All(); len(got) > 0 || len(k.names()) > 0 {
		t.Errorf("left in the store: %v, %q", got, k.names())
	}
	if isThere(own) || !isThere(theirs) {
		t.Errorf("there: own path %v, systemd's %v", isThere(own), isThere(theirs))
	}
}

func TestARestoredSocketIsClosedWhenNobodyWantsIt(t *testing.T) {
	dir := t.TempDir()
	own, theirs := filepath.Join(dir, "own.sock"), filepath.Join(dir, "theirs.sock")
	listens := parse(t, "http=127.0.0.1:0", "own=unix://"+own, "web=127.0.0.1:0")
	k := &keeper{kept: map[string]bool{}}
	s := newSet(k, nil)
	lend(t, s, "web", theirs)
	if err := s.Add(listens); err != nil {
		t.Fatal(err)
	}
	s = newSet(k, die(t, s))
	if err := s.Restore(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var closed []string
	for _, l := range s.Keep(listens[:1]) {
		closed = append(closed, l.Name)
	}
	slices.Sort(closed)
	if !slices.Equal(closed, []string{"own", "web"}) || isThere(own) || !isThere(theirs) {
		t.Errorf("closed %q; there: own path %v, systemd's %v", closed, isThere(own), isThere(theirs))
	}
	if got := s.Store.All(); len(got) != 1 || !slices.Equal(k.names(), []string{"listener/http"}) {
		t.Errorf("left in the store: %v, %q", got, k.names())
	}
	l, err := s.Find(listens[0])
	if err != nil {
		t.Fatal(err)
	}
	accept(t, l, dial(t, l.Address))
}

// What cannot be understood stays in the store, and is told by its name. The last
// name is right, but there is no socket.
func TestWhatIsNotUnderstood(t *testing.T) {
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for _, name := range []string{
		"listener/http", "listener/http/!", "listener/http/" + encode("gopher://x"), "listener-lent/http/", "listener/",
		"listener/http/" + encode("127.0.0.1:0"),
	} {
		t.Run(name, func(t *testing.T) {
			fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			k := &keeper{kept: map[string]bool{}}
			s := newSet(k, map[string]int{name: fd, "chat/0/state": -1})
			if err := s.Restore(); err == nil || !strings.Contains(err.Error(), "socket "+name+" of the supervisor before") {
				t.Errorf("got %v", err)
			}
			if _, ok := s.Store.Peek(name); !ok || len(s.All()) > 0 {
				t.Errorf("it was taken: %+v", s.All())
			}
			if lost, err := s.Store.Drop(); err != nil || !slices.Contains(lost, name) {
				t.Errorf("dropped %q, %v", lost, err)
			}
		})
	}
}

// Other things of the supervisor before are not the listeners' to take.
func TestOtherThingsAreLeftInTheStore(t *testing.T) {
	s := newSet(&keeper{kept: map[string]bool{}}, map[string]int{"chat/0/state": -1, "listeners/0/state": -2})
	if err := s.Restore(); err != nil || len(s.All()) > 0 {
		t.Errorf("%v, open: %+v", err, s.All())
	}
	if got := s.Store.Left(""); !slices.Equal(got, []string{"chat/0/state", "listeners/0/state"}) {
		t.Errorf("left: %q", got)
	}
}

// A set without a store works, and what is opened under a store that keeps
// nothing goes on by an upgrade all the same.
func TestWithoutAKeeperSocketsAreRegistered(t *testing.T) {
	s := &Set{Store: fdstore.New(nil, nil)}
	if err := s.Add(parse(t, "http=127.0.0.1:0")); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := slices.Collect(maps.Keys(s.Store.All())); len(got) != 1 || !strings.HasPrefix(got[0], "listener/http/") {
		t.Errorf("registered: %q", got)
	}
}
