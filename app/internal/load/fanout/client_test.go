package fanout

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A message says when it was sent: a mark, and the nanoseconds of the run.
const (
	mark   = "@@"
	digits = 16
)

// slowest is how many milliseconds a client tells apart; what takes longer is as
// bad as what never comes.
const slowest = 255

// dialect is how a server is spoken to.
type dialect struct {
	enter func(b *testing.B, addr, name string) string // returns a cookie
	hello func(room string) []string
	post  func(room, nonce, text string) string
}

// client is one WebSocket that counts the messages it gets. It knows no more of
// the protocol than it needs, so that the server has what there is of the
// machine.
type client struct {
	conn net.Conn
	room string
	run  *run

	got   [slowest + 1]atomic.Int64 // messages by the milliseconds they took
	carry []byte                    // the beginning of a mark
}

// run is what all clients share.
type run struct {
	begun time.Time
	since atomic.Int64 // messages that were sent before do not count
}

func (r *run) now() int64 { return int64(time.Since(r.begun)) }

// connect opens a WebSocket and has it say hello.
func (r *run) connect(b *testing.B, addr, name, room string, d dialect) *client {
	b.Helper()
	cookie := d.enter(b, addr, name)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nCookie: %s\r\nConnection: Upgrade\r\n"+
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", addr, addr, cookie)
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		b.Fatalf("handshake: %v %v", resp, err)
	}
	c := &client{conn: conn, room: room, run: r}
	for _, line := range d.hello(room) {
		c.say(line)
	}
	return c
}

// say sends a text frame, masked with zeros (RFC 6455 section 5.3).
func (c *client) say(line string) error {
	frame := []byte{0x81, 0x80 | byte(len(line))}
	if len(line) > 125 {
		frame = []byte{0x81, 0x80 | 126, byte(len(line) >> 8), byte(len(line))}
	}
	_, err := c.conn.Write(append(append(frame, 0, 0, 0, 0), line...))
	return err
}

// listen counts until the connection ends.
func (c *client) listen() {
	buf := make([]byte, 32<<10)
	for {
		n := copy(buf, c.carry)
		m, err := c.conn.Read(buf[n:])
		if err != nil {
			return
		}
		c.carry = append(c.carry[:0], c.count(buf[:n+m])...)
	}
}

// count takes account of the messages in b, and returns what may be the
// beginning of another one.
func (c *client) count(b []byte) (rest []byte) {
	now, since := c.run.now(), c.run.since.Load()
	for {
		i := bytes.Index(b, []byte(mark))
		if i < 0 {
			return b[max(0, len(b)-len(mark)+1):]
		}
		if b = b[i:]; len(b) < len(mark)+digits {
			return b
		}
		var sent int64
		for _, d := range b[len(mark) : len(mark)+digits] {
			sent = 10*sent + int64(d-'0')
		}
		if sent >= since {
			c.got[min((now-sent)/int64(time.Millisecond), slowest)].Add(1)
		}
		b = b[len(mark)+digits:]
	}
}

// text is a message of now, about as long as people write them.
func (r *run) text() string {
	stamp := strconv.FormatInt(r.now(), 10)
	return mark + strings.Repeat("0", digits-len(stamp)) + stamp + " what people write in chats is about as long as this"
}

// ours is the chat: each client is a guest of its own.
var ours = dialect{
	enter: func(b *testing.B, addr, name string) string {
		resp, err := http.Post("http://"+addr+"/api/session", "application/json", strings.NewReader(`{"name":"`+name+`"}`))
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status)
		}
		k := resp.Cookies()[0]
		return k.Name + "=" + k.Value
	},
	hello: func(room string) []string { return []string{`{"t":"hello","v":1,"rooms":{"` + room + `":-1}}`} },
	post: func(room, nonce, text string) string {
		return `{"t":"post","room":"` + room + `","nonce":"` + nonce + `","text":"` + text + `"}`
	},
}

// theirs is the library's protocol. What a message of the chat tells is in its
// data.
var theirs = dialect{
	enter: func(*testing.B, string, string) string { return "" },
	hello: func(room string) []string {
		return []string{`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"` + room + `"}}`}
	},
	post: func(room, nonce, text string) string {
		return `{"id":3,"publish":{"channel":"` + room + `","data":{"ts":1767225601000,"user":{"id":"N77OdGpC6c-JaNZ_","name":"Person 1"},` +
			`"nonce":"` + nonce + `","text":"` + text + `"}}}`
	},
}

// listenAll has clients listen until their connections are closed.
func listenAll(b *testing.B, all []*client) {
	var listening sync.WaitGroup
	for _, c := range all {
		listening.Go(c.listen)
	}
	b.Cleanup(func() {
		for _, c := range all {
			c.conn.Close()
		}
		listening.Wait()
	})
}
