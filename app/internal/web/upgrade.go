package web

import (
	"net/http"

	"github.com/simpletalk/simpletalk/app/internal/auth"
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
	checks, from := s.checks.Load(), s.client(r)
	err := tooFast(s.o.Limits.addressUpgrades.take(from.String()))
	var id auth.Identity
	if err == nil {
		id, err = s.o.Auth.Who(r.Context(), token)
	}
	if err == nil {
		err = s.reserve(from)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	session := id.Session
	m := meta{ID: session.User.ID, Name: session.User.Name, Session: session.TokenHash[:], Client: from.String(), Admin: id.Admin}
	o := SocketOptions()
	o.WriteTimeout = s.o.WriteTimeout
	defer s.upgrading()()
	socket, err := s.o.Keeper.Accept(w, r, o, m.encode())
	if err != nil {
		s.unreserve(from)
		s.o.Log.Debug("not upgraded", "err", err)
		return
	}
	c := newConn(s, socket, session)
	c.client, c.admin = from, id.Admin
	c.ours.Store(true)
	late, ok := s.add(c)
	if !ok {
		s.unreserve(from)
		socket.CloseNow() // the drain began a moment ago: to the client a lost connection
		return
	}
	go c.serve()                   // remove, at its end, counts it out of s.serving
	if s.checks.Load() != checks { // its session may have ended before it could be found here
		s.aside(func() { s.checkSoon(c) })
	}
	if late { // it came over an old HTTP connection, and moves on at once
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
