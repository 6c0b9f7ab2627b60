package proto

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Version is the newest version of the messages that this build speaks.
const Version = 1

// Versions returns the versions this build speaks, newest first.
func Versions() []int { return []int{Version} }

// ErrNoCommonVersion says that two builds have no version in common.
var ErrNoCommonVersion = errors.New("no common protocol version")

// Negotiate returns the highest version both sides speak, or an error that
// wraps [ErrNoCommonVersion] and names both lists.
func Negotiate(ours, theirs []int) (int, error) {
	best := 0
	for _, v := range ours {
		if slices.Contains(theirs, v) {
			best = max(best, v)
		}
	}
	if best == 0 {
		return 0, fmt.Errorf("%w: one side speaks %v, the other %v", ErrNoCommonVersion, ours, theirs)
	}
	return best, nil
}

// Kind names a message.
type Kind string

// Kinds of messages; see the package's picture for who sends which.
const (
	KindHello   Kind = "hello"
	KindReady   Kind = "ready"
	KindGo      Kind = "go"
	KindPing    Kind = "ping"
	KindPong    Kind = "pong"
	KindStats   Kind = "stats"
	KindPeers   Kind = "peers"
	KindPublish Kind = "publish"
	KindDeliver Kind = "deliver"
	KindDrain   Kind = "drain"
	KindDrained Kind = "drained"
	KindBye     Kind = "bye"
	KindUnknown Kind = "unknown"

	// Of kept connections and their swaps.
	KindKeep    Kind = "keep"
	KindNote    Kind = "note"
	KindDrop    Kind = "drop"
	KindRekeep  Kind = "rekeep"
	KindRekept  Kind = "rekept"
	KindAdopt   Kind = "adopt"
	KindBuilt   Kind = "built"
	KindFreeze  Kind = "freeze"
	KindFrozen  Kind = "frozen"
	KindLoad    Kind = "load"
	KindLoaded  Kind = "loaded"
	KindRecover Kind = "recover"
	KindLive    Kind = "live"
	KindRefused Kind = "refused"
	KindResume  Kind = "resume"
	KindRelease Kind = "release"
	KindLate    Kind = "late"
)

// Message is one of this package's message types, by value.
type Message interface{ Kind() Kind }

// Hello is the first message of both sides.
type Hello struct {
	Versions   []int `json:"versions"`             // newest first
	Generation int   `json:"generation,omitempty"` // supervisor → worker
	Build      Build `json:"build,omitzero"`       // worker → supervisor
	PID        int   `json:"pid,omitempty"`        // worker → supervisor

	// Formats are those of the state that this worker can give and take when its
	// connections move; none: they do not. Worker → supervisor.
	Formats Formats `json:"formats,omitempty"`
	// Files is how many descriptors this worker may open, 0 if it does not tell.
	// Worker → supervisor.
	Files int `json:"files,omitempty"`
}

// Build says which build a worker is, as stamped into it.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
}

// Ready says that the worker could serve at once: its listeners are open, its
// store answers, its caches are warm.
type Ready struct{}

// Go tells the worker to accept: from now on it is the one that serves. Until
// then it may be ended without a word. A worker whose connections move first
// claims the ownership word, as it was read by the supervisor, and answers
// [Live], or [Refused] when it was another by then.
type Go struct {
	Swap uint32 `json:"swap,omitempty"`
	From Owner  `json:"from,omitzero"`
}

// Ping asks the worker whether it still handles messages.
type Ping struct{}

// Pong answers [Ping].
type Pong struct{}

// Stats tells figures of a worker, after every [Pong].
type Stats struct {
	Conns int `json:"conns"` // live client connections
}

// Peers tells how many other workers of this program live on this host. With
// none there is nobody to publish to.
type Peers struct {
	N int `json:"n"`
}

// Publish hands bytes to every other worker of the program on this host. It
// may be lost, and it may arrive twice.
type Publish struct {
	Data []byte `json:"data"`
}

