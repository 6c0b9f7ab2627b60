package fdstore

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Max is how many descriptors a Keeper is given at most. The unit asks systemd
// for that many by FileDescriptorStoreMax=, which drops silently what is more.
const Max = 1024

// Keeper keeps duplicates of descriptors beyond the end of this process. Its
// methods may be called concurrently.
type Keeper interface {
	// Keep returns when the descriptors are kept.
	Keep(fds map[string]int) error
	// Forget lets go of those of the names, in time.
	Forget(names []string) error
	// Settle returns when all that was said before is done.
	Settle() error
}

// ErrFull says that there are [Max] descriptors already.
var ErrFull = errors.New("too many descriptors to keep")

// Store is the descriptors of one supervisor that another one may go on with.
// It may be used concurrently.
type Store struct {
	keeper Keeper // nil: nothing outlives this process but by an upgrade

	mu   sync.Mutex
	here map[string]entry
	left map[string]int // of the supervisor before, until somebody takes it
}

// entry is a registered descriptor, its owner's.
type entry struct {
	fd   int
	kept bool
}

// New returns a store with what the supervisor before has left, whose
// descriptors are the store's. keeper may be nil.
func New(keeper Keeper, left map[string]int) *Store {
	if left == nil {
		left = map[string]int{}
	}
	return &Store{keeper: keeper, here: map[string]entry{}, left: left}
}

// Put registers descriptors, which stay the caller's, and returns when they
// outlive this process. A name that is in use must be that of the same
// descriptor. On an error they are registered all the same.
func (s *Store) Put(fds map[string]int) error {
	s.mu.Lock()
	for name, fd := range fds {
		s.here[name] = entry{fd, s.here[name].kept}
	}
	room := len(s.here)+len(s.left) <= Max
	for name, fd := range fds {
		s.here[name] = entry{fd, s.here[name].kept || s.keeper != nil && room}
	}
	s.mu.Unlock()
	switch {
	case s.keeper == nil:
		return nil
	case !room:
		return fmt.Errorf("%w: there are %d", ErrFull, Max)
	}
	return s.keeper.Keep(fds) // off the mutex: it waits
}

// Hold registers a descriptor that systemd gives to the next start anyway.
func (s *Store) Hold(name string, fd int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.here[name] = entry{fd, false}
}

// Remove forgets descriptors; what is not registered is ignored. An error says
// that the keeper may not have heard it.
func (s *Store) Remove(names ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []string
	for _, name := range names {
		if s.here[name].kept {
			kept = append(kept, name)
		}
		delete(s.here, name)
	}
	if len(kept) == 0 {
		return nil
	}
	return s.keeper.Forget(kept)
}

// Take gives the caller a descriptor of the supervisor before, which is
// registered under its name from here on.
func (s *Store) Take(name string) (fd int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fd, ok = s.left[name]
	if ok {
		delete(s.left, name)
		s.here[name] = entry{fd, s.keeper != nil}
	}
	return fd, ok
}

// Left returns, sorted, the names of what nobody has taken that begin with a
// prefix.
func (s *Store) Left(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.left {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Peek is the descriptor that Take would give. It stays the store's.
func (s *Store) Peek(name string) (fd int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fd, ok = s.left[name]
	return fd, ok
}

// Drop closes and forgets what the supervisor before has left and nobody took,
// and returns the names.
func (s *Store) Drop() (names []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names = slices.Sorted(maps.Keys(s.left))
	for _, fd := range s.left {
		unix.Close(fd)
	}
	clear(s.left)
	if s.keeper != nil && len(names) > 0 {
		err = s.keeper.Forget(names)
	}
	return names, err
}

// All returns what is registered. The descriptors stay their owners', who must
// not close them meanwhile.
func (s *Store) All() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]int, len(s.here))
	for name, e := range s.here {
		all[name] = e.fd
	}
	return all
}

// Settle returns when the keeper has forgotten what was removed: a process that
// ends at once after that is not heard.
func (s *Store) Settle() error {
	if s.keeper == nil {
		return nil
	}
	return s.keeper.Settle()
}
