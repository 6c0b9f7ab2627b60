package ws

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/coder/websocket"
	"golang.org/x/sys/unix"
)

// Adopt makes a connection of a socket that another process has upgraded, and
// still owns: it is held. Nothing is read or written, and whoever closes it
// only drops the descriptor. Serve may be called: it waits for [Conn.Resume],
// as does Write.
//
// Adopt owns fd from here on, also on an error. It must be non-blocking, as
// every socket of a Go program is: that flag is shared with the owner, so
// Adopt does not set it.
func Adopt(fd int, o Options) (*Conn, error) {
	o = o.withDefaults()
	if err := adoptable(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("ws: adopt descriptor %d: %w", fd, err)
	}
	f := os.NewFile(uintptr(fd), "") // no net.FileConn: it would duplicate once more
	w, err := newWire(f, held, o)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("ws: adopt descriptor %d: %w", fd, err)
	}
	w.record = o.Record
	lib, err := websocket.Accept(&pretence{header: http.Header{}, wire: w}, handshake(), o.library())
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("ws: adopt descriptor %d: %w", fd, err)
	}
	lib.SetReadLimit(o.ReadLimit)
	return &Conn{lib: lib, wire: w}, nil
}

func adoptable(fd int) error {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return err
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	if kind != unix.SOCK_STREAM || flags&unix.O_NONBLOCK == 0 {
		return fmt.Errorf("not a non-blocking stream socket")
	}
	return nil
}

// handshake is a request as the client's was (RFC 6455 section 4.1), for the
// library. Its answer was sent long ago.
func handshake() *http.Request {
	return &http.Request{Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{
		"Connection":            {"Upgrade"},
		"Upgrade":               {"websocket"},
		"Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key":     {"AAAAAAAAAAAAAAAAAAAAAA=="}, // any 16 bytes
	}}
}

// pretence answers the handshake of an adopted connection: with nothing.
type pretence struct {
	header http.Header
	wire   *wire
}

func (p *pretence) Header() http.Header         { return p.header }
func (p *pretence) WriteHeader(int)             {}
func (p *pretence) Write(b []byte) (int, error) { return len(b), nil }

// Hijack gives the library the wire.
func (p *pretence) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return p.wire, p.wire.buffers(), nil
}
