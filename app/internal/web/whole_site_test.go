package web

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/sqlite"
)

// site is a worker on a store of its own, on one database with others, that is
// stopped and started again at an address that stays.
type site struct {
	t    *testing.T
	dir  string
	addr string
	bus  chat.Bus
	rnd  *rand.Rand   // of run
	calm *atomic.Bool // its store has no moods any more

	mu  sync.Mutex
	hub *chat.Hub // nil: it is down
}

// run keeps the site up until ctx ends, but for some restarts: each closes every
// client at once, and the store.
func (s *site) run(ctx context.Context, restarts int) {
	for i := 0; ctx.Err() == nil; i++ {
		life := time.Duration(300+s.rnd.IntN(500)) * time.Millisecond
		if i >= restarts {
			life = time.Hour
		}
		if err := s.live(ctx, life); err != nil {
			s.t.Error(err)
			return
		}
	}
}

// live is up for a while.
func (s *site) live(ctx context.Context, life time.Duration) error {
	opened, err := sqlite.Open(context.WithoutCancel(ctx), s.dir, sqlite.Options{})
	if err != nil {
		return err
	}
	defer opened.Close()
	store := &moody{Store: opened, calm: s.calm, rnd: rand.New(rand.NewPCG(s.rnd.Uint64(), 0))}
	hub := chat.NewHub(chat.Options{Store: store, Bus: s.bus})
	server, err := New(Options{Hub: hub, Store: store, Auth: auth.New(auth.Options{Store: store, Present: hub})})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	hubCtx, stopHub := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { hub.Run(hubCtx) })
	hub.Peers(1)
	s.set(hub)
	ctx, stop := context.WithCancel(ctx)
	defer time.AfterFunc(life, stop).Stop()
	err = server.Run(ctx, l)
	stop()
	s.set(nil)
	stopHub()
	running.Wait()
	return err
}

func (s *site) set(h *chat.Hub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub = h
}

func (s *site) deliver(data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hub != nil {
		s.hub.Deliver(data)
	}
}

// doorbell rings at another site: late, some twice, and every third message is
// lost.
type doorbell struct {
	to *site

	mu  sync.Mutex
	rnd *rand.Rand
}

func (d *doorbell) Publish(data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range []int{0, 1, 1, 1, 1, 2}[d.rnd.IntN(6)] {
		time.AfterFunc(time.Duration(d.rnd.IntN(80))*time.Millisecond, func() { d.to.deliver(data) })
	}
	if d.rnd.IntN(6) == 0 {
		d.to.deliver(data)
	}
}

// moody is a store that fails now and then. What becomes of an append is not
// known then: half of those are stored.
type moody struct {
	chat.Store
	calm *atomic.Bool

	mu  sync.Mutex
	rnd *rand.Rand
}

var errMoody = fmt.Errorf("the store is in no mood: %w", chat.ErrUnavailable)

// one is true once in n times, while it has moods.
func (m *moody) one(n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rnd.IntN(n) == 0 && !m.calm.Load()
}

func (m *moody) Append(ctx context.Context, drafts []chat.Draft) ([]chat.Appended, error) {
	if m.one(20) {
		return nil, errMoody
	}
	a, err := m.Store.Append(ctx, drafts)
	if m.one(20) {
		return nil, errMoody
	}
	return a, err
}

func (m *moody) After(ctx context.Context, room string, seq int64, limit int) ([]chat.Event, error) {
	if m.one(20) {
		return nil, errMoody
	}
	return m.Store.After(ctx, room, seq, limit)
}

func (m *moody) PostsBefore(ctx context.Context, room string, seq int64, limit int) ([]chat.Event, error) {
	if m.one(20) {
		return nil, errMoody
	}
	return m.Store.PostsBefore(ctx, room, seq, limit)
}

func (m *moody) PutReads(ctx context.Context, reads []chat.Read) error {
	if m.one(3) {
		return errMoody
	}
	return m.Store.PutReads(ctx, reads)
}
