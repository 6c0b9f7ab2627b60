package web

import (
	"net/http"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// upgrade makes a request a conversation, and leaves it to a goroutine of its
// own: the HTTP server's are freed.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	token := s.token(r)
	if token != "" {
		if err := s.checkOrigin(r); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	session, err := s.o.Auth.Session(r.Context(), token)
	if err == nil {
		err = s.mayOpen()
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	m := meta{ID: session.User.ID, Name: session.User.Name, Session: session.TokenHash[:]}
	o := SocketOptions()
	o.WriteTimeout = s.o.WriteTimeout
	defer s.upgrading()()
	socket, err := s.o.Keeper.Accept(w, r, o, m.encode())
	if err != nil {
		s.o.Log.Debug("not upgraded", "err", err)
		return
	}
	c := newConn(s, socket, session)
	c.ours.Store(true)
	late, ok := s.add(c)
	if !ok {
		socket.CloseNow() // the drain began a moment ago: to the client a lost connection
		return
	}
	go c.serve() // remove, at its end, counts it out of s.serving
	if late {    // it came over an old HTTP connection, and moves on at once
		s.aside(func() { c.goodbye(wire.WhyDeploy, comeBack(wire.WhyDeploy, 0)) })
	}
}

// upgrading makes Drain wait for a connection that is HTTP's no more and not a
// WebSocket of ours yet, until it is told that this is over.
func (s *Server) upgrading() (over func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.upgrades++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.upgrades--
	}
}
