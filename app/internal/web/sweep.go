package web

import (
	"context"
	"encoding/binary"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// sweepEvery is how often all connections are looked at. One goroutine for all
// of them costs less than a timer for each.
const sweepEvery = time.Second

// forgetEvery is how many looks lie between two at the budgets.
const forgetEvery = 60

// pingLine asks the client for a sign of life.
var pingLine = wire.AppendLine(nil, &wire.Ping{T: wire.KindPing})

// sweep keeps connections alive and ends dead ones, until ctx ends.
func (s *Server) sweep(ctx context.Context) {
	gap := min(sweepEvery, s.o.HelloTimeout/2, s.o.PingEvery/2)
	every := time.NewTicker(gap)
	defer every.Stop()
	var list []*conn
	memory := newTidy()
	looks := 0
	for {
		select {
		case <-every.C:
			list = s.snapshot(list[:0])
			for _, c := range list {
				s.look(c, s.now(), gap)
			}
			if memory.due() {
				s.aside(giveBack)
			}
			if looks++; looks%forgetEvery == 0 {
				s.o.Limits.forget()
			}
			clear(list)
		case <-ctx.Done():
			return
		}
	}
}

// look decides what a connection needs; what may block is done aside. One that
// is still another process's is left alone.
func (s *Server) look(c *conn, now, gap time.Duration) {
	if !c.ours.Load() {
		return
	}
	peer, we := c.ws.Silent()
	ping := s.o.PingEvery - gap - phaseOf(c.session, s.o.PingEvery) // a gap later it would be too late
	pinged := time.Duration(c.pinged.Load())
	switch {
	case !c.greeted.Load() && now-time.Duration(c.began.Load()) >= s.o.HelloTimeout:
		s.aside(func() { c.dismiss(wire.CloseHelloMissed, "no hello in time") })
	case peer >= s.o.SilenceLimit:
		s.aside(func() { c.dismiss(wire.CloseSilent, "the client did not answer") })
	case c.greeted.Load() && max(peer, we) >= ping && (pinged == 0 || now-pinged >= ping):
		s.aside(c.ping)
	}
}

// phaseOf spreads the pings of clients that have come at the same moment, as they
// do after a restart, over a quarter of the time between two.
func phaseOf(session [32]byte, every time.Duration) time.Duration {
	spread := every / 4
	return spread * time.Duration(binary.BigEndian.Uint16(session[:])) / (1 << 16)
}

// aside runs what may wait for a client on a goroutine that Run waits for.
func (s *Server) aside(f func()) {
	if !s.hold() {
		return // everything is being closed anyway
	}
	go func() {
		defer s.serving.Done()
		f()
	}()
}
