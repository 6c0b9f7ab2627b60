package web

import (
	"net/http"

	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
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
	socket, err := ws.Accept(w, r, ws.Options{ReadLimit: wire.MaxFrame, WriteTimeout: s.o.WriteTimeout})
	if err != nil {
		s.o.Log.Debug("not upgraded", "err", err)
		return
	}
	c := newConn(s, socket, session)
	if !s.add(c) {
		socket.CloseNow() // the drain began a moment ago: to the client a lost connection
		return
	}
	go c.serve() // remove, at its end, counts it out of s.serving
}
