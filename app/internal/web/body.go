package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"
)

// maxBody is the size of the largest request body, in bytes.
const maxBody = 4 << 10

// readBody reads a JSON object into v, strictly: a field it does not know, or
// anything behind the object, is a mistake that the client should hear of. Its
// errors are *[apiError].
func readBody(w http.ResponseWriter, r *http.Request, v any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return &apiError{kind: kindContentType, msg: "the body must be JSON, with Content-Type: application/json"}
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &apiError{kind: kindTooLarge, msg: fmt.Sprintf("the body may have %d bytes at most", maxBody)}
	case err != nil:
		return &apiError{kind: kindBadBody, msg: "the body ended too early, or came too slowly"}
	case !utf8.Valid(b):
		return &apiError{kind: kindBadBody, msg: "the body must be valid UTF-8"}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return bodyError(err)
	}
	if _, err := d.Token(); err != io.EOF {
		return &apiError{kind: kindBadBody, msg: "the body must be one JSON object and nothing behind it"}
	}
	return nil
}

func bodyError(err error) error {
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &typ) && typ.Field != "":
		return &apiError{kind: kindBadBody, msg: fmt.Sprintf("field %q must be a %s, not a %s", typ.Field, typ.Type, typ.Value)}
	case errors.As(err, &typ):
		return &apiError{kind: kindBadBody, msg: "the body must be one JSON object, not a " + typ.Value}
	case errors.Is(err, io.EOF):
		return &apiError{kind: kindBadBody, msg: "the body is empty, it must be one JSON object"}
	default:
		return &apiError{kind: kindBadBody, msg: "the body must be one JSON object: " + strings.TrimPrefix(err.Error(), "json: ")}
	}
}
