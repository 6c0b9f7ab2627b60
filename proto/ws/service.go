package ws

import "github.com/simpletalk/simpletalk/proto"

// Service is what a server does so that its connections can move. Its
// functions are called by one goroutine, one at a time, and must not wait for a
// client: while they run nobody is served. nil ones are skipped.
//
//	old worker                            new worker
//	                                      Adopt(c, meta)   for each, held
//	Save(c) for each, SaveAll   ── state ──►  LoadAll, Load(c) for each
//	                                      Live
//
//	dead worker                           Adopt(c, meta)   for each, held
//	                                      Recover(c)       for each that is sound
//	                                      Live
type Service struct {
	Options Options // of adopted connections

	// Versions are those of the application's state, newest first: what Save
	// may be asked for and Load be given.
	Versions []int

	// Adopt prepares for a connection that another worker still owns, or owned,
	// and serves it on a goroutine of its own: Serve and Write wait until it is
	// ours. An error refuses the whole swap.
	Adopt func(c *Conn, meta []byte) error

	// Save returns what the next worker must know of a connection that stands
	// still, beside its meta; nil if that is all. SaveAll, called after every
	// Save, returns what it must know beside its connections.
	Save    func(version int, c *Conn) ([]byte, error)
	SaveAll func(version int) ([]byte, error)

	// LoadAll and then Load take that. Load is not called for a connection of
	// which Save had nothing to tell. A straggler comes later, when others are
	// live already, without LoadAll. An error refuses the swap.
	LoadAll func(version int, state []byte) error
	Load    func(version int, c *Conn, state []byte) error

	// Recover is called for a connection whose worker has died, between two
	// messages both ways. What its worker had read and not answered is lost, and
	// what it has written may not have been all: it returns a text message that
	// asks the client where it is, nil for none. That is sent before anything that
	// the client has said since is handled.
	Recover func(c *Conn) []byte

	// Live tells that connections stood still and do not any more: this worker
	// has taken over, or a swap was taken back. What a TryWrite or Offer could not send
	// can be sent now.
	Live func()
}

// Formats are what a worker says of its state when it joins; app are the
// [Service]'s Versions.
func Formats(app ...int) proto.Formats {
	f := proto.Formats{formatConns: {CargoVersion}}
	if len(app) > 0 {
		f[formatApp] = app
	}
	return f
}

// Names of the formats.
const (
	formatConns = "ws"
	formatApp   = "app"
)
