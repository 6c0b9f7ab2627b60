package supervise

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// outcome is what a pair of state and event leads to.
type outcome struct {
	state   State
	actions []Action
}

func to(s State, actions ...Action) outcome { return outcome{s, actions} }

// pairs is every state × event, those that change nothing too.
var pairs = map[State]map[Event]outcome{
	Stopped: {
		Start:    to(Starting, Spawn),
		Reload:   to(Starting, Spawn),
		Ready:    to(Stopped),
		Failed:   to(Stopped),
		Fell:     to(Stopped),
		Crashed:  to(Stopped),
		Finished: to(Stopped),
		Retry:    to(Stopped),
		Baked:    to(Stopped),
		Unfit:    to(Stopped),
		Stop:     to(Stopped),
		Empty:    to(Stopped),
	},
	Starting: {
		Start:    to(Starting),
		Reload:   to(Starting, Kill, Supersede, Spawn),
		Ready:    to(Baking, Promote, Bake),
		Failed:   to(Backoff, Reject, Arm),
		Fell:     to(Backoff, Fall, Arm),
		Crashed:  to(Starting),
		Finished: to(Stopped, Reject),
		Retry:    to(Starting),
		Baked:    to(Starting),
		Unfit:    to(Starting),
		Stop:     to(Stopping, Kill, Reject),
		Empty:    to(Starting),
	},
	Restarting: {
		Start:    to(Restarting),
		Reload:   to(Queued),
		Ready:    to(Running, Promote),
		Failed:   to(Backoff, Arm),
		Fell:     to(Backoff, Arm),
		Crashed:  to(Restarting),
		Finished: to(Stopped),
		Retry:    to(Restarting),
		Baked:    to(Restarting),
		Unfit:    to(Restarting),
		Stop:     to(Stopping, Kill),
		Empty:    to(Restarting),
	},
	Queued: {
		Start:    to(Queued),
		Reload:   to(Queued, Supersede),
		Ready:    to(Swapping, Promote, Spawn),
		Failed:   to(Starting, Spawn),
		Fell:     to(Starting, Spawn),
		Crashed:  to(Queued),
		Finished: to(Starting, Spawn),
		Retry:    to(Queued),
		Baked:    to(Queued),
		Unfit:    to(Queued),
		Stop:     to(Stopping, Kill, Reject),
		Empty:    to(Queued),
	},
	Running: {
		Start:    to(Running),
		Reload:   to(Swapping, Spawn),
		Ready:    to(Running),
		Failed:   to(Running),
		Fell:     to(Running),
		Crashed:  to(Backoff, Arm),
		Finished: to(Stopped),
		Retry:    to(Running),
		Baked:    to(Running),
		Unfit:    to(Running),
		Stop:     to(Stopping, Drain),
		Empty:    to(Running),
	},
	Baking: {
		Start:    to(Baking),
		Reload:   to(Replacing, Spawn),
		Ready:    to(Baking),
		Failed:   to(Baking),
		Fell:     to(Baking),
		Crashed:  to(Backoff, Return, Arm),
		Finished: to(Stopped, Return),
		Retry:    to(Baking),
		Baked:    to(Running, Accept),
		Unfit:    to(Returning, Respawn),
		Stop:     to(Stopping, Settle, Drain),
		Empty:    to(Baking),
	},
	Swapping: {
		Start:    to(Swapping),
		Reload:   to(Swapping, Kill, Supersede, Spawn),
		Ready:    to(Baking, Drain, Promote, Bake),
		Failed:   to(Running, Reject),
		Fell:     to(Backoff, Drain, Fall, Arm),
		Crashed:  to(Starting),
		Finished: to(Starting),
		Retry:    to(Swapping),
		Baked:    to(Swapping),
		Unfit:    to(Swapping),
		Stop:     to(Stopping, Kill, Reject, Drain),
		Empty:    to(Swapping),
	},
	Replacing: {
		Start:    to(Replacing),
		Reload:   to(Replacing, Kill, Supersede, Spawn),
		Ready:    to(Baking, Drain, Settle, Promote, Bake),
		Failed:   to(Baking, Reject),
		Fell:     to(Backoff, Drain, Settle, Fall, Arm),
		Crashed:  to(Starting, Return),
		Finished: to(Starting, Return),
		Retry:    to(Replacing),
		Baked:    to(Swapping, Accept),
		Unfit:    to(Replacing),
		Stop:     to(Stopping, Kill, Reject, Settle, Drain),
		Empty:    to(Replacing),
	},
	Returning: {
		Start:    to(Returning),
		Reload:   to(Swapping, Kill, Return, Spawn),
		Ready:    to(Running, Drain, Return, Promote),
		Failed:   to(Ailing, Arm),
		Fell:     to(Backoff, Drain, Return, Arm),
		Crashed:  to(Restarting, Return),
		Finished: to(Restarting, Return),
		Retry:    to(Returning),
		Baked:    to(Returning),
		Unfit:    to(Returning),
		Stop:     to(Stopping, Kill, Return, Drain),
		Empty:    to(Returning),
	},
	Ailing: {
		Start:    to(Ailing),
		Reload:   to(Swapping, Disarm, Return, Spawn),
		Ready:    to(Ailing),
		Failed:   to(Ailing),
		Fell:     to(Ailing),
		Crashed:  to(Backoff, Return),
		Finished: to(Backoff, Return),
		Retry:    to(Returning, Respawn),
		Baked:    to(Ailing),
		Unfit:    to(Ailing),
		Stop:     to(Stopping, Disarm, Return, Drain),
		Empty:    to(Ailing),
	},
	Backoff: {
		Start:    to(Starting, Disarm, Spawn),
		Reload:   to(Starting, Disarm, Spawn),
		Ready:    to(Backoff),
		Failed:   to(Backoff),
		Fell:     to(Backoff),
		Crashed:  to(Backoff),
		Finished: to(Backoff),
		Retry:    to(Restarting, Respawn),
		Baked:    to(Backoff),
		Unfit:    to(Backoff),
		Stop:     to(Stopping, Disarm),
		Empty:    to(Backoff),
	},
	Stopping: {
		Start:    to(Stopping),
		Reload:   to(Stopping, Reject),
		Ready:    to(Stopping),
		Failed:   to(Stopping),
		Fell:     to(Stopping),
		Crashed:  to(Stopping),
		Finished: to(Stopping),
		Retry:    to(Stopping),
		Baked:    to(Stopping),
		Unfit:    to(Stopping),
		Stop:     to(Stopping),
		Empty:    to(Stopped),
	},
}

