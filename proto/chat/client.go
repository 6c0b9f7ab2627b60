package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind names a line: its "t".
type Kind string

// Kinds that a client sends. Ping and Pong travel both ways.
const (
	KindHello Kind = "hello"
	KindJoin  Kind = "join"
	KindLeave Kind = "leave"
	KindPost  Kind = "post"
	KindGet   Kind = "get"
	KindPing  Kind = "ping"
	KindPong  Kind = "pong"

	KindEdit   Kind = "edit"
	KindDel    Kind = "del"
	KindReact  Kind = "react"
	KindRead   Kind = "read"   // travels both ways
	KindTyping Kind = "typing" // travels both ways
)

// Hello opens a conversation, and answers [Resync]: which version the client speaks, which epoch of
// the log its cursors are of ("" leaves that unchecked) and where it stands in
// each room it has open. At are the TS of the events at the cursors, as far as
// it knows them: a log that was restored from a backup has others there.
type Hello struct {
	T     Kind             `json:"t"`
	V     int              `json:"v"`
	Epoch string           `json:"epoch,omitempty"`
	Rooms map[string]int64 `json:"rooms"`
	At    map[string]int64 `json:"at,omitempty"`
}

// Join opens one more room at a cursor (see the package invariant 2).
type Join struct {
	T    Kind   `json:"t"`
	Room string `json:"room"`
	Seq  int64  `json:"seq"`
}

// Leave closes a room: no more events of it, and its members see the user go.
type Leave struct {
	T    Kind   `json:"t"`
	Room string `json:"room"`
}

// Post says something. The nonce makes repeating it harmless for ever.
type Post struct {
	T     Kind   `json:"t"`
	Room  string `json:"room"`
	Nonce string `json:"nonce"`
	Text  string `json:"text"`
}

// Get asks for history: the Limit posts before, after or around a seq, exactly
// one of which is given. Around has the post at that seq in it, if there is one.
// Limit 0 means [PageSize].
type Get struct {
	T      Kind   `json:"t"`
	Room   string `json:"room"`
	Before *int64 `json:"before,omitempty"`
	After  *int64 `json:"after,omitempty"`
	Around *int64 `json:"around,omitempty"`
	Limit  int    `json:"limit,omitempty"`
}

// Ping asks the peer for a [Pong]; either side may send it.
type Ping struct {
	T Kind `json:"t"`
}

// Pong answers a [Ping].
type Pong struct {
	T Kind `json:"t"`
}

// Code says what was wrong with a line, for a program to branch on.
type Code string

// Codes of nak and err lines.
const (
	CodeBadJSON     Code = "bad_json"     // not one JSON object
	CodeUnknown     Code = "unknown_kind" // a kind this build does not know
	CodeBadField    Code = "bad_field"    // a field that is missing or out of its range
	CodeNotJoined   Code = "not_joined"   // a room this connection has not opened
	CodeTooMany     Code = "too_many"     // more rooms than MaxRooms
	CodeOrder       Code = "order"        // a hello that nobody asked for, or something before hello
	CodeRate        Code = "rate"         // too fast: the same nonce again after retry_ms
	CodeUnavailable Code = "unavailable"  // the store cannot answer now: the same nonce again after retry_ms
	CodeStorageFull Code = "storage_full" // the disk is full: the same nonce again after retry_ms
	CodeForbidden   Code = "forbidden"    // somebody else's post
	CodeGone        Code = "gone"         // a post that is deleted, or that there never was
	CodeTooLong     Code = "too_long"     // a text of more than MaxText
)

// Error is a line that cannot be accepted. Its text says what is wrong and
// what would be right, and is safe to show to the client.
type Error struct {
	Code Code
	Msg  string
}

func (e *Error) Error() string { return e.Msg }

func badField(format string, args ...any) error {
	return &Error{Code: CodeBadField, Msg: fmt.Sprintf(format, args...)}
}

