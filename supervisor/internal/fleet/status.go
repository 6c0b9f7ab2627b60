package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
)

// Status implements [control.Backend], but for what is the supervisor's own.
func (f *Fleet) Status(ctx context.Context) (control.Status, error) {
	s := control.Status{Listen: []control.Listen{}, Programs: []control.Program{}, Deploys: f.Book.Deploys()}
	for _, l := range f.Sockets.All() {
		s.Listen = append(s.Listen, control.Listen{Name: l.Name, Address: l.Address.String()})
	}
	for _, p := range f.all() {
		each, err := f.statusOf(ctx, p)
		if err != nil {
			return s, err
		}
		s.Programs = append(s.Programs, each)
	}
	return s, nil
}

// Responds returns once every loop that supervises has answered, with the error
// of the first that has not before ctx ended.
func (f *Fleet) Responds(ctx context.Context) error {
	for _, p := range f.all() {
		if _, err := p.status(ctx); err != nil && !errors.Is(err, supervise.ErrStopping) {
			return fmt.Errorf("program %s: %w", p.name, err)
		}
	}
	return nil
}

// Workers are the processes of every generation at this moment.
func (f *Fleet) Workers(ctx context.Context) (pids []int) {
	for _, p := range f.all() {
		instances, _ := p.status(ctx)
		for _, i := range instances {
			pids = append(pids, i.PID)
			for _, d := range i.Draining {
				pids = append(pids, d.PID)
			}
		}
	}
	return pids
}

// Settled returns once every program serves, has failed to, or is stopped.
func (f *Fleet) Settled(ctx context.Context) {
	select {
	case <-f.begun:
	case <-ctx.Done():
		return
	}
	for _, p := range f.all() {
		p.await(ctx, hasStarted)
	}
}

func (f *Fleet) statusOf(ctx context.Context, p *program) (control.Program, error) {
	instances, err := p.status(ctx)
	for n := range instances {
		i := &instances[n]
		i.RSSBytes = residentBytes(i.PID)
		i.CPU = f.usage.percent(i.PID)
	}
	told := control.Program{Name: p.name, Instances: instances, LogFile: p.logFile()}
	p.limits(&told, time.Now())
	return told, err
}

// shownLines is how many lines a description ends with.
const shownLines = 10

// Describe implements [control.Backend].
func (f *Fleet) Describe(ctx context.Context, name string) (control.Description, error) {
	p, err := f.find(name)
	if err != nil {
		return control.Description{}, err
	}
	w := p.chosen()
	d := control.Description{
		Command: w.Command, Dir: w.Dir, Env: sorted(w.Env), From: w.from, Settings: settings(w.Program),
		EnvFiles: []string{}, Listen: []control.Listen{}, Deploys: []control.Deploy{}, LastLines: []string{},
	}
	if d.Program, err = f.statusOf(ctx, p); err != nil {
		return d, err
	}
	for _, e := range w.EnvFiles {
		d.EnvFiles = append(d.EnvFiles, e.Path)
	}
	for _, l := range w.sockets {
		if open, err := f.Sockets.Find(l); err == nil {
			d.Listen = append(d.Listen, control.Listen{Name: open.Name, Address: open.Address.String()})
		}
	}
	for _, each := range f.Book.Deploys() {
		if each.Program == name {
			d.Deploys = append(d.Deploys, each)
		}
	}
	err = p.ring.Follow(ctx, logs.Query{Lines: shownLines}, func(l logs.Line) error {
		d.LastLines = append(d.LastLines, l.Text)
		return nil
	})
	return d, err
}

