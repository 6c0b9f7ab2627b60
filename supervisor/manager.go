//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/sdnotify"
)

const (
	// statusEvery is how often systemd is told how things are, if that has
	// changed.
	statusEvery = 2 * time.Second

	// pingAtLeast bounds how often every loop is asked.
	pingAtLeast = 100 * time.Millisecond

	// extendBy is the time asked for, again and again, while programs drain.
	// Their own deadlines bound it.
	extendBy = 15 * time.Second
)

// manager is the service manager, if there is one: what it is told, and when.
type manager struct {
	d    *daemon
	log  *slog.Logger
	deaf bool // what was told last did not arrive
}

func newManager(d *daemon) *manager { return &manager{d: d, log: d.log} }

// run tells it everything until ctx ends. When stopping has ended, programs
// drain.
func (m *manager) run(ctx, stopping context.Context) {
	if !sdnotify.Present() {
		return
	}
	watchdog, err := sdnotify.Watchdog()
	if err != nil {
		m.log.Warn("no watchdog", "err", err)
	}
	m.ready(stopping)
	ping := watchdog / 3
	if watchdog > 0 {
		ping = max(ping, pingAtLeast)
	}
	alive := ticker(ping)
	defer alive.Stop()
	status := time.NewTicker(statusEvery)
	defer status.Stop()
	drains := stopping.Done()
	last := ""
	for {
		select {
		case <-alive.C:
			m.ping(ctx, ping)
		case <-status.C:
			if now := m.status(ctx); now != last {
				last = now
				m.tell(sdnotify.Status(now))
			}
			if drains == nil {
				m.tell(sdnotify.Extend(extendBy))
			}
		case <-drains:
			drains = nil
			m.tell(sdnotify.Stopping(m.status(ctx)))
			m.tell(sdnotify.Extend(extendBy))
		case <-ctx.Done():
			return
		}
	}
}

// ticker is one that never ticks when every is not positive.
func ticker(every time.Duration) *time.Ticker {
	if every > 0 {
		return time.NewTicker(every)
	}
	t := time.NewTicker(time.Hour)
	t.Stop()
	return t
}

// ready says that the supervisor is up once every program serves or has failed:
// its sockets have been open for long, and clients wait in their queues.
func (m *manager) ready(stopping context.Context) {
	m.d.Settled(stopping)
	m.tell(sdnotify.Ready(m.status(stopping)))
}

// ping keeps the watchdog away if every loop answers within a limit.
func (m *manager) ping(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := m.d.Responds(ctx); err != nil {
		m.log.Error("a supervising loop is stuck", "err", err)
		return
	}
	m.tell(sdnotify.Alive())
}

// tell takes the outcome of telling something, and complains once.
func (m *manager) tell(err error) {
	if err != nil && !m.deaf {
		m.log.Warn("systemd not told", "err", err)
	}
	m.deaf = err != nil
}

// status is one line for `systemctl status`: what each program does, and how
// the last deploy ended.
func (m *manager) status(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, statusEvery)
	defer cancel()
	s, err := m.d.Status(ctx)
	if err != nil {
		return "stopping"
	}
	return summary(s)
}

func summary(s control.Status) string {
	var parts []string
	for _, p := range s.Programs {
		for _, i := range p.Instances {
			part := fmt.Sprintf("%s %s", p.Name, i.State)
			if i.Build.Commit != "" {
				part += " " + short(i.Build.Commit)
			}
			if i.Conns > 0 {
				part += fmt.Sprintf(", %d clients", i.Conns)
			}
			for _, g := range i.Draining {
				part += fmt.Sprintf(", generation %d drains %d", g.Gen, g.Conns)
			}
			parts = append(parts, part)
		}
	}
	if n := len(s.Deploys); n > 0 {
		d := s.Deploys[n-1]
		part := fmt.Sprintf("last deploy %s", d.Verdict)
		if d.Reason != "" {
			part += ": " + d.Reason
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}
