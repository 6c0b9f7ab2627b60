package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

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
	kindNameKept     kind = "name_kept"
	kindPassword     kind = "wrong_password"
	kindKeptAlready  kind = "kept_already"
	kindSignupClosed kind = "signup_closed"
	kindSignupCode   kind = "wrong_code"
	kindBanned       kind = "banned"
	kindRate         kind = "rate"
	kindBusy         kind = "busy"
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
	kindNameKept:     http.StatusConflict,
	kindPassword:     http.StatusForbidden,
	kindKeptAlready:  http.StatusConflict,
	kindSignupClosed: http.StatusForbidden,
	kindSignupCode:   http.StatusForbidden,
	kindBanned:       http.StatusForbidden,
	kindRate:         http.StatusTooManyRequests,
	kindBusy:         http.StatusServiceUnavailable,
}

// retryAfter is the Retry-After of a 503, in seconds.
const retryAfter = "2"

// apiError is an error that the client may see.
type apiError struct {
	kind kind
	msg  string
	wait time.Duration // until it may be tried again; 0: not said
}

func (e *apiError) Error() string { return e.msg }

// accountErrors are those of package auth whose text is for the client.
var accountErrors = []struct {
	err  error
	kind kind
}{
	{auth.ErrNoSession, kindNoSession},
	{auth.ErrBanned, kindBanned},
	{auth.ErrBusy, kindBusy},
	{auth.ErrPassword, kindPassword},
	{auth.ErrKeptAlready, kindKeptAlready},
	{auth.ErrSignupClosed, kindSignupClosed},
	{auth.ErrSignupCode, kindSignupCode},
}

// accountError returns what a client may see of an error of package auth, nil if
// it is none.
func accountError(err error) *apiError {
	for _, e := range accountErrors {
		if errors.Is(err, e.err) {
			return &apiError{kind: e.kind, msg: e.err.Error()}
		}
	}
	if errors.Is(err, auth.ErrNameTaken) {
		return &apiError{kind: kindNameTaken, msg: "somebody else is here under this name: pick another"}
	}
	if errors.Is(err, chat.ErrNameKept) {
		return &apiError{kind: kindNameKept, msg: "somebody keeps this name: sign in with its password, or pick another"}
	}
	return nil
}

// toAPI makes of any error one that the client may see.
func toAPI(err error) *apiError {
	var api *apiError
	var field *wire.Error
	switch {
	case errors.As(err, &api):
		return api
	case accountError(err) != nil:
		return accountError(err)
	case errors.As(err, &field):
		return &apiError{kind: kindBadField, msg: field.Msg}
	case errors.Is(err, chat.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &apiError{kind: kindUnavailable, msg: "the store cannot answer now, try again in a moment"}
	case errors.Is(err, chat.ErrFull):
		return &apiError{kind: kindStorageFull, msg: "the server's disk is full, nothing was stored; its operator has to make room"}
	case errors.Is(err, chat.ErrCorrupt):
		return &apiError{kind: kindStoreDamaged, msg: "the server's database is damaged; its operator has to restore it"}
	default:
		return &apiError{kind: kindInternal, msg: "the server made a mistake; its log has the details"}
	}
}

// fail answers with an error and logs what is the operator's business.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	api := toAPI(err)
	status := statuses[api.kind]
	if status >= http.StatusInternalServerError && error(api) != err {
		s.o.Log.Error("request not served", "method", r.Method, "route", r.Pattern, "err", err)
	}
	switch {
	case api.wait > 0:
		w.Header().Set("Retry-After", strconv.FormatInt(int64((api.wait+time.Second-1)/time.Second), 10))
	case status == http.StatusServiceUnavailable:
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
