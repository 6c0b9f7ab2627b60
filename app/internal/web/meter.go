package web

import wire "github.com/simpletalk/simpletalk/proto/chat"

// Meter is told what a [Server] does, so that it can be counted. Any goroutine
// calls it.
type Meter interface {
	Refused(code wire.Code) // a request was answered by nak
	Slow()                  // a client did not read, and was closed
	Moved()                 // a connection came from another process, with its state
	NotMoved()              // a connection that came from another process was lost
	Recovered()             // the client of a process that has died was asked where it is
}

// unmetered is the Meter of a server that has none.
type unmetered struct{}

func (unmetered) Refused(wire.Code) {}
func (unmetered) Slow()             {}
func (unmetered) Moved()            {}
func (unmetered) NotMoved()         {}
func (unmetered) Recovered()        {}

// Census counts the WebSockets by state.
type Census struct {
	Waiting int // for their hello
	Talking int
	Held    int // still another process's
}

// Census returns how many WebSockets there are.
func (s *Server) Census() (n Census) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		switch {
		case !c.ours.Load():
			n.Held++
		case c.greeted.Load():
			n.Talking++
		default:
			n.Waiting++
		}
	}
	return n
}
