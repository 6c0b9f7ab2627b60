package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// origins is the allow-list of scheme://host[:port]. An empty one allows the
// request's own.
type origins map[string]struct{}

func parseOrigins(list []string) (origins, error) {
	all := origins{}
	for _, s := range list {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || s != u.Scheme+"://"+u.Host {
			return nil, fmt.Errorf("origin %q: must be http://HOST[:PORT] or https://HOST[:PORT], without a path", s)
		}
		all[strings.ToLower(s)] = struct{}{}
	}
	return all, nil
}

// checkOrigin keeps pages of other sites from talking in the name of our
// users: a browser sends their cookie along with anybody's WebSocket, and
// always says whose page it is.
func (s *Server) checkOrigin(r *http.Request) error {
	origin := strings.ToLower(r.Header.Get("Origin"))
	if origin == "" {
		return &apiError{kind: kindOrigin, msg: "a WebSocket with a cookie needs an Origin"}
	}
	if len(s.origins) == 0 {
		if origin == s.scheme(r)+"://"+strings.ToLower(r.Host) {
			return nil
		}
	} else if _, ok := s.origins[origin]; ok {
		return nil
	}
	return &apiError{kind: kindOrigin, msg: fmt.Sprintf("origin %.100q may not connect here", origin)}
}

// ValidOrigins says whether a list can be [Options].Origins.
func ValidOrigins(list []string) error {
	_, err := parseOrigins(list)
	return err
}
