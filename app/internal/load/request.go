package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// Limits of one request.
const (
	answerLimit = 10 * time.Second
	maxAnswer   = 8 << 20 // a page of the longest posts
)

// request is one HTTP request, written out by us so that nobody repeats it.
type request struct {
	method string
	path   string
	header http.Header // beside Host
	body   string      // JSON; "" for none
}

// answer is what came back, whole.
type answer struct {
	status int
	header http.Header
	body   []byte
	last   bool // the connection takes no further request
}

// errUnanswered: the connection ended before the first byte of an answer.
var errUnanswered = errors.New("cut before the answer")

// wireConn is a connection with what was read of it and not yet used.
type wireConn struct {
	net.Conn
	in *bufio.Reader
}

func newWireConn(c net.Conn) *wireConn { return &wireConn{c, bufio.NewReaderSize(c, 2<<10)} }

// connect is dial for HTTP. A connection that was accepted and reset at once
// is one that was cut.
func (t *target) connect(ctx context.Context, source int) (*wireConn, error) {
	c, err := t.dial(ctx, source)
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: %w", errUnanswered, err)
	}
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return newWireConn(c), nil
}

// head writes the request line, the header and the body.
func (t *target) head(r request) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: simpletalk-load\r\n", r.method, r.path, t.host)
	r.header.Write(&b) // to a buffer: it cannot fail
	if r.body != "" {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(r.body))
	}
	b.WriteString("\r\n")
	b.WriteString(r.body)
	return b.Bytes()
}

// send sends a request and returns the answer, of which the body is not read
// yet. The connection's deadline is set.
func (t *target) send(c *wireConn, r request) (*http.Response, error) {
	c.SetDeadline(time.Now().Add(answerLimit))
	if _, err := c.Write(t.head(r)); err != nil {
		return nil, unanswered(err)
	}
	if _, err := c.in.Peek(1); err != nil {
		return nil, unanswered(err)
	}
	resp, err := http.ReadResponse(c.in, &http.Request{Method: r.method})
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return resp, nil
}

// unanswered tells a cut from a server that does not answer in time.
func unanswered(err error) error {
	if isTimeout(err) {
		return fmt.Errorf("no answer: %w", err)
	}
	return fmt.Errorf("%w: %w", errUnanswered, err)
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// do is send to the last byte of the answer.
func (t *target) do(c *wireConn, r request) (answer, error) {
	resp, err := t.send(c, r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{}, fmt.Errorf("read answer: %w", err)
	}
	return answer{resp.StatusCode, resp.Header, body, resp.Close}, nil
}

// once is do over a connection of its own.
func (t *target) once(ctx context.Context, source int, r request) (answer, error) {
	c, err := t.connect(ctx, source)
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if r.header == nil {
		r.header = http.Header{}
	}
	r.header.Set("Connection", "close")
	return t.do(c, r)
}

// refusal is an answer that is not what was asked for.
type refusal struct {
	status int
	body   string
}

func (e *refusal) Error() string {
	if e.body == "" || e.body[0] == '<' { // a proxy's page says no more than its status
		return fmt.Sprintf("answered %d", e.status)
	}
	return fmt.Sprintf("answered %d: %.120s", e.status, strings.Join(strings.Fields(e.body), " "))
}

// isOK tells an answer that is not a success.
func (a answer) isOK() error {
	if a.status/100 == 2 {
		return nil
	}
	return &refusal{a.status, string(a.body)}
}

// signIn gets a session for a name and returns its cookie. The cookie of an
// older session, "" for none, makes it the same user.
func (t *target) signIn(name, old string) request {
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		panic("load: a name that cannot be encoded: " + err.Error()) // it is a string
	}
	r := request{method: "POST", path: "/api/session", header: http.Header{"Origin": {t.origin}}, body: string(body)}
	if old != "" {
		r.header.Set("Cookie", old)
	}
	return r
}

// cookieOf returns the session cookie of an answer.
func cookieOf(a answer) (string, error) {
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Value != "" {
			return c.Name + "=" + c.Value, nil
		}
	}
	return "", errors.New("the answer sets no cookie")
}
