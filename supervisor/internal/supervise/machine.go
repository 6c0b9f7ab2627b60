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
	Running                 // a worker serves, of the last good build
	Baking                  // a worker serves, of a build that is not known to be good yet
	Swapping                // the last good build serves, a candidate is getting ready
	Replacing               // a build that bakes serves, a candidate of a later one is getting ready
	Returning               // an unfit build serves, the last good one is getting ready
	Ailing                  // an unfit build serves, the next start of the last good one waits
	Backoff                 // nobody serves; the next start waits
	Stopping                // everything is on its way out
)

// States lists every state.
var States = []State{
	Stopped, Starting, Restarting, Queued, Running, Baking, Swapping, Replacing, Returning, Ailing, Backoff, Stopping,
}

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
	case Baking:
		return "baking"
	case Swapping:
		return "swapping"
	case Replacing:
		return "replacing"
	case Returning:
		return "returning"
	case Ailing:
		return "ailing"
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
	Start    Event = iota // it is meant to run
	Reload                // an operator wants another build
	Ready                 // the candidate serves, or could at once
	Failed                // the candidate could not be started, ended, was too late or could not take over
	Fell                  // the candidate has taken over and ended in the same moment
	Crashed               // the serving worker ended, and is to be started again
	Finished              // the serving worker ended, or the candidate while none serves, and policy leaves it at that
	Retry                 // the backoff is over and there is a good build
	Baked                 // the build on trial has served for long enough
	Unfit                 // the build on trial fails its health check
	Stop                  // it is meant to end
	Empty                 // no process of it is left
)

// Events lists every event.
var Events = []Event{Start, Reload, Ready, Failed, Fell, Crashed, Finished, Retry, Baked, Unfit, Stop, Empty}

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
	case Finished:
		return "finished"
	case Retry:
		return "retry"
	case Baked:
		return "baked"
	case Unfit:
		return "unfit"
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
	Spawn     Action = iota // start what was chosen as the candidate
	Respawn                 // start the last good build again as the candidate
	Promote                 // the candidate serves now
	Bake                    // what serves now is on trial, its deploy with it
	Drain                   // the serving worker, if any, drains and ends
	Kill                    // the candidate ends at once
	Arm                     // start the backoff
	Disarm                  // forget the backoff
	Accept                  // the build on trial is good, its deploy, if any, accepted
	Settle                  // the trial is broken off without blame, its deploy, if any, accepted
	Return                  // the build on trial is not good, its deploy, if any, returned
	Reject                  // the candidate's deploy, if any, is rejected
	Fall                    // the candidate's deploy, if any, is returned: it served for a moment
	Supersede               // the candidate's deploy, if any, waits for its successor's verdict
)

// Actions lists every action.
var Actions = []Action{
	Spawn, Respawn, Promote, Bake, Drain, Kill, Arm, Disarm, Accept, Settle, Return, Reject, Fall, Supersede,
}

func (a Action) String() string {
	switch a {
	case Spawn:
		return "spawn"
	case Respawn:
		return "respawn"
	case Promote:
		return "promote"
	case Bake:
		return "bake"
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
	case Settle:
		return "settle"
	case Return:
		return "return"
	case Reject:
		return "reject"
	case Fall:
		return "fall"
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
	case Baking:
		return whenBaking(e)
	case Swapping:
		return whenSwapping(e)
	case Replacing:
		return whenReplacing(e)
	case Returning:
		return whenReturning(e)
	case Ailing:
		return whenAiling(e)
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
		return Baking, []Action{Promote, Bake}
	case Failed:
		return Backoff, []Action{Reject, Arm}
	case Fell:
		return Backoff, []Action{Fall, Arm}
	case Finished:
		return Stopped, []Action{Reject}
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
	case Finished:
		return Stopped, nil
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
	case Failed, Fell, Finished:
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
	case Finished:
		return Stopped, nil
	case Stop:
		return Stopping, []Action{Drain}
	default:
		return Running, nil
	}
}

func whenBaking(e Event) (State, []Action) {
	switch e {
	case Baked:
		return Running, []Action{Accept}
	case Crashed:
		return Backoff, []Action{Return, Arm}
	case Finished:
		return Stopped, []Action{Return}
	case Unfit:
		return Returning, []Action{Respawn} // it serves on meanwhile: badly is better than not
	case Reload:
		return Replacing, []Action{Spawn}
	case Stop:
		return Stopping, []Action{Settle, Drain}
	default:
		return Baking, nil
	}
}

func whenSwapping(e Event) (State, []Action) {
	switch e {
	case Ready:
		return Baking, []Action{Drain, Promote, Bake}
	case Failed:
		return Running, []Action{Reject}
	case Fell:
		return Backoff, []Action{Drain, Fall, Arm} // what it had taken over waits for the last good build
	case Crashed, Finished:
		return Starting, nil // the candidate is on its way already
	case Reload:
		return Swapping, []Action{Kill, Supersede, Spawn}
	case Stop:
		return Stopping, []Action{Kill, Reject, Drain}
	default:
		return Swapping, nil
	}
}

// whenReplacing: the last good build stays what it was while trials are broken
// off by later deploys. An unfit build is not taken back: what is on its way
// may well be its remedy, and if that fails, the next check tells again.
func whenReplacing(e Event) (State, []Action) {
	switch e {
	case Ready:
		return Baking, []Action{Drain, Settle, Promote, Bake}
	case Failed:
		return Baking, []Action{Reject}
	case Fell:
		return Backoff, []Action{Drain, Settle, Fall, Arm}
	case Crashed, Finished:
		return Starting, []Action{Return}
	case Baked:
		return Swapping, []Action{Accept}
	case Reload:
		return Replacing, []Action{Kill, Supersede, Spawn}
	case Stop:
		return Stopping, []Action{Kill, Reject, Settle, Drain}
	default:
		return Replacing, nil
	}
}

func whenReturning(e Event) (State, []Action) {
	switch e {
	case Ready:
		return Running, []Action{Drain, Return, Promote}
	case Failed:
		return Ailing, []Action{Arm}
	case Fell:
		return Backoff, []Action{Drain, Return, Arm}
	case Crashed, Finished:
		return Restarting, []Action{Return}
	case Reload:
		return Swapping, []Action{Kill, Return, Spawn}
	case Stop:
		return Stopping, []Action{Kill, Return, Drain}
	default:
		return Returning, nil
	}
}

func whenAiling(e Event) (State, []Action) {
	switch e {
	case Retry:
		return Returning, []Action{Respawn}
	case Crashed, Finished:
		return Backoff, []Action{Return}
	case Reload:
		return Swapping, []Action{Disarm, Return, Spawn}
	case Stop:
		return Stopping, []Action{Disarm, Return, Drain}
	default:
		return Ailing, nil
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
