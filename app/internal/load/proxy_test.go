package load

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"sync"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// proxy stands before a backend and does what its script says, to lines from
// the server and to requests. Without a script it changes nothing.
type proxy struct {
	t    testing.TB
	addr string

	// mangle returns the lines that are sent instead of one: to the n-th
	// WebSocket, in the order of the upgrades. It is called by one goroutine
	// for each WebSocket.
	mangle func(s *stream, line []byte) [][]byte
	// overhear is told of each frame of a client, by one goroutine for each
	// WebSocket.
	overhear func(s *stream, frame []byte)
	// spoil says what happens to the n-th request that is no upgrade.
	spoil func(n int, r *http.Request) spoiling

	gate sync.RWMutex // locked while there is no backend

	mu       sync.Mutex
	backend  string
	listener net.Listener
	conns    map[net.Conn]bool
	streams  []*stream
	requests int
	running  sync.WaitGroup
}

// spoiling is what a proxy does to a request.
type spoiling uint8

const (
	spoilNothing spoiling = iota
	spoilUnasked          // cut before the first byte of the answer
	spoilHalf             // cut in the middle of the answer
)

// stream is one WebSocket through a proxy.
type stream struct {
	n      int
	proxy  *proxy
	client net.Conn
	head   []byte // the request that opened it
	events int    // ev lines that came, for scripts

	mu     sync.Mutex
	server net.Conn
	torn   bool          // in mid-message: a kill ends it
	next   *bufio.Reader // of the server that takes over, nil without one
}

// front starts a proxy before a backend. It ends with the test.
func front(t testing.TB, b *backend) *proxy {
	t.Helper()
	p := &proxy{t: t, backend: b.addr, conns: map[net.Conn]bool{}}
	p.listen("127.0.0.1:0")
	t.Cleanup(p.close)
	return p
}

func (p *proxy) url() string { return "http://" + p.addr }

func (p *proxy) listen(addr string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		p.t.Error(err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.addr = l, l.Addr().String()
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(c) })
		}
	})
}

// refuse has nobody listen for a time.
func (p *proxy) refuse(d time.Duration) {
	p.mu.Lock()
	p.listener.Close()
	p.mu.Unlock()
	time.Sleep(d)
	p.listen(p.addr)
}

func (p *proxy) close() {
	p.mu.Lock()
	p.listener.Close()
	p.mu.Unlock()
	p.cutAll()
	p.running.Wait()
}

// cutAll ends every connection.
func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

func (p *proxy) hold(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
}

func (p *proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// turn has new connections go to another backend.
func (p *proxy) turn(b *backend) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backend = b.addr
}

func (p *proxy) dial() (net.Conn, error) {
	p.gate.RLock()
	defer p.gate.RUnlock()
	p.mu.Lock()
	addr := p.backend
	p.mu.Unlock()
	c, err := net.Dial("tcp", addr)
	if err == nil {
		p.hold(c)
	}
	return c, err
}

// kill has another backend take the place of the one that serves, which says
// nothing more, and hands it every WebSocket that is not torn. For some time
// there is nobody. Only one kill may happen at a time.
func (p *proxy) kill(next *backend, nobody time.Duration) {
	p.gate.Lock()
	p.turn(next)
	p.mu.Lock()
	streams := slices.Clone(p.streams)
	p.mu.Unlock()
	for _, s := range streams {
		s.mu.Lock() // what its client says meanwhile waits for the next one
		p.drop(s.server)
	}
	time.Sleep(nobody)
	p.gate.Unlock()
	for _, s := range streams {
		s.handOn()
		s.mu.Unlock()
	}
}

// serve takes a client's requests one after the other.
func (p *proxy) serve(c net.Conn) {
	p.hold(c)
	defer p.drop(c)
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		head, err := httputil.DumpRequest(r, true)
		if err != nil {
			return
		}
		if r.Header.Get("Upgrade") != "" {
			p.tunnel(c, in, head)
			return
		}
		if !p.pass(c, r, head) {
			return
		}
	}
}

// pass takes a request to the backend and the answer back.
func (p *proxy) pass(c net.Conn, r *http.Request, head []byte) bool {
	p.mu.Lock()
	p.requests++
	n := p.requests
	p.mu.Unlock()
	how := spoilNothing
	if p.spoil != nil {
		how = p.spoil(n, r)
	}
	if how == spoilUnasked {
		return false
	}
	s, err := p.dial()
	if err != nil {
		return false
	}
	defer p.drop(s)
	s.Write(head)
	resp, err := http.ReadResponse(bufio.NewReader(s), r)
	if err != nil {
		return false
	}
	answer, err := httputil.DumpResponse(resp, true)
	resp.Body.Close()
	if err != nil {
		return false
	}
	if how == spoilHalf {
		c.Write(answer[:len(answer)-5])
		return false
	}
	c.Write(answer)
	return !resp.Close && !r.Close
}

