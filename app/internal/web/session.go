package web

import (
	"net/http"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// visit is what a request says of itself to package auth.
func (s *Server) visit(r *http.Request) auth.Visit {
	token := s.token(r)
	return auth.Visit{Token: token, Agent: r.UserAgent(), Renewed: func() { s.renewed(token) }}
}

// postSession signs in: a guest, under a new or another name, or whoever keeps a
// name, with its password.
func (s *Server) postSession(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Name     string  `json:"name"`
		Password *string `json:"password"`
	}
	if err := s.readPaid(w, r, &body); err != nil {
		s.fail(w, r, err)
		return
	}
	if body.Password == nil {
		token, id, err := s.o.Auth.SignIn(r.Context(), s.visit(r), body.Name)
		s.answerSession(w, r, token, id, err)
		return
	}
	if err := tooFast(s.o.Limits.try(body.Name, s.client(r))); err != nil {
		s.fail(w, r, err)
		return
	}
	token, id, err := s.o.Auth.SignInWith(r.Context(), s.visit(r), body.Name, *body.Password)
	s.answerSession(w, r, token, id, err)
}

// answerSession gives the client the token of a new session, and tells who it is
// by it.
func (s *Server) answerSession(w http.ResponseWriter, r *http.Request, token string, id auth.Identity, err error) {
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.setToken(w, r, token)
	s.lookNow()
	s.writeIdentity(w, id)
}

// renewed ends the connections of a session that another one has taken the place
// of in the same browser: its other tabs come back under that.
func (s *Server) renewed(old string) {
	if old == "" {
		return
	}
	hash := auth.Hash(old)
	for _, c := range s.snapshot(nil) {
		if c.session == hash && c.ours.Load() {
			c.endAside(ending{wire.CloseSessionGone, "the session was renewed"})
		}
	}
}

// getSession tells the client who it is.
func (s *Server) getSession(w http.ResponseWriter, r *http.Request) {
	id, err := s.o.Auth.Who(r.Context(), s.token(r))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.writeIdentity(w, id)
}

func (s *Server) writeIdentity(w http.ResponseWriter, id auth.Identity) {
	writeJSON(w, http.StatusOK, struct {
		User  string `json:"user"`
		Name  string `json:"name"`
		Guest bool   `json:"guest"`
		Admin bool   `json:"admin"`
	}{id.Session.User.ID, id.Session.User.Name, id.Guest, id.Admin})
}

// deleteSession signs out here.
func (s *Server) deleteSession(w http.ResponseWriter, r *http.Request) {
	if err := s.o.Auth.SignOut(r.Context(), s.token(r)); err != nil {
		s.fail(w, r, err)
		return
	}
	s.setToken(w, r, "")
	s.done(w)
}

// done answers what has nothing to tell, and ends the connections that it was
// about.
func (s *Server) done(w http.ResponseWriter) {
	s.lookNow()
	w.WriteHeader(http.StatusNoContent)
}

// getSessions lists where the client's user is signed in.
func (s *Server) getSessions(w http.ResponseWriter, r *http.Request) {
	all, err := s.o.Auth.Sessions(r.Context(), s.token(r))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	type session struct {
		ID      string `json:"id"`
		Created int64  `json:"created"` // Unix milliseconds
		Seen    int64  `json:"seen"`    // 0 if not known
		Agent   string `json:"agent"`
		Here    bool   `json:"here"`
	}
	list := make([]session, len(all))
	for i, one := range all {
		list[i] = session{one.ID, one.Created.UnixMilli(), chat.Millis(one.Seen), one.Agent, one.Here}
	}
	writeJSON(w, http.StatusOK, list)
}

// deleteSessions signs out everywhere else.
func (s *Server) deleteSessions(w http.ResponseWriter, r *http.Request) {
	if err := s.o.Auth.EndOthers(r.Context(), s.token(r)); err != nil {
		s.fail(w, r, err)
		return
	}
	s.done(w)
}

// deleteOneSession signs out somewhere.
func (s *Server) deleteOneSession(w http.ResponseWriter, r *http.Request) {
	if err := s.o.Auth.EndSession(r.Context(), s.token(r), r.PathValue("id")); err != nil {
		s.fail(w, r, notFound(err, "there is no such session"))
		return
	}
	s.done(w)
}