func TestEveryEventInEveryState(t *testing.T) {
	for _, s := range States {
		for _, e := range Events {
			want, listed := pairs[s][e]
			if !listed {
				t.Errorf("%s × %s: not in the table", s, e)
				continue
			}
			state, actions := next(s, e)
			if state != want.state || !slices.Equal(actions, want.actions) {
				t.Errorf("%s × %s: got %s %v, want %s %v", s, e, state, actions, want.state, want.actions)
			}
		}
	}
}

// A constant that is missing from its list would be a pair that nobody visits.
func TestTheListsAreWholeAndNamed(t *testing.T) {
	names := map[string]bool{}
	note := func(name string, value, at int) {
		if value != at || strings.Contains(name, "(") || names[name] {
			t.Errorf("value %d at %d is called %q", value, at, name)
		}
		names[name] = true
	}
	for i, s := range States {
		note("state "+s.String(), int(s), i)
	}
	for i, e := range Events {
		note("event "+e.String(), int(e), i)
	}
	for i, a := range Actions {
		note("action "+a.String(), int(a), i)
	}
	for _, beyond := range []string{State(len(States)).String(), Event(len(Events)).String(), Action(len(Actions)).String()} {
		if !strings.Contains(beyond, "(") {
			t.Errorf("%q is in no list", beyond)
		}
	}
}

// model is what the actions did, in the fewest words.
type model struct {
	candidate, serving, armed, deploy bool
	trial                             bool // what serves is not known to be good
}