// tunnel carries a WebSocket.
func (p *proxy) tunnel(c net.Conn, in *bufio.Reader, head []byte) {
	s := &stream{proxy: p, client: c, head: head}
	from, resp, err := s.open()
	if err != nil {
		return
	}
	answer, _ := httputil.DumpResponse(resp, true)
	c.Write(answer)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return
	}
	p.mu.Lock()
	s.n = len(p.streams)
	p.streams = append(p.streams, s)
	p.mu.Unlock()
	p.running.Go(func() { s.upward(in) })
	s.downward(from)
}

// open connects to the backend as the client did.
func (s *stream) open() (*bufio.Reader, *http.Response, error) {
	c, err := s.proxy.dial()
	if err != nil {
		return nil, nil, err
	}
	c.Write(s.head)
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	s.server = c
	return in, resp, err
}

// handOn gives the stream to the next server. mu is held.
func (s *stream) handOn() {
	if s.torn {
		return
	}
	in, _, err := s.open()
	if err != nil {
		return // the client has gone
	}
	s.next = in
}

// successor returns the next server's side of the stream, nil when it ends.
func (s *stream) successor() *bufio.Reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := s.next
	s.next = nil
	return in
}

func (s *stream) current() net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// tear leaves the client in mid-message: nothing more is said to it.
func (s *stream) tear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.torn = true
}

func (s *stream) isTorn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.torn
}

// upward carries whole messages to the server, whichever it is now: of one that
// is sent in fragments a server that dies has read nothing.
func (s *stream) upward(in *bufio.Reader) {
	defer func() { s.proxy.drop(s.current()) }()
	for {
		m, err := s.message(in)
		if err != nil {
			return
		}
		s.current().Write(m)
	}
}

// message reads a client's frames to the end of a message, or one control
// frame between two.
func (s *stream) message(in *bufio.Reader) (all []byte, err error) {
	for open := false; ; {
		f, err := readMasked(in)
		if err != nil {
			return nil, err
		}
		if s.proxy.overhear != nil {
			s.proxy.overhear(s, f)
		}
		all = append(all, f...)
		if f[0]&0x0f < opClose {
			open = f[0]&bitFin == 0
		}
		if !open {
			return all, nil
		}
	}
}

// readMasked reads a client's frame of up to 64 KiB.
func readMasked(in *bufio.Reader) ([]byte, error) {
	b, err := in.Peek(4)
	if err != nil {
		return nil, err
	}
	n := 6 + int(b[1]&0x7f)
	if b[1]&0x7f == 126 {
		n = 8 + int(binary.BigEndian.Uint16(b[2:]))
	}
	f := make([]byte, n)
	_, err = io.ReadFull(in, f)
	return f, err
}

// downward carries lines to the client. When the server ends and another one
// has taken its place, that asks to resync.
func (s *stream) downward(in *bufio.Reader) {
	defer s.client.Close()
	var d decoder
	b := make([]byte, 4<<10)
	for {
		n, err := in.Read(b)
		if n > 0 && d.feed(b[:n], s) != nil {
			return
		}
		if err == nil {
			continue
		}
		if in, d = s.successor(), (decoder{}); in == nil {
			return
		}
		s.client.Write(serverFrame(opText, wire.AppendLine(nil, wire.Resync{T: wire.KindResync})))
	}
}

// line implements [sink].
func (s *stream) line(b []byte) {
	if s.isTorn() {
		return
	}
	lines := [][]byte{b}
	if kindOf(b) == wire.KindEvent {
		s.events++
	}
	if s.proxy.mangle != nil {
		lines = s.proxy.mangle(s, b)
	}
	for _, l := range lines {
		s.client.Write(serverFrame(opText, l))
	}
}

// controlFrame implements [sink].
func (s *stream) controlFrame(op byte, payload []byte) {
	if !s.isTorn() {
		s.client.Write(serverFrame(op, payload))
	}
}

// serverFrame is a frame without a mask.
func serverFrame(op byte, payload []byte) []byte {
	f := []byte{bitFin | op}
	switch n := len(payload); {
	case n < 126:
		f = append(f, byte(n))
	case n < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 127), uint64(n))
	}
	return append(f, payload...)
}
