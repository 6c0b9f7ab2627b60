//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/handover"
	"github.com/simpletalk/simpletalk/app/internal/metrics"
	"github.com/simpletalk/simpletalk/app/internal/web"
	"github.com/simpletalk/simpletalk/proto/address"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// gcPercent is how much garbage may gather beside what is in use, in percent
// (GOGC). Nearly all of the heap is connections that live long: a crowd that
// arrives leaves fewer holes between them.
const gcPercent = 25

// How a stop without a supervisor goes.
const (
	stopRate    = 2000 // goodbyes a second
	stopTimeout = 10 * time.Second
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "serve the chat",
		Long: `Serve runs the chat on the embedded store in the data directory, or on MongoDB
when $MONGODB_URI, or the systemd credential simpletalk.mongodb-uri, names a
database: mongodb://HOST[,HOST…]/DATABASE or mongodb+srv://HOST/DATABASE. There
is no flag for it: anybody on the machine can read those.

Several hosts on one MongoDB are one chat when they share NATS: $NATS_URL, or the
credential simpletalk.nats-url, names its servers, nats://[TOKEN@]HOST[:PORT][,…]
or tls://….`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := readConfig(cmd.Flags())
			if err != nil {
				return err
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			log := newLog(cmd.ErrOrStderr())
			if err := serve(cmd.Context(), c, log); err != nil {
				return &runError{err}
			}
			return nil
		},
	}
	addSettings(cmd.Flags())
	return cmd
}

// newLog writes JSON for programs, and for a terminal what people read.
func newLog(w io.Writer) *slog.Logger {
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return slog.New(slog.NewTextHandler(w, nil))
		}
	}
	return slog.New(slog.NewJSONHandler(w, nil))
}

// serve runs the chat until it has drained, or ctx ends.
func serve(ctx context.Context, c config, log *slog.Logger) error {
	boss, err := join()
	if err != nil {
		return err
	}
	listeners, err := listenAll(ctx, c, boss)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, c, log)
	if err != nil {
		closeListeners(listeners)
		return err
	}
	err = serveStore(ctx, c, boss, listeners, store, log)
	return errors.Join(err, wrap("close store", store.Close()))
}

// serveStore runs everything that needs the store; when it returns nothing
// does any more.
func serveStore(ctx context.Context, c config, boss *boss, listeners []net.Listener, store chat.Store, log *slog.Logger) error {
	others, err := newPeering(boss, c.nats, log)
	if err != nil {
		closeListeners(listeners)
		return err
	}
	v, rev := stamp()
	build := web.Build{Version: v, Commit: rev, Gen: boss.generation(), PID: os.Getpid()}
	counts := metrics.New(build)
	store = counts.Store(store)
	limits := web.NewLimits()
	hub := chat.NewHub(chat.Options{
		Store: store, Bus: others, Log: log, Meter: counts, Ledger: limits, Limits: c.limits,
		NameKey: auth.NameKey, Admin: auth.Admins(store),
	})
	keeper := handover.New(boss.worker, hub)
	server, err := web.New(web.Options{
		Hub:     hub,
		Store:   store,
		Auth:    auth.New(auth.Options{Store: store, Present: hub, Signup: c.signup, Shed: counts.PasswordShed}),
		Build:   build,
		Log:     log,
		Meter:   counts,
		Limits:  limits,
		Keeper:  keeper,
		Origins: c.origins,
		Trusted: c.trusted,

		MaxPerClient: c.perAddress,
	})
	if err == nil {
		_, err = hub.Rooms(ctx) // the store answers, and its pages are in memory
	}
	if err != nil {
		closeListeners(listeners)
		return err
	}
	keeper.Serve(server)
	counts.Connections(server.Census)

	hubCtx, stopHub := context.WithCancel(context.WithoutCancel(ctx))
	var loops sync.WaitGroup
	loops.Go(func() { hub.Run(hubCtx) })
	others.peers(hub)(0) // the supervisor will tell of more
	serveCtx, stopServing := context.WithCancelCause(ctx)
	var drain sync.Once
	drainOnce := func(ctx context.Context, why wire.Why, rate int) {
		drain.Do(func() { server.Drain(ctx, why, rate) })
	}
	loops.Go(func() {
		if err := others.run(hubCtx, hub); err != nil {
			stopServing(err)
		}
	})
	loops.Go(func() { obeySignals(serveCtx, stopServing, drainOnce) })
	if c.debug != "" {
		debug := newDebugSocket(c.debug, hub, log, debugHandler(counts, server))
		loops.Go(func() { debug.run(hubCtx) })
	}
	bossCtx, stopBoss := context.WithCancel(context.WithoutCancel(ctx))
	loops.Go(func() {
		if err := boss.run(bossCtx, keeper, hub, others.peers(hub), server, drainOnce); err != nil {
			stopServing(err)
		}
	})
	for _, l := range listeners {
		log.Info("listening", "addr", l.Addr().String(), "gen", boss.generation(), "version", v)
	}
	err = server.Run(serveCtx, listeners...)
	stopServing(nil)
	boss.part(stopBoss)
	stopHub()
	loops.Wait()
	stopBoss()
	return err
}

// listenAll returns the sockets that were given, else the one asked for.
func listenAll(ctx context.Context, c config, b *boss) ([]net.Listener, error) {
	given, err := givenListeners()
	if err != nil {
		return nil, err
	}
	switch {
	case len(given) > 0 && c.listen != "":
		closeListeners(given)
		return nil, errors.New("--listen: the listening sockets are given to this process already, leave it out")
	case len(given) > 0:
		return given, nil
	case b.supervised():
		return nil, errors.New("the supervisor gave no listening socket: its --listen must name one")
	}
	if c.listen == "" {
		c.listen = defaultListen
	}
	a, err := address.Parse(c.listen)
	if err != nil {
		return nil, err
	}
	l, err := a.Listen(ctx)
	return []net.Listener{l}, wrap(fmt.Sprintf("listen on %s", a), err)
}

func closeListeners(all []net.Listener) {
	for _, l := range all {
		l.Close()
	}
}

// errAtOnce ends everything without a goodbye.
var errAtOnce = errors.New("stopped at once by a second signal")

// obeySignals drains at the first SIGTERM or SIGINT and stops at the second.
func obeySignals(ctx context.Context, stop context.CancelCauseFunc, drain func(context.Context, wire.Why, int)) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	var draining sync.WaitGroup
	defer draining.Wait()
	select {
	case <-signals:
	case <-ctx.Done():
		return
	}
	draining.Go(func() {
		limited, cancel := context.WithTimeout(ctx, stopTimeout)
		defer cancel()
		drain(limited, wire.WhyStop, stopRate)
	})
	select {
	case <-signals:
		stop(errAtOnce)
	case <-ctx.Done():
	}
}

func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
