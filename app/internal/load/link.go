package load

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

const (
	writeLimit = 10 * time.Second
	// silenceLimit is when a server that says nothing is taken for gone; a
	// healthy one pings more than twice as often.
	silenceLimit = 75 * time.Second
	// frameLines is about how much goes into one frame: half of what a server
	// takes.
	frameLines = wire.MaxFrame / 2
	halfway    = time.Millisecond // the pause inside a frame of a client that fragments
)

// link is one WebSocket of a client. All fields but conn and decoder are
// guarded by the client's mutex; decoder is used by the reader, which holds it
// too.
type link struct {
	conn    *wireConn
	client  *client
	decoder decoder

	lines   []byte // to be sent
	control []byte // frames to be sent
	phase   sending

	welcome bool
	bye     bool          // announced
	code    int           // of the server's close frame, 0 without one
	stay    time.Duration // that bye asked for

	// When, in the time of the run; 0: not.
	wrote    time.Duration // the last frames were begun
	greeted  time.Duration // hello was said, and no welcome came
	pinged   time.Duration // the oldest ping without a pong was
	resynced time.Duration // the server last asked to resync
}

// sending is what the one goroutine that sends is about.
type sending uint8

const (
	sendingNothing sending = iota
	sendingFrame           // a part of it may be under way
	sendingTorn            // it failed, and will not be tried again
)

// websocketKey is what RFC 6455 section 1.3 makes of a key.
func websocketKey(key string) string {
	h := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(h[:])
}

// upgrade opens a WebSocket from a source, as the owner of a cookie.
func (t *target) upgrade(ctx context.Context, source int, cookie string) (*wireConn, error) {
	c, err := t.connect(ctx, source)
	if err != nil {
		return nil, err
	}
	if err := t.handshake(ctx, c, cookie); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (t *target) handshake(ctx context.Context, c *wireConn, cookie string) error {
	defer context.AfterFunc(ctx, func() { c.Close() })()
	var nonce [16]byte
	rand.Read(nonce[:]) // never fails: it ends the process instead
	key := base64.StdEncoding.EncodeToString(nonce[:])
	resp, err := t.send(c, request{method: "GET", path: "/ws", header: http.Header{
		"Connection":            {"Upgrade"},
		"Upgrade":               {"websocket"},
		"Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key":     {key},
		"Origin":                {t.origin},
		"Cookie":                {cookie},
	}})
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		var body bytes.Buffer
		body.ReadFrom(http.MaxBytesReader(nil, resp.Body, 1<<10)) // the status says enough
		return &refusal{resp.StatusCode, body.String()}
	}
	if resp.Header.Get("Sec-Websocket-Accept") != websocketKey(key) {
		return errors.New("the server's handshake is not the answer to ours")
	}
	return c.SetDeadline(time.Time{})
}

// read hands over what comes until the link ends, and says why it did.
func (l *link) read(ctx context.Context) error {
	var patient time.Time
	for {
		if now := time.Now(); now.Sub(patient) > silenceLimit/8 {
			patient = now
			l.conn.SetReadDeadline(now.Add(silenceLimit))
		}
		if ctx.Err() != nil { // asked after the deadline was set, which may have undone the end's
			return ctx.Err()
		}
		if _, err := l.conn.in.Peek(1); err != nil {
			return err
		}
		b, _ := l.conn.in.Peek(l.conn.in.Buffered()) // what is there: it cannot fail
		err := l.client.take(l, b)
		l.conn.in.Discard(len(b)) // it is there
		if err != nil {
			return err
		}
		if l.client.manner == mannerSlow && !sleep(ctx, slowness) {
			return ctx.Err()
		}
	}
}

// line implements [sink].
func (l *link) line(b []byte) { l.client.line(l, b) }

// controlFrame implements [sink].
func (l *link) controlFrame(op byte, payload []byte) {
	switch op {
	case opPing:
		l.control = appendFrame(l.control, opPong, true, payload)
	case opClose:
		l.code = 1005 // RFC 6455 section 7.1.5: no code
		if len(payload) >= 2 {
			l.code = int(binary.BigEndian.Uint16(payload))
		}
		l.control = appendFrame(l.control, opClose, true, payload[:min(2, len(payload))])
	}
}

// say queues a line.
func (l *link) say(m any) { l.lines = wire.AppendLine(l.lines, m) }

// flush sends what is queued, unless somebody is doing that already. The order
// is that of the queue, whoever sends.
func (c *client) flush(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l.phase == sendingNothing && len(l.control)+len(l.lines) > 0 {
		b := l.next()
		l.phase, l.wrote = sendingFrame, c.run.clock()
		c.mu.Unlock()
		err := l.write(b)
		c.mu.Lock()
		l.phase = sendingNothing
		if err != nil {
			l.phase = sendingTorn // the reader will see the end too
		}
	}
}

// next takes the next frames from the queue.
func (l *link) next() []byte {
	b := l.control
	l.control = nil
	n := len(l.lines)
	if n > frameLines {
		n = bytes.LastIndexByte(l.lines[:frameLines], '\n') + 1
	}
	if n == 0 {
		return b
	}
	if l.client.manner == mannerFragments {
		b = appendFragments(b, l.lines[:n])
	} else {
		b = appendFrame(b, opText, true, l.lines[:n])
	}
	if l.lines = l.lines[n:]; len(l.lines) == 0 {
		l.lines = nil // an idle client holds no buffer
	}
	return b
}

func (l *link) write(b []byte) error {
	l.conn.SetWriteDeadline(time.Now().Add(writeLimit))
	if l.client.manner == mannerFragments {
		half := len(b) / 2
		if _, err := l.conn.Write(b[:half]); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		time.Sleep(halfway)
		b = b[half:]
	}
	if _, err := l.conn.Write(b); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// isGoodbye reports whether the server said that it goes. Other close codes
// are about this client alone.
func (l *link) isGoodbye() bool {
	return l.bye || l.code == wire.CloseGoingAway || l.code == wire.CloseRestart
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
