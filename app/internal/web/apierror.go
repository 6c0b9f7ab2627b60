package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// kind names what was wrong with a request; it is the error's code.
type kind string

const (
	kindBadBody      kind = "bad_body"
	kindBadField     kind = "bad_field"
	kindNoSession    kind = "no_session"
	kindOrigin       kind = "origin"
	kindNotFound     kind = "not_found"
	kindMethod       kind = "method"
	kindNameTaken    kind = "name_taken"
	kindTooLarge     kind = "too_large"
	kindContentType  kind = "content_type"
	kindUpgrade      kind = "upgrade"
	kindDraining     kind = "draining"
	kindFull         kind = "too_many_connections"
	kindUnavailable  kind = "unavailable"
	kindStorageFull  kind = "storage_full"
	kindStoreDamaged kind = "store_damaged"
	kindInternal     kind = "internal"
)

// statuses says how each kind is told by HTTP.
var statuses = map[kind]int{
	kindBadBody:      http.StatusBadRequest,
	kindBadField:     http.StatusBadRequest,
	kindNoSession:    http.StatusUnauthorized,
	kindOrigin:       http.StatusForbidden,
	kindNotFound:     http.StatusNotFound,
	kindMethod:       http.StatusMethodNotAllowed,
	kindNameTaken:    http.StatusConflict,
	kindTooLarge:     http.StatusRequestEntityTooLarge,
	kindContentType:  http.StatusUnsupportedMediaType,
	kindUpgrade:      http.StatusUpgradeRequired,
	kindDraining:     http.StatusServiceUnavailable,
	kindFull:         http.StatusServiceUnavailable,
	kindUnavailable:  http.StatusServiceUnavailable,
	kindStorageFull:  http.StatusInsufficientStorage,
	kindStoreDamaged: http.StatusInternalServerError,
	kindInternal:     http.StatusInternalServerError,
}

// retryAfter is the Retry-After of a 503, in seconds.
const retryAfter = "2"

// apiError is an error that the client may see.
type apiError struct {
	kind kind
	msg  string
}

func (e *apiError) Error() string { return e.msg }

// toAPI makes of any error one that the client may see.
func toAPI(err error) *apiError {
	var api *apiError
	var field *wire.Error
	switch {
	case errors.As(err, &api):
		return api
	case errors.As(err, &field):
		return &apiError{kindBadField, field.Msg}
	case errors.Is(err, auth.ErrNoSession):
		return &apiError{kindNoSession, auth.ErrNoSession.Error()}
	case errors.Is(err, auth.ErrNameTaken):
		return &apiError{kindNameTaken, err.Error()}
	case errors.Is(err, chat.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &apiError{kindUnavailable, "the store cannot answer now, try again in a moment"}
	case errors.Is(err, chat.ErrFull):
		return &apiError{kindStorageFull, "the server's disk is full, nothing was stored; its operator has to make room"}
	case errors.Is(err, chat.ErrCorrupt):
		return &apiError{kindStoreDamaged, "the server's database is damaged; its operator has to restore it"}
	default:
		return &apiError{kindInternal, "the server made a mistake; its log has the details"}
	}
}

// fail answers with an error and logs what is the operator's business.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	api := toAPI(err)
	status := statuses[api.kind]
	if status >= http.StatusInternalServerError && error(api) != err {
		s.o.Log.Error("request not served", "method", r.Method, "route", r.Pattern, "err", err)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	type body struct {
		Code kind   `json:"code"`
		Msg  string `json:"msg"`
	}
	writeJSON(w, status, map[string]body{"error": {api.kind, api.msg}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("web: an answer that cannot be encoded: " + err.Error()) // only strings and numbers
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}
