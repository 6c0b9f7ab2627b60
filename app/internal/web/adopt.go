package web

import (
	"errors"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// ConnState is what the next process must know of a connection that moves to
// it, beside its meta. Times travel as what has passed of them. What is left
// out starts afresh.
type ConnState struct {
	Member   *chat.MemberState `json:"member,omitempty"` // nil before hello
	Asked    bool              `json:"asked,omitempty"`  // by a resync
	AgeMS    int64             `json:"age_ms,omitempty"` // that hello is waited for
	PingedMS int64             `json:"pinged_ms,omitempty"`
	Spent    int               `json:"spent,omitempty"` // of the bucket
}

// resyncLine asks the client where it is.
var resyncLine = wire.AppendLine(nil, &wire.Resync{T: wire.KindResync})

// SocketOptions are those of WebSockets that are adopted.
func SocketOptions() ws.Options { return ws.Options{ReadLimit: wire.MaxFrame} }

// Adopt prepares for a connection that another process has, or had: it is
// served as soon as it is ours. Unless a [Server.Load] comes before, that
// process has died, and the client is asked where it is.
//
// Adopt, Save, Load, Recover and Live are called by one goroutine.
func (s *Server) Adopt(socket *ws.Conn, raw []byte) error {
	m, err := parseMeta(raw)
	if err == nil {
		err = s.adopt(socket, m)
	}
	if err != nil {
		s.o.Meter.NotMoved()
		socket.CloseNow() // here: to the other process it is nothing
	}
	return err
}

func (s *Server) adopt(socket *ws.Conn, m meta) error {
	c := newConn(s, socket, m.owner())
	c.client, c.admin = parseClient(m.Client), m.Admin
	c.adopted, c.asked = &m, true
	c.greeted.Store(m.Greeted)
	s.o.Hub.Warm(m.Rooms)
	s.o.Hub.Expect(c.user, m.Rooms)
	s.mu.Lock()
	s.takePlace(c.client)
	s.mu.Unlock()
	if _, ok := s.add(c); !ok {
		s.unreserve(c.client)
		return errors.New("this server is draining")
	}
	go c.serve() // remove, at its end, counts it out of s.serving
	return nil
}

// Save returns what the next process must know of a connection that stands
// still.
func (s *Server) Save(socket *ws.Conn) ConnState {
	c := s.find(socket)
	if c == nil {
		return ConnState{} // upgraded this moment: it has not begun
	}
	now := s.now()
	state := ConnState{Asked: c.asked, Spent: c.spent()}
	if !c.greeted.Load() {
		state.AgeMS = (now - time.Duration(c.began.Load())).Milliseconds()
	}
	if pinged := time.Duration(c.pinged.Load()); pinged > 0 {
		state.PingedMS = max((now - pinged).Milliseconds(), 1)
	}
	if c.member != nil {
		m := c.member.State()
		state.Member = &m
	}
	return state
}

// Load takes what Save told of a connection that was adopted and is not ours
// yet.
func (s *Server) Load(socket *ws.Conn, state ConnState) error {
	c := s.find(socket)
	if c == nil {
		return nil // it has ended meanwhile
	}
	c.asked = state.Asked
	c.began.Store(int64(s.now() - time.Duration(state.AgeMS)*time.Millisecond))
	if state.PingedMS > 0 {
		c.pinged.Store(int64(s.now() - time.Duration(state.PingedMS)*time.Millisecond))
	}
	c.spend(state.Spent)
	if state.Member != nil {
		m, err := s.o.Hub.Restore(c.user, c, *state.Member)
		if err != nil {
			s.o.Meter.NotMoved()
			return err
		}
		c.member = m
	}
	c.greeted.Store(c.member != nil)
	if c.isNews(c.adopted) {
		s.o.Keeper.Note(socket, c.meta().encode())
	}
	c.adopted = nil
	s.o.Meter.Moved()
	return nil
}

// Recover prepares for a connection whose process has died, and returns what its
// client is told at first: only that knows what is to be told. Until it says so it
// is expected by the others.
func (s *Server) Recover(socket *ws.Conn) []byte {
	c := s.find(socket)
	if c == nil {
		return nil
	}
	c.greeted.Store(false)
	c.began.Store(int64(s.now()))
	s.o.Hub.Expect(c.user, c.adopted.Rooms)
	c.adopted = nil
	s.o.Meter.Recovered()
	return resyncLine
}

// Live tells that connections stood still and do not any more.
func (s *Server) Live() {
	for _, c := range s.snapshot(nil) {
		c.ours.Store(true)
	}
	s.arrived.Store(true)
	s.lookNow()
	s.o.Hub.Wake()
}

// find returns the connection of a socket, nil if it has ended or not begun.
func (s *Server) find(socket *ws.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[socket]
}
