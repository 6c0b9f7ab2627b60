package web

import (
	"context"
	"sync"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// strandedPace is how many clients a second are sent to other hosts.
const strandedPace = 300

// outage is since when the store does not answer, zero while it does.
type outage struct{ since time.Time }

// saw takes how a call of the store that began at a time ended.
func (o *outage) saw(began time.Time, err error) {
	switch {
	case err == nil:
		o.since = time.Time{}
	case o.since.IsZero():
		o.since = began
	}
}

// strands reports whether the store is away from this host alone: it has been for
// long, and of late, at told, another one has told that it stores messages.
func (o *outage) strands(now, told time.Time, after time.Duration) bool {
	return !o.since.IsZero() && now.Sub(o.since) >= after && now.Sub(told) < after/2
}

// sendElsewhere tells all clients to connect again: other hosts can do what this
// one cannot. Who comes back here is refused, so that a load balancer asks others.
func (s *Server) sendElsewhere(ctx context.Context) {
	var conns []*conn
	for _, c := range s.snapshot(nil) {
		if c.ours.Load() {
			conns = append(conns, c)
		}
	}
	if len(conns) == 0 {
		return
	}
	s.o.Log.Warn("store away from this host alone, sending its clients to others", "conns", len(conns))
	var goodbyes sync.WaitGroup
	s.closePaced(ctx, conns, wire.WhyElsewhere, time.Second/strandedPace, &goodbyes)
	goodbyes.Wait()
}