// settings are those of a program that have a value worth telling.
func settings(p config.Program) []control.Setting {
	var all []control.Setting
	add := func(key, format string, args ...any) {
		all = append(all, control.Setting{Key: key, Value: fmt.Sprintf(format, args...)})
	}
	add("ready_timeout", "%s", p.ReadyTimeout)
	if p.ReadyAfter > 0 {
		add("ready_after", "%s", p.ReadyAfter)
	}
	add("stop_signal", "%s", config.SignalName(p.StopSignal))
	add("kill_timeout", "%s", p.KillTimeout)
	add("drain", "handover %t, timeout %s, rate %d, generations %d", p.Drain.Handover, p.Drain.Timeout, p.Drain.Rate, p.Drain.Generations)
	add("bake", "%s", p.Bake)
	if p.Instances > 1 {
		add("instances", "%d", p.Instances)
	}
	add("restart", "min %s, max %s, reset_after %s, on %s", p.Restart.Min, p.Restart.Max, p.Restart.ResetAfter, p.Restart.On)
	if p.MemoryMax > 0 {
		add("memory_max", "%s", config.FormatSize(p.MemoryMax))
	}
	if p.Cron != "" {
		add("cron", "%s", p.Cron)
	}
	if h := p.Health; h.HTTP != "" {
		add("health", "%s on %s every %s, timeout %s, failures %d", h.HTTP, h.Listen, h.Every, h.Timeout, h.Failures)
	}
	if l := p.LogFile; l.Path != "" {
		add("log", "file %s, format %s, max_size %s, every %s, keep %d, keep_days %d, compress %t", l.Path, l.Format, config.FormatSize(l.MaxSize), l.Every, l.Keep, l.KeepDays, l.Compress)
	}
	if p.User != nil {
		add("user", "uid %d, gid %d", p.User.UID, p.User.GID)
	}
	return all
}

// Logs implements [control.Backend].
func (f *Fleet) Logs(ctx context.Context, q control.LogQuery, each func(logs.Line) error) error {
	targets, err := f.logged(q.Programs)
	if err != nil {
		return err
	}
	past, told, err := history(ctx, targets, q)
	if err != nil {
		return err
	}
	for _, l := range past {
		if err := each(l); err != nil {
			return err
		}
	}
	if !q.Follow {
		return nil
	}
	return followAll(ctx, targets, told, q, each)
}

func (f *Fleet) logged(names []string) ([]*program, error) {
	if len(names) == 0 {
		return f.all(), nil
	}
	return f.targets(names)
}

// history returns what the rings hold, in the order of time, and the number of
// the last line of each that has been looked at.
func history(ctx context.Context, targets []*program, q control.LogQuery) (past []logs.Line, told map[*program]uint64, err error) {
	told = map[*program]uint64{}
	for _, p := range targets {
		err := p.ring.Follow(ctx, logs.Query{Lines: max(0, q.Lines), Since: q.Since, Err: q.Err}, func(l logs.Line) error {
			l.Program = p.name
			told[p] = max(told[p], l.Seq) // 0 of what was missed
			past = append(past, l)
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	slices.SortStableFunc(past, func(a, b logs.Line) int { return a.Time.Compare(b.Time) })
	if q.Lines > 0 {
		past = past[max(0, len(past)-q.Lines):]
	}
	return past, told, nil
}

// followAll hands on the lines to come of all targets, one at a time. A reader
// who is slow holds up nobody: each ring goes on, and tells what was missed.
func followAll(ctx context.Context, targets []*program, told map[*program]uint64, q control.LogQuery, each func(logs.Line) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lines := make(chan logs.Line)
	ended := make(chan error, len(targets))
	for _, p := range targets {
		go func() {
			ended <- p.ring.Follow(ctx, logs.Query{Since: q.Since, Err: q.Err, Follow: true}, func(l logs.Line) error {
				if l.Lost == 0 && l.Seq <= told[p] {
					return nil
				}
				l.Program = p.name
				select {
				case lines <- l:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
		}()
	}
	var err error
	for left := len(targets); left > 0; {
		select {
		case l := <-lines:
			if ctx.Err() != nil {
				continue
			}
			if failed := each(l); failed != nil {
				cancel(failed)
			}
		case err = <-ended:
			left--
		}
	}
	return err
}
