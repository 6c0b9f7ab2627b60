package web

import (
	"net"
	"net/http"

	"github.com/simpletalk/simpletalk/proto/ws"
)

// Keeper lets WebSockets outlive this process. [ws.Keeper] is one.
type Keeper interface {
	// Gate returns l as a listener that accepts only while this process is the
	// one that serves.
	Gate(l net.Listener) net.Listener

	// Accept upgrades a request. meta is what the next process must know of the
	// connection if this one dies.
	Accept(w http.ResponseWriter, r *http.Request, o ws.Options, meta []byte) (*ws.Conn, error)

	// Note replaces the meta of a connection.
	Note(c *ws.Conn, meta []byte)

	// Moves reports whether connections move to a process that replaces this
	// one. If not, each ends with its process.
	Moves() bool
}

// alone is the keeper of a server that was given none.
type alone struct{}

func (alone) Gate(l net.Listener) net.Listener { return l }
func (alone) Note(*ws.Conn, []byte)            {}
func (alone) Moves() bool                      { return false }
func (alone) Accept(w http.ResponseWriter, r *http.Request, o ws.Options, _ []byte) (*ws.Conn, error) {
	return ws.Accept(w, r, o)
}
