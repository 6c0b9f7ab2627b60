package ws

import "fmt"

// state is who may touch the stream, as this process sees it.
type state uint8

const (
	serving  state = iota // this process reads and writes
	freezing              // it takes in nothing new, what is under way ends first
	frozen                // nothing is inside the library or a handler
	held                  // the socket of another owner: nothing is read or written
	loaded                // held, and the owner's snapshot is here
	moved                 // another process has it: what is done here touches nothing
	closed                // it has ended, for this process at least
	states
)

func (s state) String() string {
	names := [states]string{"serving", "freezing", "frozen", "held", "loaded", "moved", "closed"}
	if s < states {
		return names[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// event is what happens to a connection.
type event uint8

const (
	evFreeze  event = iota
	evQuiet         // all that was under way has ended
	evGoodbye       // a close frame: it ends where it is
	evThaw
	evLoad
	evResume
	evRelease
	evClose
	events
)

func (e event) String() string {
	names := [events]string{"freeze", "quiet", "goodbye", "thaw", "load", "resume", "release", "close"}
	if e < events {
		return names[e]
	}
	return fmt.Sprintf("event(%d)", uint8(e))
}

// next tells what an event makes of a state, and whether it may happen in it.
// The package comment has the table.
func next(s state, e event) (state, bool) {
	switch {
	case s == serving && e == evFreeze:
		return freezing, true
	case s == freezing && e == evQuiet:
		return frozen, true
	case (s == serving || s == freezing) && e == evGoodbye:
		return serving, true
	case (s == freezing || s == frozen) && e == evThaw:
		return serving, true
	case s == frozen && e == evRelease:
		return moved, true
	case s == held && e == evLoad:
		return loaded, true
	case (s == held || s == loaded) && e == evResume:
		return serving, true
	case (s == serving || s == freezing || s == held || s == loaded) && e == evClose:
		return closed, true
	}
	return s, false
}

// owned reports whether this process may read and write the stream.
func (s state) owned() bool { return s == serving || s == freezing }

// over reports whether nothing can happen here any more.
func (s state) over() bool { return s == moved || s == closed }
