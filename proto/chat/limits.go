package chat

import "time"

// Version is the wire version this build speaks. A hello with another version
// is closed with [CloseVersion].
const Version = 1

// Limits that both sides keep. A browser may rely on them; a server enforces
// them.
const (
	MaxFrame    = 16 << 10 // bytes in one frame from a client (security floor)
	MaxText     = 4000     // code points in one post
	MaxName     = 24       // graphemes in a display name
	MaxNameCode = 64       // code points in a display name
	MaxRoomName = 40       // bytes in a room name
	MaxRooms    = 50       // rooms that one connection may have open
	MinNonce    = 1        // bytes in a nonce
	MaxNonce    = 64       // bytes in a nonce
	MaxMissed   = 500      // events replayed before a reset is sent instead
	PageSize    = 50       // events of the last page, and the default of get
	MaxPage     = 200      // largest limit of get and of the HTTP history
)

// Deadlines of a connection.
const (
	HelloTimeout = 10 * time.Second // from the upgrade to hello
	PingEvery    = 25 * time.Second // the server sends ping when it has been silent so long
	SilenceLimit = 60 * time.Second // a peer that said nothing so long is gone
)

// Rhythm of typing.
const (
	TypingEvery = 3 * time.Second // how often a client says it at most
	TypingLimit = 6 * time.Second // a typist who said nothing so long is not one
	MaxTypists  = 8               // names in one typing line
)

// MaxAmendments is how many edits and reacts one post takes.
const MaxAmendments = 2000

// WebSocket close codes. 1001, 1009, 1011 and 1012 have the meaning of RFC 6455
// section 7.4.1 and the IANA registry; 4000–4999 are ours, of which those from 4500
// on are for good (see the package invariant 5).
const (
	CloseGoingAway   = 1001 // the server stops
	CloseTooBig      = 1009 // frame above MaxFrame
	CloseInternal    = 1011 // the server made a mistake
	CloseRestart     = 1012 // this worker drains; another one serves already
	CloseSlow        = 4000 // the client did not read: reconnect and resume
	CloseSilent      = 4001 // the client did not answer pings: reconnect and resume
	CloseHelloMissed = 4002 // no hello within HelloTimeout
	CloseSessionGone = 4401 // the session is another now, or its user: ask who you are, and reconnect
	CloseBadFrame    = 4500 // not a frame of this protocol, or lines that make no sense without end
	CloseSignedOut   = 4501 // the session has ended: sign in again
	CloseBanned      = 4503 // the user is banned
	CloseVersion     = 4504 // another wire version: reload the page
)
