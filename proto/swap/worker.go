package swap

import (
	"fmt"
	"time"

	"github.com/simpletalk/simpletalk/proto"
)

// Silence is how long a frozen worker waits for the supervisor before it takes
// its connections back.
const Silence = 2 * time.Second

// Role is what a worker is to the connections of its instance.
type Role uint8

// Roles of a worker.
const (
	Waiting  Role = iota // it holds what it was given and touches nothing
	Loaded               // the same, with the state of a swap
	Serving              // it owns them: reads, writes, accepts
	Freezing             // it takes in nothing new; what is under way ends
	Frozen               // it stands still, and another one may become the owner
	Retired              // another one is
)

// Roles lists every role.
var Roles = []Role{Waiting, Loaded, Serving, Freezing, Frozen, Retired}

func (r Role) String() string {
	names := []string{"waiting", "loaded", "serving", "freezing", "frozen", "retired"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("Role(%d)", uint8(r))
}

// Touches reports whether a worker may read, write or accept.
func (r Role) Touches() bool { return r == Serving || r == Freezing }

// Cue is something that happens to a worker.
type Cue uint8

// Cues of a worker.
const (
	CueLoad     Cue = iota // the state has come, and fits
	CueGo                  // take over: what is loaded, or nothing
	CueRecover             // take over what dead workers have left
	CueFreeze              // stand still
	CueQuiet               // nothing that will move is under way any more
	CueResume              // the swap is off
	CueSilence             // nobody has said anything since it stands still
	CueOrphaned            // the supervisor has gone
	CueRelease             // another one is the owner
)

// Cues lists every cue.
var Cues = []Cue{CueLoad, CueGo, CueRecover, CueFreeze, CueQuiet, CueResume, CueSilence, CueOrphaned, CueRelease}

func (c Cue) String() string {
	names := []string{"load", "go", "recover", "freeze", "quiet", "resume", "silence", "orphaned", "release"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("Cue(%d)", uint8(c))
}

// Deed is what a worker has to do.
type Deed uint8

// Deeds of a worker, done in the order given.
const (
	SayLoaded  Deed = iota
	SayLive         // and how many go on
	SayRefused      // it has not become the owner
	SayFrozen       // with the state; then the silence begins
	Halt            // let the connections stand still, accept nothing
	Thaw            // take that back: serve as before
	TakeOver        // resume what is loaded, and accept
	TakeLeft        // resume what stands at a boundary, close the rest, and accept
	LetGo           // close the descriptors of what has moved, and nothing else of it
)

// Outcome is a role and what is done on becoming it.
type Outcome struct {
	Role  Role
	Deeds []Deed
}

// Claim is a change of the ownership word.
type Claim uint8

// Claims of a worker, by compare-and-swap.
const (
	NoClaim  Claim = iota
	ToServe        // from what the supervisor has told to serving(own generation)
	ToFreeze       // from serving to frozen
	ToReturn       // from frozen to serving
)

// Words returns the change that a claim of worker gen makes in a swap. told is
// the word that the supervisor names with go and recover.
func (c Claim) Words(gen, swap uint32, told proto.Owner) (from, to proto.Owner) {
	serving := proto.Owner{Generation: gen, Phase: proto.PhaseServing}
	frozen := proto.Owner{Generation: gen, Phase: proto.PhaseFrozen, Swap: swap}
	switch c {
	case ToServe:
		return told, serving
	case ToFreeze:
		return serving, frozen
	case ToReturn:
		return frozen, serving
	default:
		return proto.Owner{}, proto.Owner{}
	}
}

// Step is what follows from a cue: a claim, and what becomes of the worker when
// it wins or loses it. Without a claim it has won.
type Step struct {
	Claim Claim
	Won   Outcome
	Lost  Outcome
}

// Next is what a worker in role r does when c happens: the picture in doc.go.
// A pair that is not named changes nothing.
func Next(r Role, c Cue) Step {
	switch {
	case r == Waiting && c == CueLoad:
		return Step{Won: Outcome{Loaded, []Deed{SayLoaded}}}
	case (r == Waiting || r == Loaded) && c == CueGo:
		return Step{ToServe, Outcome{Serving, []Deed{TakeOver, SayLive}}, Outcome{r, []Deed{SayRefused}}}
	case r == Waiting && c == CueRecover:
		return Step{ToServe, Outcome{Serving, []Deed{TakeLeft, SayLive}}, Outcome{r, []Deed{SayRefused}}}
	case r == Serving && c == CueFreeze:
		return Step{Won: Outcome{Freezing, []Deed{Halt}}}
	case r == Freezing && c == CueQuiet:
		return Step{ToFreeze, Outcome{Frozen, []Deed{SayFrozen}}, Outcome{Retired, []Deed{LetGo}}}
	case r == Freezing && (c == CueResume || c == CueOrphaned):
		return Step{Won: Outcome{Serving, []Deed{Thaw}}}
	case r == Frozen && (c == CueResume || c == CueSilence || c == CueOrphaned):
		return Step{ToReturn, Outcome{Serving, []Deed{Thaw}}, Outcome{Retired, []Deed{LetGo}}}
	case r == Frozen && c == CueRelease:
		return Step{Won: Outcome{Retired, []Deed{LetGo}}}
	default:
		return Step{Won: Outcome{Role: r}}
	}
}
