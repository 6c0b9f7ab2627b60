//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
	"github.com/simpletalk/simpletalk/supervisor/internal/fleet"
	"github.com/simpletalk/simpletalk/supervisor/internal/listener"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
	"github.com/simpletalk/simpletalk/supervisor/internal/metrics"
	"github.com/simpletalk/simpletalk/supervisor/internal/record"
	"github.com/simpletalk/simpletalk/supervisor/internal/sdnotify"
	"github.com/simpletalk/simpletalk/supervisor/internal/statedir"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
	"github.com/simpletalk/simpletalk/supervisor/internal/upgrade"
)

// daemon is a running supervisor.
type daemon struct {
	*fleet.Fleet
	settings
	dir       *statedir.Dir
	store     *fdstore.Store
	sockets   listener.Set
	apiFD     int // of the listening socket of the control API; -1: none yet
	apiTurns  apiTurns
	upgrades  *upgrading
	postponed []fleet.Postponed // by the supervisor before
	output    *logs.Output
	metrics   *metrics.Metrics
	log       *slog.Logger
	started   time.Time

	ending context.Context // ends when the supervisor is to stop; of run
	flush  func()          // writes what is left of the output; of run
}

// gcPercent is how much garbage may gather beside what is in use, in percent
// (GOGC). Little is in use, most of the time: at Go's 100 the heap would be two
// thirds garbage, since it is never collected below 4 MB.
const gcPercent = 50

// supervised runs the supervisor until it is told to stop.
func supervised(ctx context.Context, s settings) (err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	d := &daemon{settings: s, apiFD: -1, started: time.Now()}
	d.output = newOutput()
	d.log = slog.New(slog.NewTextHandler(d.output, &slog.HandlerOptions{Level: s.level}))
	u, err := upgrade.Join()
	if err != nil {
		return err
	}
	d.upgrades = &upgrading{Upgrader: u, d: d}
	takesOver := u.TakesOver()
	received := receiveSignals() // the PID file and a supervisor before invite them
	err = d.open()
	if err == nil && takesOver {
		err = d.succeed(ctx)
	}
	switch {
	case err != nil && takesOver: // everything is the other supervisor's, and stays as it is
		u.Refuse(err)
		return err
	case err != nil:
		d.close()
		return err
	}
	defer d.close()
	return d.run(ctx, received)
}

// newOutput is the supervisor's own output: for people on a terminal, with
// priorities for whoever else reads it (sd-daemon(3)).
func newOutput() *logs.Output {
	if isTerminal(os.Stderr) {
		return logs.NewOutput(os.Stderr)
	}
	return logs.NewPrioritizedOutput(os.Stderr)
}

// open takes hold of everything that can be refused, before anything runs: the
// lock before anything is touched.
func (d *daemon) open() error {
	keeper := d.keeper()
	left, err := d.left()
	if err != nil {
		return err
	}
	d.store = fdstore.New(keeper, left)
	if err := d.check(); err != nil {
		return usage(err)
	}
	path, err := statedir.FindOrMake(d.state)
	if err != nil {
		return err
	}
	if d.dir, err = statedir.Open(path); err != nil {
		return err
	}
	if !d.upgrades.TakesOver() { // else the lock is the other one's, until it ends
		if err := d.lock(); err != nil {
			return err
		}
	}
	lent, err := listener.Inherited()
	if err != nil {
		return err
	}
	d.sockets.Lend(lent)
	if err := d.openFleet(path); err != nil {
		return err
	}
	if idle := d.sockets.Idle(); len(idle) > 0 {
		d.log.Warn("sockets from systemd that no listener is called after", "names", idle)
	}
	return d.openAPI()
}

// left is what a supervisor before has left: one that this one takes over from, or
// one that has ended without a word.
func (d *daemon) left() (map[string]int, error) {
	if d.upgrades.TakesOver() {
		return d.upgrades.Receive()
	}
	return fdstore.Inherited()
}

// openAPI opens the control socket, unless the supervisor before has passed on
// its own.
func (d *daemon) openAPI() error {
	if fd, ok := d.store.Take(storedAPI); ok {
		d.store.Remove(storedAPI)
		d.apiFD = fd
		return nil
	}
	l, err := d.dir.Listen(d.Group())
	if err != nil {
		return err
	}
	defer l.Close()
	d.apiFD, err = duplicateOf(l)
	return err
}

// keeper is what keeps descriptors beyond the end of this process: systemd, if it
// started it and answers.
func (d *daemon) keeper() fdstore.Keeper {
	if !sdnotify.Present() {
		return nil
	}
	store := sdnotify.FDStore{Prefix: fdstore.Prefix}
	if err := store.Settle(); err != nil {
		d.log.Warn("workers would not outlive their supervisor", "err", err)
		return nil
	}
	return store
}

