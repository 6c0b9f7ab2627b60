package chat

import "encoding/json"

// Kinds that a server sends, beside [KindPing] and [KindPong].
const (
	KindWelcome Kind = "welcome"
	KindEvent   Kind = "ev"
	KindLive    Kind = "live"
	KindReset   Kind = "reset"
	KindAck     Kind = "ack"
	KindNak     Kind = "nak"
	KindPage    Kind = "page"
	KindPres    Kind = "pres"
	KindErr     Kind = "err"
	KindBye     Kind = "bye"
	KindResync  Kind = "resync"
)

// User is how a person appears to others.
type User struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Welcome answers hello.
type Welcome struct {
	T      Kind   `json:"t"`
	V      int    `json:"v"`
	Epoch  string `json:"epoch"`   // keep it and send it with the next hello
	User   User   `json:"user"`    // who the server takes the client for
	PingMS int64  `json:"ping_ms"` // the longest silence of a healthy server, in milliseconds

	Reads map[string]int64 `json:"reads,omitempty"` // how far the user has read each room; one that is missing: not at all
}

// EventKind names what happened in a room.
type EventKind string

// Kinds of events. A client ignores those it does not know, but counts their
// seq.
const (
	EventPost  EventKind = "post"
	EventEdit  EventKind = "edit"  // the post Of has another text
	EventDel   EventKind = "del"   // the post Of is deleted
	EventReact EventKind = "react" // to the post Of, with Emoji, or (On false) not any more
	EventVoid  EventKind = "void"  // it was too old to be kept: it counts, and says nothing
)

// Event is one entry of a room's log. The same object stands in ev lines, in
// pages, in search results and in the HTTP history (there T is [KindEvent] too).
//
// In pages and search results it is a post that everything later about it is
// folded into, and Rev is set.
type Event struct {
	T     Kind      `json:"t"`
	Room  string    `json:"room"`
	Seq   int64     `json:"seq"`
	TS    int64     `json:"ts"` // when it was committed, Unix milliseconds
	Kind  EventKind `json:"kind"`
	User  User      `json:"user"`
	Nonce string    `json:"nonce"`
	Text  string    `json:"text"` // empty if it is erased: the post was deleted since

	Of    int64  `json:"of,omitempty"`    // the seq of the post that an edit, del or react is about
	Emoji string `json:"emoji,omitempty"` // of a react
	On    *bool  `json:"on,omitempty"`    // of a react, and there always

	Rev       int64               `json:"rev,omitempty"`     // the last event that is folded in; ignore ev lines about the post up to it
	Edited    int64               `json:"edited,omitempty"`  // when its text was last changed, Unix milliseconds
	Deleted   bool                `json:"deleted,omitempty"` // it is a tombstone, without text and reactions
	Reactions map[string]Reaction `json:"reactions,omitempty"`
}

// Live tells that the client holds everything up to Seq; what follows is new.
type Live struct {
	T    Kind   `json:"t"`
	Room string `json:"room"`
	Seq  int64  `json:"seq"`
}

// Reset tells the client to forget what it holds of a room. The next ev is
// After+1; older events are there for get.
type Reset struct {
	T     Kind   `json:"t"`
	Room  string `json:"room"`
	After int64  `json:"after"`
	Head  int64  `json:"head"`
}

// Ack answers a [Request]: it is durable, at Seq, since TS (Unix milliseconds).
type Ack struct {
	T     Kind   `json:"t"`
	Room  string `json:"room"`
	Nonce string `json:"nonce"`
	Seq   int64  `json:"seq"`
	TS    int64  `json:"ts"`
}

// Nak answers a [Request] that was not stored. With RetryMS the same nonce may
// succeed after that many milliseconds; without, it never will.
type Nak struct {
	T       Kind   `json:"t"`
	Room    string `json:"room"`
	Nonce   string `json:"nonce"`
	Code    Code   `json:"code"`
	Msg     string `json:"msg"`
	RetryMS int64  `json:"retry_ms,omitempty"`
}

// Page answers get with posts in ascending order, folded: what is about a post
// does not stand beside it, so seqs are missing between them. More tells whether
// the room has further ones in the direction asked for; around a post that is
// before it, and MoreAfter tells the other one.
type Page struct {
	T      Kind    `json:"t"`
	Room   string  `json:"room"`
	Events []Event `json:"events"`
	More   bool    `json:"more"`

	MoreAfter bool `json:"more_after,omitempty"`
}

// Pres tells who is in a room: N people in all, and either all of them (Users,
// after a hello or join) or what changed since (Join, Left by id).
type Pres struct {
	T     Kind     `json:"t"`
	Room  string   `json:"room"`
	N     int      `json:"n"`
	Users []User   `json:"users,omitempty"`
	Join  []User   `json:"join,omitempty"`
	Left  []string `json:"left,omitempty"`
}

// Err answers a line that made no sense.
type Err struct {
	T    Kind   `json:"t"`
	Code Code   `json:"code"`
	Msg  string `json:"msg"`
}

// Why tells the reason of a bye.
type Why string

// Reasons of a bye.
const (
	WhyDeploy Why = "deploy" // another build serves already
	WhyStop   Why = "stop"   // the server stops, perhaps to start again

	WhyElsewhere Why = "elsewhere" // other servers can do what this one cannot for now
)

// Bye announces a close. Each client is told its own AfterMS, milliseconds to
// wait before it reconnects, so that a herd comes back paced.
type Bye struct {
	T       Kind  `json:"t"`
	Why     Why   `json:"why"`
	AfterMS int64 `json:"after_ms"`
}

// Resync asks for [Hello] again on the same connection: the worker that knew
// this client has died (see the package invariant 6).
type Resync struct {
	T Kind `json:"t"`
}

// AppendLine appends m, one of this package's messages, as a line that ends in
// '\n'.
func AppendLine(dst []byte, m any) []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("chat: a message that cannot be encoded: " + err.Error()) // only strings and numbers: a programming mistake
	}
	return append(append(dst, b...), '\n')
}

// ParseServer reads one line from a server into *Welcome, *Event, *Live,
// *Reset, *Ack, *Nak, *Page, *Pres, *Read, *Typists, *Err, *Bye, *Resync, *Ping or
// *Pong. A kind
// it does not know gives an *[Error] with [CodeUnknown], which a client ignores.
func ParseServer(line []byte) (any, error) {
	var head struct {
		T Kind `json:"t"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return nil, badJSON(err)
	}
	switch head.T {
	case KindWelcome:
		return into[Welcome](line)
	case KindEvent:
		return into[Event](line)
	case KindLive:
		return into[Live](line)
	case KindReset:
		return into[Reset](line)
	case KindAck:
		return into[Ack](line)
	case KindNak:
		return into[Nak](line)
	case KindPage:
		return into[Page](line)
	case KindPres:
		return into[Pres](line)
	case KindErr:
		return into[Err](line)
	case KindBye:
		return into[Bye](line)
	case KindResync:
		return into[Resync](line)
	case KindRead:
		return into[Read](line)
	case KindTyping:
		return into[Typists](line)
	case KindPing:
		return into[Ping](line)
	case KindPong:
		return into[Pong](line)
	default:
		return nil, &Error{CodeUnknown, "unknown kind"}
	}
}

func into[M any](line []byte) (any, error) {
	return parse(line, func(*M) error { return nil })
}
