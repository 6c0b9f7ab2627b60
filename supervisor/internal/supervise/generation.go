package supervise

import (
	"strings"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// generation is one start of an instance. The instance's loop owns it.
type generation struct {
	number  int
	build   Build         // nil until pinned
	plan    *Plan         // how it was started and is treated
	about   control.Build // of build, and of what the worker told
	process Process       // nil until launched
	joined  bool          // it said hello: it takes messages; else signals
	formats proto.Formats // of the state that it gives and takes; none: its connections do not move
	files   int           // descriptors that it may open, 0 if it did not tell
	sealed  string        // why the supervisor ended it, "" if it did not

	started  time.Time
	ready    time.Time // when it said so; it may have to wait for others
	served   time.Time // when it was promoted
	deadline time.Time // when it is killed, once it leaves
	conns    int       // as it says

	unanswered int // pings since its last pong

	inherited bool // a supervisor before has started it, and it did not get ready there
	telling   bool // it is asked to tell again what it keeps
	waits     bool // it is ready, and whoever serves is still telling

	late []proto.Late // said while it was telling

	bequest *bequest // of its connections, under way; nil: none

	timer *time.Timer // of the ready or the drain deadline
}

// send tells the worker something if it takes messages, and owns fds.
func (g *generation) send(m proto.Message, fds ...int) {
	if g.process == nil || !g.joined {
		proto.CloseFDs(fds)
		return
	}
	g.process.Send(m, fds...) // a full queue is a hung worker: its missing pongs tell
}

// moves reports whether the worker's connections can move to another one.
func (g *generation) moves() bool { return len(g.formats) > 0 }

// uptime is how long g has served, 0 if it never did.
func (g *generation) uptime() time.Duration {
	if g.served.IsZero() {
		return 0
	}
	return time.Since(g.served)
}

// disarm stops g's deadline.
func (g *generation) disarm() {
	if g.timer != nil {
		g.timer.Stop()
	}
}

// cause is why something ended, with the last that it wrote.
type cause struct {
	why    string
	output []string
}

// because is a cause without output.
func because(why string) cause { return cause{why: why} }

func (c cause) String() string {
	if len(c.output) == 0 {
		return c.why
	}
	return c.why + "; its last output: " + strings.Join(c.output, " | ")
}

// ending says why g ended: how, and the last that it wrote.
func (g *generation) ending(how string) cause {
	if g.process == nil {
		return because(how)
	}
	lines := g.process.LastOutput()
	if len(lines) == 0 {
		return because(how + " (it wrote nothing)")
	}
	return cause{how, lines}
}
