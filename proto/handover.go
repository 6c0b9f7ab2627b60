package proto

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Kept is a connection as both sides call it.
type Kept struct {
	ID   uint64 `json:"id"`             // the socket's SO_COOKIE, the same for every duplicate
	Meta []byte `json:"meta,omitempty"` // what the next worker must know of it, if this one dies
}

// Keep gives the supervisor a duplicate of each of these connections; the
// descriptors travel in the same order. It is sent before a client learns that
// it is connected.
type Keep struct {
	Conns []Kept `json:"conns"`
	Anew  bool   `json:"anew,omitempty"` // the first of all, up to a [Rekept]
}

// Note replaces the meta of kept connections.
type Note struct {
	Conns []Kept `json:"conns"`
}

// Drop says that connections have ended.
type Drop struct {
	IDs []uint64 `json:"ids"`
}

// Rekeep asks for a [Keep] of every connection again, then [Rekept]: by a
// supervisor that has lost what it knew.
type Rekeep struct{}

// Rekept says that all N connections of this worker have been told again:
// what was not is not there any more. It also comes unasked, after an overflow
// has swallowed a keep, note or drop.
type Rekept struct {
	N    int    `json:"n"`
	Role string `json:"role"` // waiting, loaded, serving, freezing, frozen, retired
	Swap uint32 `json:"swap,omitempty"`
}

// Adopt gives a worker duplicates of connections that another one still owns,
// or that nobody does: it prepares everything and touches nothing. It answers
// [Built].
type Adopt struct {
	Swap  uint32 `json:"swap"`
	Conns []Kept `json:"conns"`
}

// Built answers an [Adopt]: its N connections are held.
type Built struct {
	Swap uint32 `json:"swap"`
	N    int    `json:"n"`
}

// Freeze asks the serving worker to let its connections stand still and to
// tell their state in these formats. A handler that has not ended by the
// deadline makes its connection a straggler.
type Freeze struct {
	Swap       uint32         `json:"swap"`
	Formats    map[string]int `json:"formats"`
	DeadlineMS int64          `json:"deadline_ms"`
}

// Frozen carries the state of N connections, a sealed memfd. Late ones did not
// stand still and follow by [Late], or end where they are.
type Frozen struct {
	Swap uint32   `json:"swap"`
	N    int      `json:"n"`
	Late []uint64 `json:"late,omitempty"`
}

// Load carries that state to the worker that holds the connections.
type Load struct {
	Swap    uint32         `json:"swap"`
	Formats map[string]int `json:"formats"`
}

// Loaded says that the state fits what is held.
type Loaded struct {
	Swap uint32 `json:"swap"`
	N    int    `json:"n"`
}

// Recover is a [Go] after the death of the owner: what stands at a message
// boundary goes on and is asked to resync, the rest is closed.
type Recover struct {
	Swap uint32 `json:"swap"`
	From Owner  `json:"from"`
}

// Live says that this worker is the owner now, and serves.
type Live struct {
	Swap   uint32 `json:"swap"`
	N      int    `json:"n"`                // connections that go on
	Broken int    `json:"broken,omitempty"` // connections closed by a [Recover]
}

// Refused says that the worker did not do what it was asked for; all is as
// before.
type Refused struct {
	Swap uint32 `json:"swap"`
	Why  string `json:"why"`
}

// Resume takes a [Freeze] back.
type Resume struct {
	Swap uint32 `json:"swap"`
}

// Release tells the worker of before that another one is the owner: it closes
// its descriptors of what moved in this swap, and nothing else of it. IDs are
// stragglers that have moved since; none: all that was frozen. Apart says that
// nobody takes over all of that: each connection is a straggler, for workers that
// serve already.
type Release struct {
	Swap  uint32   `json:"swap"`
	IDs   []uint64 `json:"ids,omitempty"`
	Apart bool     `json:"apart,omitempty"`
}

