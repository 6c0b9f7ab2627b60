package web

import (
	"net/http"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// postSession signs a guest in, or gives one another name.
func (s *Server) postSession(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name string `json:"name"`
	}
	if err := readBody(w, r, &body); err != nil {
		s.fail(w, r, err)
		return
	}
	old := s.token(r)
	token, session, err := s.o.Auth.SignIn(r.Context(), old, body.Name)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.setToken(w, r, token)
	s.closeSession(old, wire.CloseGoingAway, "the session was renewed")
	s.writeUser(w, session.User)
}

// getSession tells the client who it is.
func (s *Server) getSession(w http.ResponseWriter, r *http.Request) {
	session, err := s.o.Auth.Session(r.Context(), s.token(r))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.writeUser(w, session.User)
}

// deleteSession signs out.
func (s *Server) deleteSession(w http.ResponseWriter, r *http.Request) {
	token := s.token(r)
	if err := s.o.Auth.SignOut(r.Context(), token); err != nil {
		s.fail(w, r, err)
		return
	}
	s.setToken(w, r, "")
	s.closeSession(token, wire.CloseNoSession, "signed out")
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) writeUser(w http.ResponseWriter, u chat.User) {
	writeJSON(w, http.StatusOK, map[string]wire.User{"user": u.Wire()})
}

// closeSession ends the connections of a session that has ended.
func (s *Server) closeSession(token string, code int, reason string) {
	if token == "" {
		return
	}
	hash := auth.Hash(token)
	for _, c := range s.snapshot(nil) {
		if c.session == hash {
			s.aside(func() { c.ws.Close(code, reason) })
		}
	}
}
