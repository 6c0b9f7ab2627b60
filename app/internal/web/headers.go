package web

import (
	"net"
	"net/http"
	"regexp"
)

// plainHost is a Host that may stand in a header of ours. RFC 3986 allows more,
// such as ';', which would end a directive.
var plainHost = regexp.MustCompile(`^[A-Za-z0-9._:\[\]-]+$`)

// secure sets the headers that every answer has.
func (s *Server) secure(h http.Header, r *http.Request) {
	h.Set("Content-Security-Policy", policy(r.Host))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	if s.isTLS(r) {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// policy is the page's Content-Security-Policy. 'self' does not cover a
// WebSocket in every browser, so the host is named.
func policy(host string) string {
	sockets := ""
	if plainHost.MatchString(host) {
		sockets = " ws://" + host + " wss://" + host
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
		"manifest-src 'self'; connect-src 'self'" + sockets + "; base-uri 'none'; form-action 'self'; " +
		"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
}

// isTLS reports whether the client's request came over TLS: to us, or to a
// proxy that we trust to say so.
func (s *Server) isTLS(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" && s.isTrusted(r.RemoteAddr)
}

// isTrusted reports whether the peer is a proxy of ours. The peer of a Unix
// socket has no address: who may connect there says the file's mode.
func (s *Server) isTrusted(remote string) bool {
	if _, _, err := net.SplitHostPort(remote); err != nil {
		return true
	}
	return s.trusts(peerOf(remote))
}

// scheme is how the client asked.
func (s *Server) scheme(r *http.Request) string {
	if s.isTLS(r) {
		return "https"
	}
	return "http"
}