// Late gives a straggler away for good, with its state: from the worker of
// before to the supervisor, and from there to the owner. Or a connection that
// was upgraded over an HTTP connection which outlived its worker.
type Late struct {
	Swap    uint32         `json:"swap"`
	Formats map[string]int `json:"formats"`
	ID      uint64         `json:"id"`
	State   []byte         `json:"state"`
}

func (Keep) Kind() Kind    { return KindKeep }
func (Note) Kind() Kind    { return KindNote }
func (Drop) Kind() Kind    { return KindDrop }
func (Rekeep) Kind() Kind  { return KindRekeep }
func (Rekept) Kind() Kind  { return KindRekept }
func (Adopt) Kind() Kind   { return KindAdopt }
func (Built) Kind() Kind   { return KindBuilt }
func (Freeze) Kind() Kind  { return KindFreeze }
func (Frozen) Kind() Kind  { return KindFrozen }
func (Load) Kind() Kind    { return KindLoad }
func (Loaded) Kind() Kind  { return KindLoaded }
func (Recover) Kind() Kind { return KindRecover }
func (Live) Kind() Kind    { return KindLive }
func (Refused) Kind() Kind { return KindRefused }
func (Resume) Kind() Kind  { return KindResume }
func (Release) Kind() Kind { return KindRelease }
func (Late) Kind() Kind    { return KindLate }

// decodeHandover is Decode for the kinds of this file.
func decodeHandover(kind Kind, body []byte) (Message, error) {
	switch kind {
	case KindKeep:
		return decode[Keep](body)
	case KindNote:
		return decode[Note](body)
	case KindDrop:
		return decode[Drop](body)
	case KindRekeep:
		return decode[Rekeep](body)
	case KindRekept:
		return decode[Rekept](body)
	case KindAdopt:
		return decode[Adopt](body)
	case KindBuilt:
		return decode[Built](body)
	case KindFreeze:
		return decode[Freeze](body)
	case KindFrozen:
		return decode[Frozen](body)
	case KindLoad:
		return decode[Load](body)
	case KindLoaded:
		return decode[Loaded](body)
	case KindRecover:
		return decode[Recover](body)
	case KindLive:
		return decode[Live](body)
	case KindRefused:
		return decode[Refused](body)
	case KindResume:
		return decode[Resume](body)
	case KindRelease:
		return decode[Release](body)
	case KindLate:
		return decode[Late](body)
	default:
		return unrecognized{kind}, nil
	}
}

// isHandover reports whether a message is the supervisor's word on kept
// connections.
func isHandover(k Kind) bool {
	switch k {
	case KindRekeep, KindAdopt, KindFreeze, KindLoad, KindRecover, KindResume, KindRelease, KindLate:
		return true
	}
	return false
}

// mayBeLost reports whether a message may be dropped when nobody reads: a
// worker never waits for its supervisor. All but doorbells are told again
// later, see [Rekept].
func mayBeLost(k Kind) bool {
	return k == KindPublish || k == KindKeep || k == KindNote || k == KindDrop
}

// Formats names the kinds of state that a worker gives and takes, each with
// the versions that it knows, newest first.
type Formats map[string][]int

// ErrNoCommonFormat says that one build cannot read what another writes.
var ErrNoCommonFormat = errors.New("no common format of the connections' state")

// NegotiateFormats returns for each kind of state the newest version that both
// the worker which gives it and the one which takes it know, or an error that
// wraps [ErrNoCommonFormat] and names both lists. A kind that one of them lacks
// is such an error: nothing is guessed.
func NegotiateFormats(giver, taker Formats) (map[string]int, error) {
	kinds := slices.Collect(maps.Keys(giver))
	for k := range taker {
		if _, both := giver[k]; !both {
			kinds = append(kinds, k)
		}
	}
	slices.Sort(kinds)
	agreed := map[string]int{}
	for _, k := range kinds {
		v, err := Negotiate(giver[k], taker[k])
		if err != nil {
			return nil, fmt.Errorf("%w: of %q the serving build writes versions %v, the new one reads %v", ErrNoCommonFormat, k, giver[k], taker[k])
		}
		agreed[k] = v
	}
	return agreed, nil
}