// Deliver is what another worker published.
type Deliver struct {
	Data []byte `json:"data"`
}

// Why tells the reason of a drain.
type Why string

// Reasons of a drain.
const (
	WhyDeploy   Why = "deploy"   // another generation serves already
	WhyStop     Why = "stop"     // the program stops
	WhyOrphaned Why = "orphaned" // the control socket ended: never sent, see [Worker.Run]
)

// Drain tells a worker to stop accepting, to close its connections at a pace
// and to end.
type Drain struct {
	Why       Why   `json:"why"`
	Rate      int   `json:"rate"`       // connections to close per second, at least 1
	TimeoutMS int64 `json:"timeout_ms"` // from now to the worker's end
}

// Drained says that the worker holds no connection any more.
type Drained struct{}

// Bye is a worker's last message: why it ends.
type Bye struct {
	Reason string `json:"reason"`
}

// Unknown answers a message whose kind the peer does not know.
type Unknown struct {
	Name Kind `json:"name"`
}

// Kinds of the messages of kept connections stand in handover.go.

func (Hello) Kind() Kind   { return KindHello }
func (Ready) Kind() Kind   { return KindReady }
func (Go) Kind() Kind      { return KindGo }
func (Ping) Kind() Kind    { return KindPing }
func (Pong) Kind() Kind    { return KindPong }
func (Stats) Kind() Kind   { return KindStats }
func (Peers) Kind() Kind   { return KindPeers }
func (Publish) Kind() Kind { return KindPublish }
func (Deliver) Kind() Kind { return KindDeliver }
func (Drain) Kind() Kind   { return KindDrain }
func (Drained) Kind() Kind { return KindDrained }
func (Bye) Kind() Kind     { return KindBye }
func (Unknown) Kind() Kind { return KindUnknown }

// unrecognized stands for a received message of a kind this build does not
// know, until the peer is answered.
type unrecognized struct{ name Kind }

func (u unrecognized) Kind() Kind { return u.name }

// Encode returns m as a packet. Its only errors are a message over
// [MaxPacket].
func Encode(m Message) ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", m.Kind(), err)
	}
	packet := slices.Concat([]byte(m.Kind()), []byte{' '}, body)
	if len(packet) > MaxPacket {
		return nil, fmt.Errorf("encode %s: %d bytes, a packet holds at most %d", m.Kind(), len(packet), MaxPacket)
	}
	return packet, nil
}

// Decode returns the message of a packet. A kind this build does not know is
// no error: [Peer] answers it.
func Decode(packet []byte) (Message, error) {
	name, body, ok := bytes.Cut(packet, []byte{' '})
	kind := Kind(name)
	if !ok || !validKind(kind) {
		return nil, fmt.Errorf("decode packet %.60q: must be a kind, a space and a JSON object", packet)
	}
	switch kind {
	case KindHello:
		return decode[Hello](body)
	case KindReady:
		return decode[Ready](body)
	case KindGo:
		return decode[Go](body)
	case KindPing:
		return decode[Ping](body)
	case KindPong:
		return decode[Pong](body)
	case KindStats:
		return decode[Stats](body)
	case KindPeers:
		return decode[Peers](body)
	case KindPublish:
		return decode[Publish](body)
	case KindDeliver:
		return decode[Deliver](body)
	case KindDrain:
		return decode[Drain](body)
	case KindDrained:
		return decode[Drained](body)
	case KindBye:
		return decode[Bye](body)
	case KindUnknown:
		return decode[Unknown](body)
	default:
		return decodeHandover(kind, body)
	}
}

func decode[M Message](body []byte) (Message, error) {
	var m M
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("decode %s: %w", m.Kind(), err)
	}
	return m, nil
}

// validKind reports whether k looks like a kind of any version: 1 to 32
// lower-case letters.
func validKind(k Kind) bool {
	if len(k) == 0 || len(k) > 32 {
		return false
	}
	for i := range len(k) {
		if k[i] < 'a' || k[i] > 'z' {
			return false
		}
	}
	return true
}
