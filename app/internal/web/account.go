package web

import (
	"errors"
	"net/http"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// accountRoutes are those beside /api/session.
func (s *Server) accountRoutes(api *http.ServeMux) {
	api.HandleFunc("GET /api/site", s.getSite)
	api.HandleFunc("/api/site", s.badMethod("GET"))
	api.HandleFunc("GET /api/sessions", s.getSessions)
	api.HandleFunc("DELETE /api/sessions", s.deleteSessions)
	api.HandleFunc("/api/sessions", s.badMethod("GET, DELETE"))
	api.HandleFunc("DELETE /api/sessions/{id}", s.deleteOneSession)
	api.HandleFunc("/api/sessions/{id}", s.badMethod("DELETE"))
	api.HandleFunc("POST /api/account", s.postAccount)
	api.HandleFunc("DELETE /api/account", s.deleteAccount)
	api.HandleFunc("/api/account", s.badMethod("POST, DELETE"))
	api.HandleFunc("PUT /api/account/password", s.putPassword)
	api.HandleFunc("/api/account/password", s.badMethod("PUT"))
}

// getSite tells what a page has to know before anybody has signed in.
func (s *Server) getSite(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"signup": string(s.o.Auth.Signup())})
}

// postAccount keeps a guest's name.
func (s *Server) postAccount(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Password string `json:"password"`
		Code     string `json:"code"`
	}
	err := s.readPaid(w, r, &body)
	if err == nil && s.o.Auth.Signup() == auth.SignupCode {
		err = tooFast(s.o.Limits.tryCode())
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	token, id, err := s.o.Auth.Keep(r.Context(), s.visit(r), body.Password, body.Code)
	s.answerSession(w, r, token, id, err)
}

// readPaid reads the body of a request that costs a password's hash, once the
// client's address has paid for it.
func (s *Server) readPaid(w http.ResponseWriter, r *http.Request, body any) error {
	if err := tooFast(s.o.Limits.addressSignIns.take(s.client(r).String())); err != nil {
		return err
	}
	return readBody(w, r, body)
}

// putPassword changes the password.
func (s *Server) putPassword(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Old string `json:"old"`
		New string `json:"new"`
	}
	err := s.readPaid(w, r, &body)
	if err == nil {
		err = s.tryOwn(r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	token, id, err := s.o.Auth.ChangePassword(r.Context(), s.visit(r), body.Old, body.New)
	s.answerSession(w, r, token, id, err)
}

// tryOwn takes what it costs to try the password of one's own name.
func (s *Server) tryOwn(r *http.Request) error {
	id, err := s.o.Auth.Who(r.Context(), s.token(r))
	if err != nil {
		return err
	}
	return tooFast(s.o.Limits.try(id.Session.User.Name, s.client(r)))
}

// deleteAccount ends a user.
func (s *Server) deleteAccount(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Password string `json:"password"`
	}
	err := s.readPaid(w, r, &body)
	if err == nil {
		err = s.tryOwn(r)
	}
	if err == nil {
		err = s.o.Auth.Delete(r.Context(), s.token(r), body.Password)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.setToken(w, r, "")
	s.done(w)
}

// notFound says in a client's words what a store did not find.
func notFound(err error, msg string) error {
	if errors.Is(err, chat.ErrNotFound) {
		return &apiError{kind: kindNotFound, msg: msg}
	}
	return err
}
