package handover

import (
	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/web"
	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// Keeper is the [web.Keeper] of the chat under a supervisor. It also works
// alone: then it keeps nothing.
type Keeper struct {
	*ws.Keeper
	worker *proto.Worker
	hub    *chat.Hub
	server *web.Server
	hurry  hurry
}

// New returns the keeper of a worker; w is nil without a supervisor. The hub is
// held until this process is the one that serves. [Keeper.Serve] must be called
// before Run.
func New(w *proto.Worker, hub *chat.Hub) *Keeper {
	k := &Keeper{worker: w, hub: hub}
	k.Keeper = ws.NewKeeper(w, k.service())
	if k.Moves() {
		hub.Hold()
	}
	return k
}

// Serve says whose connections are kept: a server that has this keeper.
func (k *Keeper) Serve(s *web.Server) { k.server = s }

// Moves implements [web.Keeper].
func (k *Keeper) Moves() bool { return k.worker != nil && k.worker.Arena() != nil }

func (k *Keeper) service() ws.Service {
	return ws.Service{
		Options:  web.SocketOptions(),
		Versions: Versions(),
		Adopt:    k.adopt,
		Save:     func(version int, c *ws.Conn) ([]byte, error) { return encodeConn(version, k.server.Save(c)) },
		SaveAll:  func(version int) ([]byte, error) { return encodeHub(version, k.hub.State()) },
		LoadAll:  k.loadAll,
		Load:     k.load,
		Recover:  func(c *ws.Conn) []byte { return k.server.Recover(c) },
		Live:     k.live,
	}
}

func (k *Keeper) adopt(c *ws.Conn, meta []byte) error {
	k.hurry.begin()
	return k.server.Adopt(c, meta)
}

func (k *Keeper) live() {
	k.hurry.end()
	k.server.Live()
}

func (k *Keeper) loadAll(version int, state []byte) error {
	s, err := decodeHub(version, state)
	if err != nil {
		return err
	}
	return k.hub.Load(s)
}

func (k *Keeper) load(version int, c *ws.Conn, state []byte) error {
	s, err := decodeConn(version, state)
	if err != nil {
		return err
	}
	return k.server.Load(c, s)
}
