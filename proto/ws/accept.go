package ws

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/simpletalk/simpletalk/proto"
)

// Options of [Accept] and [Adopt]. The zero value is usable.
type Options struct {
	ReadLimit    int64         // bytes of one message, above it the connection is closed 1009; 0: 16 KiB
	WriteTimeout time.Duration // how long a frame may wait for the peer to read; 0: 10 s

	// Record is where an adopted connection notes its message boundaries; nil:
	// nowhere.
	Record *proto.Record

	// Keep is called once Accept has the connection and before the peer gets
	// its answer: from then on whoever has the duplicate fd, which is Keep's to
	// close, can go on with the connection. id is as [Conn.Duplicate] tells it.
	// The record returned, nil for none, is fresh: it is not Sound before the
	// answer is on its way. If Accept then returns an error, the connection has
	// been closed and whoever keeps it must be told.
	Keep func(fd int, id uint64) *proto.Record

	// ended is called once when a connection that this process owns has ended.
	ended func()
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

// library returns what the library is told.
func (o Options) library() *websocket.AcceptOptions {
	return &websocket.AcceptOptions{
		// The library lets an empty Origin pass and does not compare the
		// scheme; the caller has checked both already.
		InsecureSkipVerify: true,
		CompressionMode:    websocket.CompressionDisabled,
	}
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
// written already. A response writer around the server's own does not see the
// 101: it is written once the connection is hijacked and kept.
//
// Accept does not look at Origin: who may connect is the caller's to decide,
// before.
func Accept(w http.ResponseWriter, r *http.Request, o Options) (*Conn, error) {
	o = o.withDefaults()
	h := &hijack{ResponseWriter: w, o: o}
	lib, err := websocket.Accept(h, r, o.library())
	if err != nil {
		return nil, fmt.Errorf("ws: accept: %w", err)
	}
	lib.SetReadLimit(o.ReadLimit)
	return &Conn{lib: lib, wire: h.wire}, nil
}

// hijack gives the library a wire instead of the server's connection.
type hijack struct {
	http.ResponseWriter
	o        Options
	wire     *wire
	hijacked bool
}

// WriteHeader holds the answer to an upgrade back until the connection is
// hijacked and kept. Nothing can be answered any more after that.
func (h *hijack) WriteHeader(status int) {
	if status != http.StatusSwitchingProtocols && !h.hijacked {
		h.ResponseWriter.WriteHeader(status)
	}
}

// Hijack takes the connection over from the HTTP server, with what the client
// sent behind its handshake.
func (h *hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, brw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.hijacked = true
	pre, _ := brw.Reader.Peek(brw.Reader.Buffered())
	c.SetDeadline(time.Time{}) // the server's own do not hold any more
	if h.wire, err = h.begin(c, pre); err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	return h.wire, h.wire.buffers(), nil
}

// begin makes the wire, has it kept, and only then answers.
func (h *hijack) begin(c net.Conn, pre []byte) (*wire, error) {
	sock, ok := c.(socket)
	if !ok {
		return nil, errors.New("ws: the connection has no descriptor")
	}
	w, err := newWire(sock, serving, h.o)
	if err != nil {
		return nil, err
	}
	if len(pre) > 0 {
		w.in = newInbound(pre)
	}
	var record *proto.Record
	if h.o.Keep != nil {
		fd, id, err := w.duplicate()
		if err != nil {
			return nil, err
		}
		record = h.o.Keep(fd, id)
	}
	if err := h.answer(c); err != nil {
		return nil, err
	}
	if err := w.locate(); err != nil {
		return nil, err
	}
	w.record = record
	w.settleRecord()
	return w, nil
}

// answer writes the response to the handshake (RFC 6455 section 4.2.2).
func (h *hijack) answer(c net.Conn) error {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	h.Header().Write(&b)
	b.WriteString("\r\n")
	c.SetWriteDeadline(time.Now().Add(h.o.WriteTimeout))
	defer c.SetWriteDeadline(time.Time{})
	_, err := c.Write(b.Bytes())
	return err
}

// buffers returns the library's.
func (w *wire) buffers() *bufio.ReadWriter {
	return bufio.NewReadWriter(bufio.NewReaderSize(w, libraryReads), bufio.NewWriterSize(w, libraryWrites))
}
