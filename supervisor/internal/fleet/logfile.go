package fleet

import (
	"context"
	"slices"
	"sync"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
)

// fileSettings are those of the log file of a program.
func fileSettings(p config.Program) logs.FileSettings {
	l := p.LogFile
	return logs.FileSettings{
		Path: l.Path, Program: p.Name, Format: logs.FileFormat(l.Format), MaxSize: l.MaxSize, Every: l.Every,
		Keep: l.Keep, KeepDays: l.KeepDays, Compress: l.Compress,
	}
}

// writeLog writes p's log file until its last instance has ended.
func (f *Fleet) writeLog(p *program) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var writing sync.WaitGroup
	writing.Go(func() { p.file.Run(ctx) })
	select {
	case <-p.dropped:
	case <-f.ctx.Done():
	}
	p.mu.Lock()
	last := slices.Concat(p.all, p.ending)
	p.mu.Unlock()
	for _, r := range last {
		<-r.gone
	}
	cancel()
	writing.Wait()
}

// logFile tells how p's log file does.
func (p *program) logFile() *control.LogFile {
	s := p.file.State()
	if s.Path == "" {
		return nil
	}
	l := &control.LogFile{Path: s.Path, Lost: s.Lost}
	if s.Err != nil {
		l.Error = s.Err.Error()
	}
	return l
}

func operateLog(ctx context.Context, p *program, done string, do func(context.Context) error) (control.Done, error) {
	if err := do(ctx); err != nil {
		return control.Done{}, control.Refuse(control.ErrImpossible, "log file of %s: %w", p.name, err)
	}
	return control.Done{Program: p.name, State: done}, nil
}

// ReopenLogs opens every log file anew.
func (f *Fleet) ReopenLogs(ctx context.Context) {
	for _, p := range f.all() {
		if err := p.file.Reopen(ctx); err == nil {
			f.Log.Info("log file reopened", "program", p.name, "path", p.file.State().Path)
		}
	}
}

// settleLog has p's log file hold what p has written, before another process
// goes on with it.
func (f *Fleet) settleLog(ctx context.Context, p *program) {
	if err := p.file.Settle(ctx); err != nil {
		f.Log.Warn("lines are lost to the log file", "program", p.name, "err", err)
	}
}
