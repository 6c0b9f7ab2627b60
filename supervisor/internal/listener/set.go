package listener

import (
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
)

// Set is the sockets that a supervisor holds. What the configuration names by
// then is added to it and what no configuration names any more is taken away,
// while the rest stays as it is. It may be used concurrently.
type Set struct {
	// Store gets every socket, for a supervisor after this one; nil: none comes. It
	// is set before the Set is used.
	Store *fdstore.Store

	mu   sync.Mutex
	open []Listener // in the order in which they were opened
	lent []Listener // by systemd, not asked for yet
}

// Lend gives the set sockets that are taken instead of opening those of their
// names. It owns them.
func (s *Set) Lend(all []Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lent = append(s.lent, all...)
}

// Idle returns the names of lent sockets that nobody has asked for.
func (s *Set) Idle() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, l := range s.lent {
		names = append(names, l.Name)
	}
	return names
}

// take moves the lent socket of l's name to those that are open.
func (s *Set) take(l config.Listen) bool {
	i := slices.IndexFunc(s.lent, func(o Listener) bool { return o.Name == l.Name })
	if i < 0 {
		return false
	}
	taken := s.lent[i]
	taken.asked = l.Address
	s.hold(taken)
	s.lent = slices.Delete(s.lent, i, i+1)
	s.open = append(s.open, taken)
	return true
}

// Add opens what is not open yet, all of it or none. A socket is known by its
// address: one of the same name at another address is opened beside it.
func (s *Set) Add(listens []config.Listen) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing []config.Listen
	for _, l := range listens {
		if s.index(l) < 0 && !s.take(l) {
			missing = append(missing, l)
		}
	}
	opened, err := Open(missing)
	if err != nil {
		return err
	}
	for i, l := range missing {
		opened[i].asked = l.Address
		s.hold(opened[i])
	}
	s.open = append(s.open, opened...)
	return nil
}

// index finds the socket that was opened for l's address; -1 if there is none.
func (s *Set) index(l config.Listen) int {
	return slices.IndexFunc(s.open, func(o Listener) bool { return o.is(l) })
}

// is reports whether o is the socket that l asks for. Where the kernel chose
// the port, the name tells.
func (l Listener) is(asked config.Listen) bool {
	return l.asked.Same(asked.Address) || l.asked == asked.Address && l.Name == asked.Name
}

// Find returns the open socket of l's address under l's name. Its descriptor may
// be closed any time: [Set.Duplicate] is for using it.
func (s *Set) Find(l config.Listen) (Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(l)
}

// Duplicate returns a close-on-exec duplicate of the descriptor of l's socket,
// which is the caller's.
func (s *Set) Duplicate(l config.Listen) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(l)
	if err != nil {
		return -1, err
	}
	return unix.FcntlInt(uintptr(found.FD), unix.F_DUPFD_CLOEXEC, 0)
}

func (s *Set) find(l config.Listen) (Listener, error) {
	i := s.index(l)
	if i < 0 {
		return Listener{}, fmt.Errorf("listener %s (%s) is not open any more: a later configuration had it closed", l.Name, l.Address)
	}
	found := s.open[i]
	found.Name = l.Name
	return found, nil
}

// Keep closes all sockets but those of listens.
func (s *Set) Keep(listens []config.Listen) (closed []Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = slices.DeleteFunc(s.open, func(o Listener) bool {
		wanted := slices.ContainsFunc(listens, o.is)
		if !wanted {
			s.forget(o)
			o.Close()
			closed = append(closed, o)
		}
		return !wanted
	})
	return closed
}

// All returns the open sockets.
func (s *Set) All() []Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.open)
}

// Close closes them all, those that nobody asked for too.
func (s *Set) Close() {
	s.Keep(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lent {
		l.Close()
	}
	s.lent = nil
}
