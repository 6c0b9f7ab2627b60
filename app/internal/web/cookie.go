package web

import (
	"net/http"

	"github.com/simpletalk/simpletalk/app/internal/auth"
)

// Names of the session cookie. The prefix makes browsers refuse one that was
// not set by this host over TLS (RFC 6265bis section 4.1.3); they refuse it on
// plain HTTP altogether.
const (
	cookiePlain = "simpletalk"
	cookieTLS   = "__Host-simpletalk"
)

func (s *Server) cookieName(r *http.Request) string {
	if s.isTLS(r) {
		return cookieTLS
	}
	return cookiePlain
}

// token returns the session token of a request, "" without one.
func (s *Server) token(r *http.Request) string {
	c, err := r.Cookie(s.cookieName(r))
	if err != nil {
		return ""
	}
	return c.Value
}

// setToken gives the client its token, or takes it away when it is "".
func (s *Server) setToken(w http.ResponseWriter, r *http.Request, token string) {
	age := int(auth.Lifetime.Seconds())
	if token == "" {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name:     s.cookieName(r),
		Value:    token,
		Path:     "/",
		MaxAge:   age,
		Secure:   s.isTLS(r),
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	})
}
