package supervise

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// Status tells what the instance does at this moment. RSSBytes is left for the
// caller: reading it is I/O. Its errors are [ErrStopping] and ctx's.
func (in *Instance) Status(ctx context.Context) (control.Instance, error) {
	answer := make(chan control.Instance, 1)
	select {
	case in.inbox <- func() { answer <- in.status() }:
		return <-answer, nil
	case <-in.ended:
		return control.Instance{}, ErrStopping
	case <-ctx.Done():
		return control.Instance{}, ctx.Err()
	}
}

func (in *Instance) status() control.Instance {
	s := control.Instance{
		Index: in.cfg.Index, State: stateTold(in.state),
		Restarts: in.restarts, LastExit: in.lastExit,
		Draining: []control.Draining{},
	}
	if g := cmp.Or(in.serving, in.candidate); g != nil {
		s.Gen, s.PID, s.Build, s.StartedAt, s.Conns = g.number, pid(g), g.about, stamp(g.started), in.conns(g)
	}
	for g := range in.leaving {
		s.Draining = append(s.Draining, control.Draining{Gen: g.number, PID: pid(g), Conns: in.conns(g), Deadline: g.deadline})
	}
	slices.SortFunc(s.Draining, func(a, b control.Draining) int { return a.Gen - b.Gen })
	return s
}

// conns is how many connections g has: as many as are kept for it, which is known at
// once; where there was no room for all, as many as it says now and then.
func (in *Instance) conns(g *generation) int {
	if in.keep == nil || !g.moves() || in.keep.Full() {
		return g.conns
	}
	return in.keep.Count(g.number)
}

func pid(g *generation) int {
	if g.process == nil {
		return 0
	}
	return g.process.PID()
}

// stateTold names a state as the contract does: to an operator a start is a start.
func stateTold(s State) string {
	switch s {
	case Restarting, Queued:
		s = Starting
	case Replacing, Returning:
		s = Swapping
	case Ailing:
		s = Baking
	}
	return s.String()
}

func stamp(t time.Time) *time.Time { return &t }
