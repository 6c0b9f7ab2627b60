package monit

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
)

// Supervisor is what is watched. [control.Client] is one.
type Supervisor interface {
	Status(ctx context.Context) (control.Status, error)
	Logs(ctx context.Context, q control.LogQuery, each func(logs.Line) error) error
	Deploy(ctx context.Context, r control.DeployRequest) (control.Requested, error)
	Operate(ctx context.Context, program string, op control.Operation) (control.Done, error)
}

const (
	askEvery = time.Second     // how often the state is asked for
	askTime  = 5 * time.Second // how long one answer may take
	pastLogs = 200             // lines of each program that are there at the start
)

// Run shows s on a terminal until the user quits or ctx ends.
func Run(ctx context.Context, s Supervisor, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	var feeding sync.WaitGroup
	defer feeding.Wait()
	defer cancel()
	p := tea.NewProgram(newModel(ctx, s), tea.WithInput(in), tea.WithOutput(out), tea.WithAltScreen(), tea.WithContext(ctx))
	feeding.Go(func() { feedStatus(ctx, s, p.Send) })
	feeding.Go(func() { feedLogs(ctx, s, p.Send) })
	_, err := p.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Messages to the model.
type (
	statusMsg struct {
		status control.Status
		at     time.Time
		err    error
	}
	lineMsg   logs.Line
	noticeMsg string // outcome of what the user asked for
)

func feedStatus(ctx context.Context, s Supervisor, send func(tea.Msg)) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		send(askStatus(ctx, s))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func askStatus(ctx context.Context, s Supervisor) statusMsg {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	status, err := s.Status(ctx)
	return statusMsg{status, time.Now(), err}
}

// feedLogs sends the last lines of each program, so that one that writes much hides
// no other, and goes on with those to come, of one supervisor after the other.
func feedLogs(ctx context.Context, s Supervisor, send func(tea.Msg)) {
	told := map[string]time.Time{} // when the last line was written that was sent
	each := func(l logs.Line) error {
		if l.Time.After(told[l.Program]) {
			told[l.Program] = l.Time
			send(lineMsg(l))
		}
		return nil
	}
	for ctx.Err() == nil {
		from := time.Now()
		for _, l := range past(ctx, s) {
			each(l)
		}
		s.Logs(ctx, control.LogQuery{Since: from, Follow: true}, each)
		select {
		case <-time.After(askEvery): // the status tells what is wrong
		case <-ctx.Done():
		}
	}
}

// past are the last lines of each program, as far as can be known, by their times.
func past(ctx context.Context, s Supervisor) (lines []logs.Line) {
	programs := askStatus(ctx, s).status.Programs
	for _, p := range programs {
		q := control.LogQuery{Programs: []string{p.Name}, Lines: min(pastLogs, max(1, maxLines/len(programs)))}
		s.Logs(ctx, q, func(l logs.Line) error {
			lines = append(lines, l)
			return nil
		})
	}
	slices.SortStableFunc(lines, func(a, b logs.Line) int { return a.Time.Compare(b.Time) })
	return lines
}