// ParseClient reads one line from a client into *Hello, *Join, *Leave, *Post,
// *Edit, *Del, *React, *Read, *Typing, *Get, *Ping or *Pong, validated. Its
// errors are *[Error]. On a bad [Request] it returns that beside the error as
// far as it was understood, so that the answer can carry its nonce; other
// messages come back nil.
func ParseClient(line []byte) (any, error) {
	if !utf8.Valid(line) {
		return nil, &Error{CodeBadJSON, "a line must be valid UTF-8"}
	}
	var head struct {
		T Kind `json:"t"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return nil, badJSON(err)
	}
	if head.T == "" {
		return nil, &Error{CodeBadField, `a line needs "t", the name of its kind`}
	}
	read, known := clientKinds[head.T]
	if !known {
		return nil, &Error{CodeUnknown, fmt.Sprintf("unknown kind %.40q", string(head.T))}
	}
	return read(line)
}

// clientKinds read a line of each kind that a client may send.
var clientKinds = map[Kind]func(line []byte) (any, error){
	KindHello:  func(line []byte) (any, error) { return parse(line, (*Hello).validate) },
	KindJoin:   func(line []byte) (any, error) { return parse(line, (*Join).validate) },
	KindLeave:  func(line []byte) (any, error) { return parse(line, (*Leave).validate) },
	KindGet:    func(line []byte) (any, error) { return parse(line, (*Get).validate) },
	KindRead:   func(line []byte) (any, error) { return parse(line, (*Read).validate) },
	KindTyping: func(line []byte) (any, error) { return parse(line, (*Typing).validate) },
	KindPost:   func(line []byte) (any, error) { return parseRequest(line, (*Post).validate) },
	KindEdit:   func(line []byte) (any, error) { return parseRequest(line, (*Edit).validate) },
	KindDel:    func(line []byte) (any, error) { return parseRequest(line, (*Del).validate) },
	KindReact:  func(line []byte) (any, error) { return parseRequest(line, (*React).validate) },
	KindPing:   func([]byte) (any, error) { return &Ping{T: KindPing}, nil },
	KindPong:   func([]byte) (any, error) { return &Pong{T: KindPong}, nil },
}

func parse[M any](line []byte, validate func(*M) error) (any, error) {
	m := new(M)
	if err := json.Unmarshal(line, m); err != nil {
		return nil, badJSON(err)
	}
	if err := validate(m); err != nil {
		return nil, err
	}
	return m, nil
}

// parseRequest is parse for what is answered by its nonce.
func parseRequest[M any](line []byte, validate func(*M) error) (any, error) {
	m := new(M)
	if err := json.Unmarshal(line, m); err != nil {
		return nil, badJSON(err)
	}
	return m, validate(m)
}

func badJSON(err error) error {
	var typ *json.UnmarshalTypeError
	if errors.As(err, &typ) {
		return badField("field %q must be a %s, not a %s", typ.Field, typ.Type, typ.Value)
	}
	return &Error{CodeBadJSON, "a line must be one JSON object: " + strings.TrimPrefix(err.Error(), "json: ")}
}

func (h *Hello) validate() error {
	if len(h.Rooms) > MaxRooms {
		return &Error{CodeTooMany, fmt.Sprintf("hello names %d rooms, at most %d can be open", len(h.Rooms), MaxRooms)}
	}
	if len(h.At) > MaxRooms {
		return &Error{CodeTooMany, fmt.Sprintf("hello has the times of %d rooms, at most %d can be open", len(h.At), MaxRooms)}
	}
	for room, seq := range h.Rooms {
		if err := validCursor(room, seq); err != nil {
			return err
		}
	}
	return nil
}

func (j *Join) validate() error { return validCursor(j.Room, j.Seq) }

func (l *Leave) validate() error { return ValidRoom(l.Room) }

func (p *Post) validate() error {
	if err := validRequest(p); err != nil {
		return err
	}
	return ValidText(p.Text)
}

func (g *Get) validate() error {
	if err := ValidRoom(g.Room); err != nil {
		return err
	}
	given := 0
	for _, seq := range []*int64{g.Before, g.After, g.Around} {
		if seq != nil {
			given++
		}
	}
	if given != 1 {
		return badField(`get needs one of "before", "after" and "around"`)
	}
	if g.Limit < 0 || g.Limit > MaxPage {
		return badField("limit %d is out of range, it must be 1 to %d", g.Limit, MaxPage)
	}
	return nil
}

func validCursor(room string, seq int64) error {
	if err := ValidRoom(room); err != nil {
		return err
	}
	if seq < -1 {
		return badField("seq %d of room %q is out of range, it must be -1 or more", seq, room)
	}
	return nil
}

// ValidRoom says whether s can name a room: 1 to [MaxRoomName] of a–z, 0–9,
// '-' and '_', starting with a letter or digit. Such a name is the same in a
// URL, a file and a log.
func ValidRoom(s string) error {
	if s == "" || len(s) > MaxRoomName {
		return badField("a room name has 1 to %d characters, %.50q has %d", MaxRoomName, s, len(s))
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case (c == '-' || c == '_') && i > 0:
		default:
			return badField("room name %q may hold only a-z, 0-9, '-' and '_', starting with a letter or digit", s)
		}
	}
	return nil
}

// ValidNonce says whether s can be a nonce: [MinNonce] to [MaxNonce] printable
// ASCII characters without space, quote or backslash.
func ValidNonce(s string) error {
	if len(s) < MinNonce || len(s) > MaxNonce {
		return badField("a nonce has %d to %d characters, not %d", MinNonce, MaxNonce, len(s))
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return badField("nonce %q may hold only printable ASCII without space, quote and backslash", s)
		}
	}
	return nil
}

// ValidText says whether s can be posted: not blank, at most [MaxText] code
// points, valid UTF-8, no control characters but newline and tab, no
// bidirectional overrides.
func ValidText(s string) error {
	if !utf8.ValidString(s) {
		return badField("text must be valid UTF-8")
	}
	if n := utf8.RuneCountInString(s); n > MaxText {
		return &Error{CodeTooLong, fmt.Sprintf("text has %d characters, at most %d are allowed", n, MaxText)}
	}
	if strings.TrimSpace(s) == "" {
		return badField("text must not be blank")
	}
	for _, r := range s {
		if r == '\n' || r == '\t' {
			continue
		}
		if unicode.IsControl(r) || isBidiControl(r) {
			return badField("text must not hold the control character %U", r)
		}
	}
	return nil
}

// ValidName says whether s can be a display name: 1 to [MaxNameCode] code points,
// no control, bidirectional, format or line-breaking characters, no space at
// either end and no two in a row.
func ValidName(s string) error {
	if !utf8.ValidString(s) {
		return badField("a name must be valid UTF-8")
	}
	if n := utf8.RuneCountInString(s); n == 0 || n > MaxNameCode {
		return badField("a name has 1 to %d characters, not %d", MaxName, n) // a server counts those people see
	}
	if strings.TrimSpace(s) != s || strings.Contains(s, "  ") {
		return badField("a name must not begin or end with a space or hold two in a row")
	}
	for _, r := range s {
		if !unicode.IsGraphic(r) || isBidiControl(r) || (unicode.IsSpace(r) && r != ' ') {
			return badField("a name must not hold the character %U", r)
		}
	}
	return nil
}

// isBidiControl reports the explicit directional formatting characters of
// Unicode Standard Annex #9, table 4: they can make a text read as another.
func isBidiControl(r rune) bool {
	return r == '\u061c' || r == '\u200e' || r == '\u200f' ||
		'\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

// Lines splits a frame into its lines, without empty ones. The slices alias
// frame.
func Lines(frame []byte) [][]byte {
	lines := bytes.Split(frame, []byte{'\n'})
	kept := lines[:0]
	for _, l := range lines {
		if l = bytes.TrimSpace(l); len(l) > 0 {
			kept = append(kept, l)
		}
	}
	return kept
}
