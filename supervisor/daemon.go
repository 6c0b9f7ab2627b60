//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
	"github.com/simpletalk/simpletalk/supervisor/internal/fleet"
	"github.com/simpletalk/simpletalk/supervisor/internal/listener"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
	"github.com/simpletalk/simpletalk/supervisor/internal/record"
	"github.com/simpletalk/simpletalk/supervisor/internal/sdnotify"
	"github.com/simpletalk/simpletalk/supervisor/internal/statedir"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
)

// daemon is a running supervisor.
type daemon struct {
	*fleet.Fleet
	settings
	dir     *statedir.Dir
	store   *fdstore.Store
	sockets listener.Set
	api     net.Listener
	output  *logs.Output
	log     *slog.Logger
	started time.Time
}

// supervised runs the supervisor until it is told to stop.
func supervised(ctx context.Context, s settings) (err error) {
	d := &daemon{settings: s, started: time.Now()}
	d.output = newOutput()
	d.log = slog.New(slog.NewTextHandler(d.output, &slog.HandlerOptions{Level: s.level}))
	if err := d.open(); err != nil {
		d.close()
		return err
	}
	defer d.close()
	return d.run(ctx)
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
	left, err := fdstore.Inherited()
	if err != nil {
		return err
	}
	d.store = fdstore.New(d.keeper(), left)
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
	if err := d.lock(); err != nil {
		return err
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
	d.api, err = d.dir.Listen(d.Group())
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
	d.Fleet, err = fleet.New(fleet.Parts{
		Load: d.load, From: d.from(), Record: changes, Sockets: &d.sockets, Store: d.store,
		Output: d.output, Book: book, Log: d.log,
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
	if d.api != nil {
		d.api.Close()
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
func (d *daemon) run(ctx context.Context) error {
	signal.Ignore(syscall.SIGPIPE) // a reader of our output that left must not end us
	received := receiveSignals()   // before the PID file invites them
	if err := d.dir.WritePID(); err != nil {
		return err
	}
	outputCtx, endOutput := context.WithCancel(context.WithoutCancel(ctx))
	apiCtx, endAPI := context.WithCancel(context.WithoutCancel(ctx))
	fleetCtx, stop := context.WithCancel(ctx)
	defer stop()
	var output, api, signals sync.WaitGroup
	output.Go(func() { d.output.Run(outputCtx) })
	var apiErr error
	api.Go(func() {
		<-d.Begun() // nobody is told that there are no programs yet
		if apiErr = (&control.Server{Backend: d, Log: d.log, Group: d.Group}).Serve(apiCtx, d.api); apiErr != nil {
			stop()
		}
	})
	ended := make(chan struct{})
	told := newManager(d)
	api.Go(func() { told.run(apiCtx, fleetCtx) })
	api.Go(func() { keepBook(apiCtx, d.Book, d.dir, d.log) })
	signals.Go(func() { d.attend(received, ended, stop) })
	d.greet()

	d.Fleet.Run(fleetCtx)
	stop()
	endAPI()
	api.Wait()
	close(ended)
	signals.Wait()
	d.log.Info("supervisor ended", "pid", os.Getpid())
	endOutput()
	output.Wait()
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
