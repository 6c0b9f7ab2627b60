package load

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/web"
)

// backend is a real server, as one generation of a site.
type backend struct {
	addr   string
	hub    *chat.Hub
	server *web.Server
	peer   *backend // hears what this one commits
}

// Publish implements [chat.Bus].
func (b *backend) Publish(data []byte) { b.peer.hub.Deliver(data) }

// serve starts a backend that ends with the test, if Drain does not end it
// before.
func serve(t testing.TB, store chat.Store, gen int) *backend {
	t.Helper()
	b := &backend{}
	b.hub = chat.NewHub(chat.Options{Store: store, Bus: b})
	server, err := web.New(web.Options{
		Hub: b.hub, Store: store, Auth: auth.New(auth.Options{Store: store, Present: b.hub}),
		Build: web.Build{Version: "test", Commit: "c0", Gen: gen, PID: 1000 + gen},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.server = server
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	hubCtx, stopHub := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.hub.Run(hubCtx) })
	running.Go(func() {
		if err := server.Run(ctx, l); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		stopHub()
		running.Wait()
	})
	return b
}

// succeed starts the next generation on the same store.
func (b *backend) succeed(t testing.TB, store chat.Store, gen int) *backend {
	next := serve(t, store, gen)
	next.peer, b.peer = b, next
	b.hub.Peers(1)
	next.hub.Peers(1)
	return next
}
