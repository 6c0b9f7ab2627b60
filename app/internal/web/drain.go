package web

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

const (
	// pacedShare of the time left is for the WebSockets, if their number needs
	// a faster pace than asked for; the rest is for their answers.
	pacedShare = 0.8
	// deployJitter spreads clients that were closed in the same instant.
	deployJitter = 200 * time.Millisecond
	// stopDelay is what a restart takes; nobody need try before.
	stopDelay = time.Second
	drainPoll = 20 * time.Millisecond
)

// Drain ends the service: it closes the listeners, tells each WebSocket bye
// and closes it, rate a second (faster if the time would not do), and lets
// requests end. It returns when nothing is left or ctx ends; then Run returns
// too. Call it once.
//
// On a deploy another process serves already and idle HTTP connections are
// left to their owners, who may be sending a request right now; each next
// answer closes its connection. On a stop there is nobody else, and idle ones
// are closed.
func (s *Server) Drain(ctx context.Context, why wire.Why, rate int) {
	defer close(s.drained)
	s.stopAccepting(ctx, why)
	conns := s.snapshot(nil)
	s.o.Log.Info("draining", "why", why, "conns", len(conns))
	var goodbyes sync.WaitGroup
	s.closePaced(ctx, conns, why, pace(ctx, rate, len(conns)), &goodbyes)
	for !s.isEmpty(why) && sleep(ctx, drainPoll) {
	}
	if ctx.Err() != nil {
		s.o.Log.Info("drain ran out of time", "conns", s.Conns())
		s.closeAll()
	}
	goodbyes.Wait()
}

// stopAccepting closes the listeners and waits until every connection that was
// taken from them is known: one in between would be cut by an early end.
func (s *Server) stopAccepting(ctx context.Context, why wire.Why) {
	s.mu.Lock()
	s.phase = max(s.phase, phaseDraining)
	s.replaced = why == wire.WhyDeploy
	listeners := s.listeners
	s.mu.Unlock()
	closeListeners(listeners)
	select {
	case <-s.accepted:
	case <-ctx.Done():
	}
}

// pace returns the time between two goodbyes.
func pace(ctx context.Context, rate, conns int) time.Duration {
	gap := time.Second / time.Duration(max(rate, 1))
	if end, ok := ctx.Deadline(); ok && conns > 0 {
		most := time.Duration(pacedShare * float64(time.Until(end)) / float64(conns))
		gap = min(gap, max(most, 0))
	}
	return gap
}

// closePaced says goodbye to one connection after the other. A client that
// does not read holds up nobody: each goodbye has its own goroutine.
func (s *Server) closePaced(ctx context.Context, conns []*conn, why wire.Why, gap time.Duration, goodbyes *sync.WaitGroup) {
	spread := gap * time.Duration(len(conns))
	start := time.Now()
	for i, c := range conns {
		if d := time.Until(start.Add(time.Duration(i) * gap)); d > 0 && !sleep(ctx, d) {
			return
		}
		goodbyes.Go(func() { c.goodbye(why, comeBack(why, spread)) })
	}
}

// comeBack is how long a client should wait before it connects again. On a
// deploy the pace of the goodbyes spreads the clients already; on a stop they
// all come to the same restart.
func comeBack(why wire.Why, spread time.Duration) time.Duration {
	if why == wire.WhyStop {
		return stopDelay + rand.N(spread+time.Millisecond)
	}
	return rand.N(deployJitter)
}

// isEmpty reports whether nothing is left that Drain waits for.
func (s *Server) isEmpty(why wire.Why) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, state := range s.plain {
		if why != wire.WhyStop || state == http.StateActive {
			return false
		}
	}
	return len(s.conns)+s.upgrades == 0
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
