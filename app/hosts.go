//go:build linux

package main

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/nats"
	"github.com/simpletalk/simpletalk/proto"
)

// peering is the way to every other hub on the same store: the workers of this
// host through the supervisor, those of other hosts through NATS.
type peering struct {
	worker *proto.Worker // nil: there is no supervisor
	hosts  *nats.Bus     // nil: there are no other hosts
	here   atomic.Int64  // other workers of this host
}

func newPeering(b *boss, o nats.Options, log *slog.Logger) (*peering, error) {
	p := &peering{worker: b.worker}
	if o.URL == "" {
		return p, nil
	}
	o.Log = log
	var err error
	p.hosts, err = nats.New(o)
	return p, wrap("NATS", err)
}

// Publish implements [chat.Bus]. What finds no room in a queue is lost: the hubs
// repair that.
func (p *peering) Publish(data []byte) {
	if p.here.Load() > 0 {
		p.worker.Publish(data)
	}
	if p.hosts != nil {
		p.hosts.Publish(data)
	}
}

// peers tells the hub of the other workers on this host. Hosts cannot be
// counted, so they are always taken to be there.
func (p *peering) peers(h *chat.Hub) func(n int) {
	return func(n int) {
		p.here.Store(int64(n))
		if p.hosts != nil {
			n++
		}
		h.Peers(n)
	}
}

// run carries messages between hosts until ctx ends.
func (p *peering) run(ctx context.Context, h *chat.Hub) error {
	if p.hosts == nil {
		return nil
	}
	return p.hosts.Run(ctx, h.Epoch(), h)
}
