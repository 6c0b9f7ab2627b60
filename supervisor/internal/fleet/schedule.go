package fleet

import (
	"errors"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
)

// renewScheduled swaps the worker of an instance for a fresh one of the same build when a moment
// of its schedule has come since it was started. Nothing is remembered for that:
// a supervisor that takes over, or is started again by systemd, misses none. A
// swap that fails is tried again at the moment after.
func (f *Fleet) renewScheduled(p *program, r *replica, s control.Instance, now time.Time) {
	w := p.chosen()
	if w.Cron == "" || s.State != "running" || s.StartedAt == nil {
		return
	}
	due := w.NextCron(later(*s.StartedAt, r.attempted))
	if due.IsZero() || now.Before(due) {
		return
	}
	id, err := r.Renew("cron: " + w.Cron)
	if errors.Is(err, supervise.ErrNotRunning) {
		return // something else goes on: it is asked again
	}
	r.attempted = now
	f.Log.Info("worker renewed by schedule", "program", p.name, "cron", w.Cron, "deploy", id, "err", err)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// limits tells by what p's workers are renewed.
func (p *program) limits(to *control.Program, now time.Time) {
	w := p.chosen()
	to.MemoryMax, to.Cron = w.MemoryMax, w.Cron
	if next := w.NextCron(now); !next.IsZero() {
		to.NextCron = &next
	}
}
