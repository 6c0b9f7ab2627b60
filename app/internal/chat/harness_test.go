package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// run starts a hub that ends, with all its goroutines, with the test.
func run(t testing.TB, o Options) *Hub {
	h := NewHub(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return h
}

// screen is a client: it holds what it was told and complains about a breach
// of the wire's invariants.
type screen struct {
	t *testing.T
	*Member

	mu      sync.Mutex
	cursors map[string]int64
	texts   map[string][]string // by room, since the last reset
	lines   []any
	resets  int
	broken  error
	gate    chan struct{} // if not nil, the client does not read until it is closed
}

func (s *screen) Send(lines []byte) error {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	select {
	case <-gate:
	default:
		if gate != nil {
			return ErrBusy
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	for _, line := range wire.Lines(lines) {
		m, err := wire.ParseServer(line)
		if err != nil {
			s.t.Errorf("line %s: %v", line, err)
			continue
		}
		s.lines = append(s.lines, m)
		s.take(m)
	}
	return nil
}

func (s *screen) Await() {
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
}

func (s *screen) take(m any) {
	switch m := m.(type) {
	case *wire.Reset:
		s.resets++
		s.cursors[m.Room] = m.After
		s.texts[m.Room] = nil
	case *wire.Event:
		if m.Seq != s.cursors[m.Room]+1 {
			s.t.Errorf("%s: got seq %d after %d", m.Room, m.Seq, s.cursors[m.Room])
		}
		s.cursors[m.Room] = m.Seq
		s.texts[m.Room] = append(s.texts[m.Room], m.Text)
	case *wire.Live:
		if m.Seq != s.cursors[m.Room] {
			s.t.Errorf("%s: live at %d, but told up to %d", m.Room, m.Seq, s.cursors[m.Room])
		}
	}
}

// meet connects a user and opens rooms at cursors.
func meet(t *testing.T, h *Hub, name string, cursors map[string]int64) *screen {
	t.Helper()
	s := &screen{t: t, cursors: map[string]int64{}, texts: map[string][]string{}}
	s.Member = h.Connect(User{ID: "id-" + name, Name: name}, s)
	for room, c := range cursors {
		s.cursors[room] = c
	}
	if err := s.Open(h.Epoch(), believed(cursors)); err != nil {
		t.Fatal(err)
	}
	return s
}

// believed are cursors that say nothing of times.
func believed(seqs map[string]int64) map[string]Cursor {
	cursors := map[string]Cursor{}
	for room, seq := range seqs {
		cursors[room] = Cursor{Seq: seq}
	}
	return cursors
}

func (s *screen) cursor(room string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursors[room]
}

func (s *screen) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.texts["lobby"])
}

// taken returns the lines of kind M and forgets all lines.
func taken[M any](s *screen) []M {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []M
	for _, l := range s.lines {
		if m, ok := l.(M); ok {
			all = append(all, m)
		}
	}
	s.lines = nil
	return all
}

// post says something and waits for its commit.
func (s *screen) post(room, nonce, text string) (Appended, error) {
	s.t.Helper()
	p, err := s.Post(room, nonce, text)
	if err != nil {
		s.t.Fatal(err)
	}
	return p.Wait()
}

// filled returns a store with n events in the lobby: text n at seq n.
func filled(t testing.TB, n int) *Memory {
	m := NewMemory()
	for from := 1; from <= n; from += 100 {
		var drafts []Draft
		for i := from; i <= min(n, from+99); i++ {
			drafts = append(drafts, draft(i))
		}
		if _, err := m.Append(context.Background(), drafts); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func draft(i int) Draft {
	return Draft{
		Room: "lobby", Kind: wire.EventPost, User: User{"id-x", "X"},
		Nonce: fmt.Sprint("n", i), Text: fmt.Sprint("text ", i),
	}
}

// moody is a store that fails when told to.
type moody struct {
	*Memory
	mu      sync.Mutex
	err     error
	slow    time.Duration
	appends int
}

func (m *moody) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *moody) mood(appends int) error {
	m.mu.Lock()
	m.appends += appends
	err, slow := m.err, m.slow
	m.mu.Unlock()
	if appends > 0 { // a reader may sleep holding a mutex, for which a bubble's clock stands still
		time.Sleep(slow)
	}
	return err
}

func (m *moody) Append(ctx context.Context, d []Draft) ([]Appended, error) {
	if err := m.mood(1); err != nil {
		return nil, err
	}
	return m.Memory.Append(ctx, d)
}

func (m *moody) After(ctx context.Context, room string, seq int64, n int) ([]Event, error) {
	if err := m.mood(0); err != nil {
		return nil, err
	}
	return m.Memory.After(ctx, room, seq, n)
}

func (m *moody) Before(ctx context.Context, room string, seq int64, n int) ([]Event, error) {
	if err := m.mood(0); err != nil {
		return nil, err
	}
	return m.Memory.Before(ctx, room, seq, n)
}

func (m *moody) PostsBefore(ctx context.Context, room string, seq int64, n int) ([]Event, error) {
	if err := m.mood(0); err != nil {
		return nil, err
	}
	return m.Memory.PostsBefore(ctx, room, seq, n)
}

func (m *moody) Head(ctx context.Context, room string) (int64, error) {
	if err := m.mood(0); err != nil {
		return 0, err
	}
	return m.Memory.Head(ctx, room)
}

// bubble runs f with a clock of its own, and checks that all goroutines end.
func bubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

// soon lets everything happen that needs no more than d.
func soon(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var errGone = errors.New("the client has gone")
