package web

import "runtime/debug"

// A crowd that arrives leaves behind what it took to let it in, and the runtime
// keeps that for minutes. On a small machine others can use it.
const (
	tidyCalm   = 5   // looks without a change of note, before memory is given back
	tidyTimes  = 4   // looks in a row at which it is: each collection halves a stack that is too large
	tidyChange = 200 // connections more or less that make it worth while
)

// tidy tells when a crowd has settled.
type tidy struct {
	seen    int // connections at the last change
	settled int // connections when memory was given back
	calm    int
}

// due is asked at every look.
func (t *tidy) due(conns int) bool {
	if abs(conns-t.seen) > tidyChange/10 {
		t.seen, t.calm = conns, 0
		return false
	}
	t.calm++
	if t.calm < tidyCalm || abs(conns-t.settled) < tidyChange {
		return false
	}
	if t.calm == tidyCalm+tidyTimes-1 {
		t.settled = conns
	}
	return true
}

func abs(n int) int { return max(n, -n) }

// giveBack returns what is free to the machine.
func giveBack() { debug.FreeOSMemory() }
