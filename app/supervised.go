//go:build linux

package main

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/handover"
	"github.com/simpletalk/simpletalk/app/internal/web"
	"github.com/simpletalk/simpletalk/proto"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// boss is the supervisor, if there is one.
type boss struct {
	worker *proto.Worker // nil: there is none
	asked  chan struct{} // closed when the supervisor asks for the drain
}

// join greets the supervisor that started this process.
func join() (*boss, error) {
	v, c := stamp()
	w, err := proto.Join(proto.Build{Version: v, Commit: c}, ws.Formats(handover.Versions()...))
	if errors.Is(err, proto.ErrUnsupervised) {
		w, err = nil, nil
	}
	return &boss{worker: w, asked: make(chan struct{})}, wrap("join the supervisor", err)
}

func (b *boss) supervised() bool { return b.worker != nil }

// generation is the number of this start, 0 without a supervisor.
func (b *boss) generation() int {
	if b.worker == nil {
		return 0
	}
	return b.worker.Generation()
}

// run says that this worker is ready and does what the supervisor asks, until
// it has drained or ctx ends.
func (b *boss) run(ctx context.Context, k *handover.Keeper, h *chat.Hub, peers func(n int), s *web.Server, drain func(context.Context, wire.Why, int)) error {
	if b.worker == nil {
		return nil
	}
	if err := b.worker.Ready(); err != nil {
		return wrap("tell the supervisor ready", err)
	}
	err := k.Run(ctx, proto.Handler{
		Drain: func(ctx context.Context, d proto.Drain) {
			close(b.asked)
			drain(ctx, why(d.Why), d.Rate)
		},
		Deliver: h.Deliver,
		Peers:   peers,
		Stats:   func() proto.Stats { return proto.Stats{Conns: s.Conns()} },
	})
	return wrap("talk to the supervisor", err)
}

// part ends the conversation, unless the supervisor is waiting to hear that
// the drain is over: then run ends by itself.
func (b *boss) part(stop func()) {
	select {
	case <-b.asked:
	default:
		stop()
	}
}

// why tells clients of a drain. To them a supervisor that has gone is a server
// that stops.
func why(w proto.Why) wire.Why {
	if w == proto.WhyDeploy {
		return wire.WhyDeploy
	}
	return wire.WhyStop
}

// givenListeners returns the sockets that this process was started with, in
// the order of their names.
func givenListeners() ([]net.Listener, error) {
	named, err := proto.Listeners()
	if err != nil {
		return nil, wrap("take the listening sockets", err)
	}
	var all []net.Listener
	for _, name := range slices.Sorted(maps.Keys(named)) {
		all = append(all, named[name])
	}
	return all, nil
}
