package supervise

import "fmt"

// State is what an instance is doing.
type State int

// States of an instance.
const (
	Stopped    State = iota // nothing runs, nothing is meant to
	Starting                // a candidate of a new build is getting ready; nobody serves
	Restarting              // the last good build is getting ready after a crash; nobody serves
	Queued                  // the same, and a reload waits for it
	Running                 // a worker serves
	Swapping                // a worker serves, a candidate is getting ready
	Backoff                 // nobody serves; the next start waits
	Stopping                // everything is on its way out
)

// States lists every state.
var States = []State{Stopped, Starting, Restarting, Queued, Running, Swapping, Backoff, Stopping}

func (s State) String() string {
	switch s {
	case Stopped:
		return "stopped"
	case Starting:
		return "starting"
	case Restarting:
		return "restarting"
	case Queued:
		return "queued"
	case Running:
		return "running"
	case Swapping:
		return "swapping"
	case Backoff:
		return "backoff"
	case Stopping:
		return "stopping"
	default:
		return fmt.Sprintf("State(%d)", int(s))
	}
}

// Event is something that happened to an instance.
type Event int

// Events of an instance.
const (
	Start   Event = iota // it is meant to run
	Reload               // an operator wants another build
	Ready                // the candidate serves, or could at once
	Failed               // the candidate could not be started, ended, was too late or could not take over
	Fell                 // the candidate has taken over and ended in the same moment
	Crashed              // the serving worker ended
	Retry                // the backoff is over and there is a good build
	Stop                 // it is meant to end
	Empty                // no process of it is left
)

// Events lists every event.
var Events = []Event{Start, Reload, Ready, Failed, Fell, Crashed, Retry, Stop, Empty}

func (e Event) String() string {
	switch e {
	case Start:
		return "start"
	case Reload:
		return "reload"
	case Ready:
		return "ready"
	case Failed:
		return "failed"
	case Fell:
		return "fell"
	case Crashed:
		return "crashed"
	case Retry:
		return "retry"
	case Stop:
		return "stop"
	case Empty:
		return "empty"
	default:
		return fmt.Sprintf("Event(%d)", int(e))
	}
}

// Action is something the loop has to do.
type Action int

// Actions, done in the order returned.
const (
	Spawn     Action = iota // pin what the configuration names and start it as the candidate
	Respawn                 // start the last good build again as the candidate
	Promote                 // the candidate serves now
	Drain                   // the serving worker, if any, drains and ends
	Kill                    // the candidate ends at once
	Arm                     // start the backoff
	Disarm                  // forget the backoff
	Accept                  // the deploy under way, if any, is accepted
	Reject                  // the deploy under way, if any, is rejected
	Return                  // the deploy under way, if any, is returned: the build served, and does not any more
	Supersede               // the deploy under way, if any, waits for its successor's verdict
)

// Actions lists every action.
var Actions = []Action{Spawn, Respawn, Promote, Drain, Kill, Arm, Disarm, Accept, Reject, Return, Supersede}

func (a Action) String() string {
	switch a {
	case Spawn:
		return "spawn"
	case Respawn:
		return "respawn"
	case Promote:
		return "promote"
	case Drain:
		return "drain"
	case Kill:
		return "kill"
	case Arm:
		return "arm"
	case Disarm:
		return "disarm"
	case Accept:
		return "accept"
	case Reject:
		return "reject"
	case Return:
		return "return"
	case Supersede:
		return "supersede"
	default:
		return fmt.Sprintf("Action(%d)", int(a))
	}
}

// next is what an instance does when event e happens in state s: the picture
// in doc.go. It is pure. A pair that is not named changes nothing.
func next(s State, e Event) (State, []Action) {
	switch s {
	case Stopped:
		return whenStopped(e)
	case Starting:
		return whenStarting(e)
	case Restarting:
		return whenRestarting(e)
	case Queued:
		return whenQueued(e)
	case Running:
		return whenRunning(e)
	case Swapping:
		return whenSwapping(e)
	case Backoff:
		return whenBackoff(e)
	default:
		return whenStopping(e)
	}
}

func whenStopped(e Event) (State, []Action) {
	switch e {
	case Start, Reload:
		return Starting, []Action{Spawn}
	default:
		return Stopped, nil
	}
}

func whenStarting(e Event) (State, []Action) {
	switch e {
	case Ready:
		return Running, []Action{Promote, Accept}
	case Failed:
		return Backoff, []Action{Reject, Arm}
	case Fell:
		return Backoff, []Action{Return, Arm}
	case Reload:
		return Starting, []Action{Kill, Supersede, Spawn}
	case Stop:
		return Stopping, []Action{Kill, Reject}
	default:
		return Starting, nil
	}
}

// whenRestarting: what is on its way is known to be good. A reload that killed
// it for a build nobody knows yet would have nobody serve for longer.
func whenRestarting(e Event) (State, []Action) {
	switch e {
	case Ready:
		return Running, []Action{Promote}
	case Failed, Fell:
		return Backoff, []Action{Arm}
	case Reload:
		return Queued, nil
	case Stop:
		return Stopping, []Action{Kill}
	default:
		return Restarting, nil
	}
}

func whenQueued(e Event) (State, []Action) {
	switch e {
	case Ready:
		return Swapping, []Action{Promote, Spawn}
	case Failed, Fell:
		return Starting, []Action{Spawn}
	case Reload:
		return Queued, []Action{Supersede}
	case Stop:
		return Stopping, []Action{Kill, Reject}
	default:
		return Queued, nil
	}
}

func whenRunning(e Event) (State, []Action) {
	switch e {
	case Reload:
		return Swapping, []Action{Spawn}
	case Crashed:
		return Backoff, []Action{Arm} // the first time the backoff is zero
	case Stop:
		return Stopping, []Action{Drain}
	default:
		return Running, nil
	}
}

func whenSwapping(e Event) (State, []Action) {
	switch e {
	case Ready:
		return Running, []Action{Drain, Promote, Accept}
	case Failed:
		return Running, []Action{Reject}
	case Fell:
		return Backoff, []Action{Drain, Return, Arm} // what it had taken over waits for the last good build
	case Crashed:
		return Starting, nil // the candidate is on its way already
	case Reload:
		return Swapping, []Action{Kill, Supersede, Spawn}
	case Stop:
		return Stopping, []Action{Kill, Reject, Drain}
	default:
		return Swapping, nil
	}
}

func whenBackoff(e Event) (State, []Action) {
	switch e {
	case Retry:
		return Restarting, []Action{Respawn}
	case Start, Reload:
		return Starting, []Action{Disarm, Spawn}
	case Stop:
		return Stopping, []Action{Disarm}
	default:
		return Backoff, nil
	}
}

func whenStopping(e Event) (State, []Action) {
	switch e {
	case Empty:
		return Stopped, nil
	case Reload:
		return Stopping, []Action{Reject}
	default:
		return Stopping, nil
	}
}