// do carries an action out and says what is wrong with it, "" if nothing.
func (m *model) do(a Action) string {
	switch a {
	case Spawn, Respawn:
		if m.candidate {
			return "a second candidate"
		}
		m.candidate = true
	case Promote:
		if !m.candidate || m.serving || m.trial {
			return "promoted nothing, or beside one that serves or is on trial"
		}
		m.candidate, m.serving = false, true
	case Bake:
		if !m.serving || m.trial {
			return "tried nothing, or twice"
		}
		m.trial, m.deploy = true, false
	case Drain:
		m.serving = false
	case Kill:
		if !m.candidate {
			return "killed nothing"
		}
		m.candidate = false
	case Arm:
		if m.armed {
			return "armed twice"
		}
		m.armed = true
	case Disarm:
		if !m.armed {
			return "disarmed nothing"
		}
		m.armed = false
	case Accept, Settle, Return:
		if !m.trial {
			return "judged what is not on trial"
		}
		m.trial = false
	case Reject, Fall:
		m.deploy = false
	case Supersede:
	}
	return ""
}

// happen prepares the model for e and reports whether e can happen at all.
func (m *model) happen(e Event) bool {
	switch e {
	case Reload:
		m.deploy = true
	case Ready:
		return m.candidate
	case Failed, Fell:
		defer func() { m.candidate = false }()
		return m.candidate
	case Crashed:
		defer func() { m.serving = false }()
		return m.serving
	case Finished:
		switch {
		case m.serving:
			m.serving = false
		case m.candidate:
			m.candidate = false
		default:
			return false
		}
	case Retry:
		defer func() { m.armed = false }()
		return m.armed
	case Baked, Unfit:
		return m.trial
	case Empty:
		return !m.candidate && !m.serving
	}
	return true
}

// wrong says what must not be so in state s, "" if all is well.
func (m *model) wrong(s State) string {
	is := func(states ...State) bool { return slices.Contains(states, s) }
	switch {
	case m.candidate != is(Starting, Restarting, Queued, Swapping, Replacing, Returning):
		return "there is a candidate, or none, where there should not be"
	case m.serving != is(Running, Baking, Swapping, Replacing, Returning, Ailing):
		return "a worker serves, or none, where it should not be so"
	case m.armed != is(Backoff, Ailing):
		return "a retry is due exactly while in backoff and ailing"
	case m.trial != is(Baking, Replacing, Returning, Ailing):
		return "a build is on trial exactly while baking, replacing, returning and ailing"
	case is(Restarting, Returning) && m.deploy, s == Queued && !m.deploy:
		return "a deploy waits for a restart exactly while queued"
	case m.deploy && !m.candidate:
		return "a deploy is under way exactly as long as its candidate"
	}
	return ""
}

func TestWhateverHappensTheInvariantsHold(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		var m model
		state := Stopped
		var history []string
		for range 500 {
			e := Events[random.IntN(len(Events))]
			if e == Stop && random.IntN(10) > 0 { // else most histories are about stopping
				continue
			}
			before := m
			if !m.happen(e) {
				m = before
				continue
			}
			history = append(history, e.String())
			var actions []Action
			was := state
			state, actions = next(state, e)
			for _, a := range actions {
				if wrong := m.do(a); wrong != "" {
					t.Fatalf("seed %d: %s in %s: %s; history %v", seed, e, was, wrong, history)
				}
			}
			if wrong := m.wrong(state); wrong != "" {
				t.Fatalf("seed %d: after %s in %s, now %s: %s; history %v", seed, e, was, state, wrong, history)
			}
		}
	}
}

// Whatever state it is in, stop and the end of every process end in stopped.
func TestStopLeadsToStopped(t *testing.T) {
	for _, s := range States {
		state, _ := next(s, Stop)
		if state != Stopped {
			state, _ = next(state, Empty)
		}
		if state != Stopped {
			t.Errorf("from %s: ends in %s", s, state)
		}
	}
}
