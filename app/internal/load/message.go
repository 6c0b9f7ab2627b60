package load

import (
	"bytes"
	"fmt"
	"strconv"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// message is what a chatter says: who says it (the number of the client), the
// how many-th it is of that author in that room, and when it was due, in
// microseconds since the run began.
type message struct {
	author int
	number int64
	due    int64
}

// text is how a message is posted. The tag tells runs apart.
func (m message) text(tag string) string {
	return fmt.Sprintf("load %s %d %d %d", tag, m.author, m.number, m.due)
}

// nonce is the same however often a message is sent.
func (m message) nonce(tag string) string {
	return fmt.Sprintf("%s.%d.%d", tag, m.author, m.number)
}

// parseMessage reads a text; false when it is not of this run.
func parseMessage(text []byte, tag string) (m message, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte("load "))
	if !ok || len(rest) <= len(tag) || string(rest[:len(tag)]) != tag {
		return m, false
	}
	rest = rest[len(tag):]
	var author int64
	for _, field := range []*int64{&author, &m.number, &m.due} {
		if len(rest) == 0 || rest[0] != ' ' {
			return m, false
		}
		if *field, rest, ok = digits(rest[1:]); !ok {
			return m, false
		}
	}
	m.author = int(author)
	return m, len(rest) == 0
}

// digits reads a number without a sign.
func digits(b []byte) (n int64, rest []byte, ok bool) {
	i := 0
	for i < len(b) && i < 18 && '0' <= b[i] && b[i] <= '9' {
		n = 10*n + int64(b[i]-'0')
		i++
	}
	return n, b[i:], i > 0
}

// event is what matters of an ev line. The slices alias the line.
type event struct {
	room []byte
	seq  int64
	text []byte
}

// scanEvent reads an ev line in the form that encoding/json gives it, at a
// tenth of the cost of reading JSON. False means that the line is something
// else, or has another form.
func scanEvent(line []byte) (e event, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"t":"ev","room":"`))
	if !ok || bytes.IndexByte(rest, '\\') >= 0 {
		return e, false
	}
	i := bytes.IndexByte(rest, '"')
	if i < 0 {
		return e, false
	}
	e.room = rest[:i]
	if rest, ok = bytes.CutPrefix(rest[i:], []byte(`","seq":`)); !ok {
		return e, false
	}
	if e.seq, rest, ok = digits(rest); !ok || !bytes.HasPrefix(rest, []byte(`,"ts":`)) {
		return e, false
	}
	// No string holds a quote, so this is the key and not a part of a text.
	const key = `,"text":"`
	if i = bytes.LastIndex(rest, []byte(key)); i < 0 {
		return e, false
	}
	e.text, ok = bytes.CutSuffix(rest[i+len(key):], []byte(`"}`))
	return e, ok && bytes.IndexByte(e.text, '"') < 0
}

// kindOf returns the kind of a line, "" if it has none.
func kindOf(line []byte) wire.Kind {
	rest, ok := bytes.CutPrefix(line, []byte(`{"t":"`))
	if !ok {
		return ""
	}
	i := bytes.IndexByte(rest, '"')
	if i < 0 {
		return ""
	}
	return wire.Kind(rest[:i])
}

// roomName names the i-th room of a run.
func roomName(tag string, i int) string { return "load-" + tag + "-" + strconv.Itoa(i) }
