//go:build linux

package release

import (
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// Judgement is what is to become of a change whose deploy was not watched to its
// end.
type Judgement int

// Judgements of a change.
const (
	Wait   Judgement = iota // the supervisor has not decided yet
	Commit                  // what serves is from the new release
	Undo                    // it is not
)

func (j Judgement) String() string { return [...]string{"wait", "commit", "undo"}[j] }

// Judge decides about a change that began at the given time, by what the
// supervisor says now. Deploys since then have been of the new release, and so
// has been the start of a supervisor that knows of none.
func Judge(began time.Time, s control.Status) Judgement {
	if verdicts := since(began, s.Deploys); len(verdicts) > 0 {
		return ofVerdicts(verdicts)
	}
	if s.Started.After(began) {
		return ofStates(s.Programs)
	}
	return Undo
}

// since are the verdicts of each program's last deploy from a time on.
func since(began time.Time, deploys []control.Deploy) map[string]control.Verdict {
	verdicts := map[string]control.Verdict{}
	for _, d := range deploys {
		if !d.At.Before(began) {
			verdicts[d.Program] = d.Verdict
		}
	}
	return verdicts
}

func ofVerdicts(verdicts map[string]control.Verdict) Judgement {
	j := Commit
	for _, v := range verdicts {
		switch v {
		case control.Accepted:
		case control.Pending:
			return Wait
		default:
			j = Undo
		}
	}
	return j
}

// ofStates judges by what serves: one instance that fails is enough for no.
func ofStates(programs []control.Program) Judgement {
	seen := map[string]bool{}
	for _, p := range programs {
		for _, i := range p.Instances {
			seen[i.State] = true
		}
	}
	running := seen["running"]
	failing := seen["backoff"]
	delete(seen, "running")
	delete(seen, "stopped")
	switch {
	case failing:
		return Undo
	case len(seen) > 0:
		return Wait
	case running:
		return Commit
	default:
		return Undo // nothing serves
	}
}
