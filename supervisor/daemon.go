//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/listener"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
	"github.com/simpletalk/simpletalk/supervisor/internal/statedir"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// daemon is a running supervisor.
type daemon struct {
	settings
	dir       *statedir.Dir
	listeners []listener.Listener
	api       net.Listener
	output    *logs.Output
	log       *slog.Logger
	book      *supervise.Book
	instance  *supervise.Instance
	started   time.Time
}

// supervised runs the supervisor until it is told to stop.
func supervised(ctx context.Context, s settings) (err error) {
	d := &daemon{settings: s, started: time.Now(), book: new(supervise.Book)}
	if err := d.open(); err != nil {
		d.close()
		return err
	}
	defer d.close()
	return d.run(ctx)
}

// open takes hold of everything that can be refused, before anything runs:
// the lock first.
func (d *daemon) open() error {
	build, err := worker.Pin(d.path)
	if err != nil {
		return usage(fmt.Errorf("the program cannot be started: %w", err))
	}
	build.Close()
	path, err := statedir.FindOrMake(d.state)
	if err != nil {
		return err
	}
	if d.dir, err = statedir.Open(path); err != nil {
		return err
	}
	if d.listeners, err = listener.Open(d.listens); err != nil {
		return err
	}
	d.api, err = d.dir.Listen()
	return err
}

func (d *daemon) close() {
	if d.api != nil {
		d.api.Close()
	}
	for _, l := range d.listeners {
		l.Close()
	}
	if d.dir != nil {
		d.dir.Close()
	}
}

// run starts everything and returns when everything has ended. The parts end
// in the order in which they are needed: the instance on a signal, then the
// API, which tells its verdict, then the output.
func (d *daemon) run(ctx context.Context) error {
	signal.Ignore(syscall.SIGPIPE) // a reader of our output that left must not end us
	received := receiveSignals()   // before the PID file invites them
	if err := d.dir.WritePID(); err != nil {
		return err
	}
	d.output = logs.NewOutput(os.Stderr)
	d.log = slog.New(slog.NewTextHandler(d.output, &slog.HandlerOptions{Level: d.level}))
	d.instance = supervise.NewInstance(d.timing, d.launcher(), d.book, d.log)

	outputCtx, endOutput := context.WithCancel(context.WithoutCancel(ctx))
	apiCtx, endAPI := context.WithCancel(context.WithoutCancel(ctx))
	instanceCtx, stop := context.WithCancel(ctx)
	defer stop()
	var output, api, signals sync.WaitGroup
	output.Go(func() { d.output.Run(outputCtx) })
	var apiErr error
	api.Go(func() {
		if apiErr = (&control.Server{Backend: d, Log: d.log}).Serve(apiCtx, d.api); apiErr != nil {
			stop()
		}
	})
	ended := make(chan struct{})
	signals.Go(func() { d.attend(received, ended, stop) })
	d.greet()

	d.instance.Run(instanceCtx)
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

func (d *daemon) launcher() *supervise.Program {
	p := &supervise.Program{Name: d.program, Path: d.path, Args: d.args, Output: d.output}
	for _, l := range d.listeners {
		p.Sockets = append(p.Sockets, worker.Socket{Name: l.Name, FD: l.FD})
	}
	return p
}

// greet says that the supervisor is up, to whoever watches and to whoever
// waits for a detached one.
func (d *daemon) greet() {
	d.log.Info("supervisor started", "version", build().Version, "pid", os.Getpid())
	for _, l := range d.listeners {
		d.log.Info("listening", "name", l.Name, "address", l.Address.String())
		if l.Name == "http" && l.Address.Network == "tcp" {
			fmt.Fprintf(d.output, "%s at http://%s\n", d.program, l.Address)
		}
	}
	tellLauncher(launched)
}

// Status implements [control.Backend].
func (d *daemon) Status(ctx context.Context) (control.Status, error) {
	instance, err := d.instance.Status(ctx)
	if err != nil {
		return control.Status{}, err
	}
	instance.RSSBytes = residentBytes(instance.PID)
	s := control.Status{
		PID: os.Getpid(), Version: build().Version, Commit: build().Commit, Started: d.started,
		Listen:   []control.Listen{},
		Programs: []control.Program{{Name: d.program, Instances: []control.Instance{instance}}},
		Deploys:  d.book.Deploys(),
	}
	for _, l := range d.listeners {
		s.Listen = append(s.Listen, control.Listen{Name: l.Name, Address: l.Address.String()})
	}
	return s, nil
}

// Reload implements [control.Backend].
func (d *daemon) Reload(context.Context) (string, error) { return d.instance.Reload() }

// Follow implements [control.Backend].
func (d *daemon) Follow(ctx context.Context, id string, each func(control.Step) error) error {
	return d.book.Follow(ctx, id, each)
}