// check refuses what cannot be started. Where a supervisor before has left
// programs, what is wrong by now is no reason not to go on with them.
func (d *daemon) check() error {
	if len(supervise.Keys(d.store)) > 0 {
		return nil
	}
	if _, err := d.load(); err != nil {
		return err
	}
	return d.settings.check()
}

func (d *daemon) openFleet(path string) error {
	changes, finding, err := record.Open(d.recordPath(path))
	if err != nil {
		return err
	}
	if finding.Outcome != record.Fresh && finding.Outcome != record.Loaded {
		d.log.Warn("record", "found", finding.String())
	}
	book := new(supervise.Book)
	restoreBook(book, d.dir, d.log)
	if d.postponed, err = d.postponedBefore(); err != nil {
		return err
	}
	for _, p := range d.postponed {
		for _, id := range p.Begun {
			book.Expect(id)
		}
	}
	d.Fleet, err = fleet.New(fleet.Parts{
		Load: d.load, From: d.from(), Record: changes, Sockets: &d.sockets, Store: d.store,
		Output: d.output, Book: book, Log: d.log, Meter: d.openMetrics(),
	})
	return err
}

// recordPath is where what was changed at run time is kept: where a service
// keeps what must survive a reboot, else in the state directory.
func (d *daemon) recordPath(state string) string {
	const name = "supervisor.json"
	if dir := os.Getenv("STATE_DIRECTORY"); filepath.IsAbs(dir) {
		return filepath.Join(dir, name)
	}
	return filepath.Join(state, name)
}

func (d *daemon) close() {
	if d.apiFD >= 0 {
		unix.Close(d.apiFD)
	}
	d.sockets.Close()
	if d.store != nil {
		d.store.Settle() // what is not heard now is there at the next start
	}
	if d.dir != nil {
		d.dir.Close()
	}
}

// run starts everything and returns when everything has ended. The parts end
// in the order in which they are needed: the programs on a signal, then the
// API, which tells their verdicts, then the output.
func (d *daemon) run(ctx context.Context, received chan os.Signal) error {
	signal.Ignore(syscall.SIGPIPE) // a reader of our output that left must not end us
	if err := d.dir.WritePID(); err != nil {
		return err
	}
	d.announceStandIn()
	outputCtx, endOutput := context.WithCancel(context.WithoutCancel(ctx))
	apiCtx, endAPI := context.WithCancel(context.WithoutCancel(ctx))
	fleetCtx, stop := context.WithCancel(ctx)
	defer stop()
	var output, api, signals sync.WaitGroup
	output.Go(func() { d.output.Run(outputCtx) })
	d.ending, d.flush = fleetCtx, func() { endOutput(); output.Wait() }
	defer context.AfterFunc(fleetCtx, d.upgrades.Stop)()
	var apiErr error
	api.Go(func() {
		<-d.Begun() // nobody is told that there are no programs yet
		if apiErr = d.apiTurns.run(apiCtx, &control.Server{Backend: d, Log: d.log, Metrics: d.metrics.Handler(), Group: d.Group}, d.apiFD); apiErr != nil {
			stop()
		}
	})
	ended := make(chan struct{})
	told := newManager(d)
	api.Go(func() { told.run(apiCtx, fleetCtx) })
	api.Go(func() { keepBook(apiCtx, d.Book, d.dir, d.log) })
	api.Go(func() { countVerdicts(apiCtx, d.Book, d.metrics) })
	api.Go(func() { d.metrics.Serve(apiCtx, d.Metrics, d.log) })
	api.Go(func() { watchStandIn(apiCtx, stop) })
	api.Go(func() { reapOrphans(apiCtx) })
	api.Go(d.performPostponed)
	api.Go(func() { <-d.Begun(); d.endLeftovers(apiCtx) })
	signals.Go(func() { d.attend(received, ended, stop) })
	d.greet()

	d.Fleet.Run(fleetCtx)
	stop()
	d.upgrades.attempts.Wait()
	endAPI()
	api.Wait()
	close(ended)
	signals.Wait()
	d.log.Info("supervisor ended", "pid", os.Getpid())
	d.flush()
	return apiErr
}

// greet says that the supervisor is up, to whoever watches and to whoever
// waits for a detached one.
func (d *daemon) greet() {
	d.log.Info("supervisor started", "version", build().Version, "pid", os.Getpid())
	for _, l := range d.sockets.All() {
		d.log.Info("listening", "name", l.Name, "address", l.Address.String())
		if l.Name == "http" && l.Address.Network == "tcp" {
			fmt.Fprintf(d.output, "%s at http://%s\n", d.greeted, l.Address)
		}
	}
	tellLauncher(launched)
}

// Status implements [control.Backend].
func (d *daemon) Status(ctx context.Context) (control.Status, error) {
	s, err := d.Fleet.Status(ctx)
	s.PID, s.Version, s.Commit, s.Started = os.Getpid(), build().Version, build().Commit, d.started
	return s, err
}
