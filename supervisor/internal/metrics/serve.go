package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/simpletalk/simpletalk/proto/address"
)

// lookEvery is how often it is looked where metrics are to be served: a reload
// may change that, and a supervisor before this one leaves its port with its end.
const lookEvery = time.Second

// Serve answers scrapes at /metrics of whatever address wanted returns, nil for
// none, until ctx ends. What keeps it from one is logged once, and tried again.
func (m *Metrics) Serve(ctx context.Context, wanted func() *address.Address, log *slog.Logger) error {
	s := &serving{handler: m.Handler(), log: log}
	defer s.stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s.follow(ctx, wanted())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// serving is the server at one address after the other.
type serving struct {
	handler http.Handler
	log     *slog.Logger
	at      address.Address // while server is not nil
	server  *http.Server
	running sync.WaitGroup
	failed  string // what was logged last
}

// follow serves at a, or nowhere.
func (s *serving) follow(ctx context.Context, a *address.Address) {
	if s.server != nil && (a == nil || *a != s.at) {
		s.stop()
	}
	if s.server != nil || a == nil {
		return
	}
	l, err := a.Listen(ctx)
	if err != nil {
		if text := a.String() + ": " + err.Error(); text != s.failed {
			s.failed = text
			s.log.Error("metrics not served", "address", a.String(), "err", err)
		}
		return
	}
	s.start(*a, l)
}

func (s *serving) start(a address.Address, l net.Listener) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.handler)
	s.at, s.failed = a, ""
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: scrapeTime, WriteTimeout: 2 * scrapeTime, IdleTimeout: time.Minute}
	s.log.Info("metrics served", "address", l.Addr().String())
	server := s.server
	s.running.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("metrics not served any more", "err", err)
		}
	})
}

func (s *serving) stop() {
	if s.server != nil {
		s.server.Close()
		s.running.Wait()
		s.server = nil
	}
}
