package fdstore

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// recorder is a Keeper that notes what it is told.
type recorder struct {
	keepErr, forgetErr error
	waits              chan struct{} // what Keep waits for, if anything

	mu   sync.Mutex
	told []string
}

func (r *recorder) tell(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, fmt.Sprintf(format, args...))
}

func (r *recorder) Keep(fds map[string]int) error {
	r.tell("keep %v", slices.Sorted(maps.Keys(fds)))
	if r.waits != nil {
		<-r.waits
	}
	return r.keepErr
}

func (r *recorder) Forget(names []string) error {
	r.tell("forget %v", slices.Sorted(slices.Values(names)))
	return r.forgetErr
}

func (r *recorder) Settle() error {
	r.tell("settle")
	return nil
}

// expect checks what was told since it was asked last.
func (r *recorder) expect(t *testing.T, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.told, want) {
		t.Errorf("the keeper was told %q, want %q", r.told, want)
	}
	r.told = nil
}

// null is a descriptor of its own, closed at the test's end unless it has been.
func null(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

var errKeeper = errors.New("nobody keeps anything")

func TestWhatIsPutIsKeptUntilItIsRemoved(t *testing.T) {
	r := new(recorder)
	s := New(r, nil)
	if err := s.Put(map[string]int{"a": 10, "b": 11}); err != nil {
		t.Fatal(err)
	}
	s.Hold("lent", 12)
	if got, want := s.All(), map[string]int{"a": 10, "b": 11, "lent": 12}; !maps.Equal(got, want) {
		t.Errorf("registered: %v, want %v", got, want)
	}
	if err := s.Remove("b", "lent", "never put"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("b"); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	r.expect(t, "keep [a b]", "forget [b]", "settle")
	if got, want := s.All(), map[string]int{"a": 10}; !maps.Equal(got, want) {
		t.Errorf("registered: %v, want %v", got, want)
	}
}

func TestWithoutAKeeperAnUpgradeStillHasEverything(t *testing.T) {
	s := New(nil, map[string]int{"old": null(t)})
	if err := errors.Join(s.Put(map[string]int{"a": 10}), s.Settle()); err != nil {
		t.Fatal(err)
	}
	old, ok := s.Take("old")
	if got, want := s.All(), map[string]int{"a": 10, "old": old}; !ok || !maps.Equal(got, want) {
		t.Errorf("registered: %v, want %v", got, want)
	}
	if err := s.Remove("a", "old"); err != nil || len(s.All()) > 0 {
		t.Errorf("left: %v, %v", s.All(), err)
	}
	if names, err := s.Drop(); len(names) > 0 || err != nil {
		t.Errorf("dropped %q, %v", names, err)
	}
}

func TestWhatIsNotKeptIsRegisteredAllTheSame(t *testing.T) {
	r := &recorder{keepErr: errKeeper, forgetErr: errKeeper}
	s := New(r, nil)
	if err := s.Put(map[string]int{"a": 10}); !errors.Is(err, errKeeper) {
		t.Errorf("got %v", err)
	}
	if got, want := s.All(), map[string]int{"a": 10}; !maps.Equal(got, want) {
		t.Errorf("registered: %v, want %v", got, want)
	}
	if err := s.Remove("a"); !errors.Is(err, errKeeper) || len(s.All()) > 0 {
		t.Errorf("got %v, left %v", err, s.All())
	}
	r.expect(t, "keep [a]", "forget [a]") // a part of it may be there
}

func TestWhatIsLeftIsTakenOnce(t *testing.T) {
	r := new(recorder)
	chat, mail := null(t), null(t)
	s := New(r, map[string]int{"chat/0/state": chat, "mail/0/state": mail})
	for prefix, want := range map[string][]string{
		"": {"chat/0/state", "mail/0/state"}, "chat/": {"chat/0/state"}, "chat/1": nil,
	} {
		if got := s.Left(prefix); !slices.Equal(got, want) {
			t.Errorf("left of %q: %q, want %q", prefix, got, want)
		}
	}
	if fd, ok := s.Peek("chat/0/state"); fd != chat || !ok || len(s.All()) > 0 {
		t.Errorf("peeked %d, %v; registered %v", fd, ok, s.All())
	}
	if fd, ok := s.Take("chat/0/state"); fd != chat || !ok {
		t.Errorf("took %d, %v; want %d", fd, ok, chat)
	}
	for _, ask := range []func(string) (int, bool){s.Take, s.Peek} {
		if _, ok := ask("chat/0/state"); ok {
			t.Error("it was there twice")
		}
	}
	if got, want := s.All(), map[string]int{"chat/0/state": chat}; !maps.Equal(got, want) {
		t.Errorf("registered: %v, want %v", got, want)
	}
	names, err := s.Drop()
	if err != nil || !slices.Equal(names, []string{"mail/0/state"}) {
		t.Errorf("dropped %q, %v", names, err)
	}
	if isOpen(mail) || !isOpen(chat) {
		t.Errorf("open: what was dropped %v, what was taken %v", isOpen(mail), isOpen(chat))
	}
	s.Remove("chat/0/state") // the keeper has had it since the supervisor before
	if again, err := s.Drop(); len(again) > 0 || err != nil || len(s.Left("")) > 0 {
		t.Errorf("dropped again %q, %v", again, err)
	}
	r.expect(t, "forget [mail/0/state]", "forget [chat/0/state]")
}

func TestAKeeperIsGivenNoMoreThanItTakes(t *testing.T) {
	r := new(recorder)
	s := New(r, map[string]int{"left": null(t)})
	most := map[string]int{}
	for i := range Max - 2 {
		most[strconv.Itoa(i)] = i
	}
	if err := s.Put(most); err != nil {
		t.Fatal(err)
	}
	r.told = nil
	if err := s.Put(map[string]int{"a": 1, "b": 2}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	if got := s.All(); got["a"] != 1 || got["b"] != 2 || len(got) != Max {
		t.Errorf("%d are registered, a is %d, b %d", len(got), got["a"], got["b"])
	}
	s.Remove("a", "b") // the keeper never had them
	if err := s.Put(map[string]int{"c": 3}); err != nil {
		t.Errorf("the last one: %v", err)
	}
	r.expect(t, "keep [c]")
}

// A worker's handles are put before it starts, and again with its pidfd.
func TestPuttingAgainTakesNoMoreRoom(t *testing.T) {
	r := new(recorder)
	s := New(r, nil)
	most := map[string]int{}
	for i := range Max - 1 {
		most[strconv.Itoa(i)] = i
	}
	if err := s.Put(most); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(map[string]int{"0": 0, "1": 1, "new": 2}); err != nil {
		t.Errorf("one more: %v", err)
	}
	if err := s.Put(map[string]int{"0": 0, "too many": 2}); !errors.Is(err, ErrFull) {
		t.Errorf("two more: %v, want ErrFull", err)
	}
	r.told = nil
	s.Remove("0", "too many")
	r.expect(t, "forget [0]") // which it has had since the first time
}

// A keeper that is slow holds nobody up but whoever gives it something.
func TestOthersDoNotWaitForTheKeeper(t *testing.T) {
	r := &recorder{waits: make(chan struct{})}
	s := New(r, nil)
	put := make(chan error, 1)
	go func() { put <- s.Put(map[string]int{"slow": 10}) }()
	for end := time.Now().Add(10 * time.Second); len(s.All()) == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	s.Hold("lent", 11)
	if err := s.Remove("lent"); err != nil || len(s.All()) != 1 {
		t.Errorf("%v, registered %v", err, s.All())
	}
	select {
	case err := <-put:
		t.Errorf("it was put before it was kept: %v", err)
	default:
	}
	close(r.waits)
	if err := <-put; err != nil {
		t.Error(err)
	}
}
