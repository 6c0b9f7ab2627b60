package ws

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// Options of [Accept]. The zero value is usable.
type Options struct {
	ReadLimit    int64         // bytes of one message, above it the connection is closed 1009; 0: 16 KiB
	WriteTimeout time.Duration // how long a frame may wait for the peer to read; 0: 10 s
}

func (o Options) withDefaults() Options {
	if o.ReadLimit == 0 {
		o.ReadLimit = 16 << 10
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 10 * time.Second
	}
	return o
}

// Sizes of the library's two buffers. It reads straight into the caller's
// memory what exceeds its own, 16 being the least that bufio allows; it writes
// control frames only, of which the largest has 2 + 125 bytes.
const (
	libraryReads  = 16
	libraryWrites = 128
)

// Accept upgrades a request (RFC 6455 section 4.2) and returns the connection,
// to be served by one goroutine of its own: the handler returns, so that the
// HTTP server's goroutine and buffers are freed. On an error the answer is
// written already.
//
// Accept does not look at Origin: who may connect is the caller's to decide,
// before.
func Accept(w http.ResponseWriter, r *http.Request, o Options) (*Conn, error) {
	o = o.withDefaults()
	h := &hijack{ResponseWriter: w, timeout: o.WriteTimeout}
	lib, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		// The library lets an empty Origin pass and does not compare the
		// scheme; the caller has checked both already.
		InsecureSkipVerify: true,
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, fmt.Errorf("ws: accept: %w", err)
	}
	lib.SetReadLimit(o.ReadLimit)
	return &Conn{lib: lib, wire: h.wire}, nil
}

// hijack gives the library a wire instead of the server's connection.
type hijack struct {
	http.ResponseWriter
	timeout time.Duration
	wire    *wire
}

// Hijack takes the connection over from the HTTP server, with what the client
// sent behind its handshake.
func (h *hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, brw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	pre, _ := brw.Reader.Peek(brw.Reader.Buffered())
	if h.wire, err = newWire(c, pre, h.timeout); err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	c.SetDeadline(time.Time{}) // the server's own do not hold any more
	return h.wire, bufio.NewReadWriter(
		bufio.NewReaderSize(h.wire, libraryReads),
		bufio.NewWriterSize(h.wire, libraryWrites)), nil
}
