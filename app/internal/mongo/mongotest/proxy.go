package mongotest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Fate is what becomes of a command on its way.
type Fate uint8

// Fates of a command.
const (
	Pass      Fate = iota
	CutBefore      // the connection ends before the server hears of it
	CutAfter       // the server has answered, the connection ends before the client hears of it
	Hang           // the server has answered, the client waits in vain
	HalfClose      // the server has answered, the client is sent the end of the stream
)

// Proxy stands between a client and a server and understands just enough of
// their language to spoil a conversation at a given command. Everything it
// opens ends with the test.
type Proxy struct {
	addr    string // where it listens
	server  string
	over    chan struct{}
	serving sync.WaitGroup

	mu       sync.Mutex // guards what follows
	fate     func(command string) Fate
	record   func(command string, question []byte)
	rewrite  func(command string, answer []byte) []byte
	delay    time.Duration
	listener net.Listener
	conns    map[net.Conn]struct{}
}

// Between starts a proxy before a server.
func Between(t testing.TB, server string) *Proxy {
	t.Helper()
	p := &Proxy{server: server, conns: map[net.Conn]struct{}{}, over: make(chan struct{})}
	p.listen(t, "127.0.0.1:0")
	t.Cleanup(func() {
		close(p.over)
		p.Down()
		p.serving.Wait()
	})
	return p
}

func (p *Proxy) listen(t testing.TB, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.listener, p.addr = l, l.Addr().String()
	p.mu.Unlock()
	p.serving.Go(func() { p.accept(l) })
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.addr }

// URI names a database of the server behind it.
func (p *Proxy) URI(database string) string { return "mongodb://" + p.addr + "/" + database }

// Fates has f decide about each command by its name; nil lets all pass.
func (p *Proxy) Fates(f func(command string) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fate = f
}

// Record has f see each command, a whole message; nil ends that.
func (p *Proxy) Record(f func(command string, question []byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.record = f
}

// Rewrite has f change each answer, a whole message; nil changes none.
func (p *Proxy) Rewrite(f func(command string, answer []byte) []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rewrite = f
}

// Delay makes every answer late by d.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Cut ends every connection there is.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// Down ends every connection and refuses new ones.
func (p *Proxy) Down() {
	p.mu.Lock()
	p.listener.Close()
	p.mu.Unlock()
	p.Cut()
}

// Up listens again after Down.
func (p *Proxy) Up(t testing.TB) { p.listen(t, p.addr) }

func (p *Proxy) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		p.serving.Go(func() { p.serve(c) })
	}
}

// keep has a connection end with Cut; it reports false when all is over.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.over:
		return false
	default:
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) leave(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// serve takes one message after the other to the server, and its answer back.
func (p *Proxy) serve(client net.Conn) {
	defer p.leave(client)
	if !p.keep(client) {
		return
	}
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer p.leave(server)
	if !p.keep(server) {
		return
	}
	for p.exchange(client, server) == nil {
	}
}

func (p *Proxy) exchange(client, server net.Conn) error {
	question, err := readMessage(client)
	if err != nil {
		return err
	}
	command := commandOf(question)
	fate, rewrite, delay := p.plan(command, question)
	if fate == CutBefore {
		return io.EOF
	}
	if _, err := server.Write(question); err != nil {
		return err
	}
	answer, err := readMessage(server)
	if err != nil {
		return err
	}
	if !p.pause(delay) {
		return io.EOF
	}
	switch fate {
	case CutAfter:
		return io.EOF
	case Hang:
		<-p.until(client)
		return io.EOF
	case HalfClose:
		client.(*net.TCPConn).CloseWrite()
		<-p.until(client)
		return io.EOF
	}
	if rewrite != nil {
		answer = rewrite(command, answer)
	}
	_, err = client.Write(answer)
	return err
}

func (p *Proxy) plan(command string, question []byte) (f Fate, rewrite func(string, []byte) []byte, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.record != nil {
		p.record(command, question)
	}
	if p.fate != nil {
		f = p.fate(command)
	}
	return f, p.rewrite, p.delay
}

func (p *Proxy) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-p.over:
		return false
	}
}

// until is closed when the client has gone.
func (p *Proxy) until(client net.Conn) <-chan struct{} {
	gone := make(chan struct{})
	p.serving.Go(func() {
		io.Copy(io.Discard, client)
		close(gone)
	})
	return gone
}

// maxMessage is MongoDB's maxMessageSizeBytes.
const maxMessage = 48_000_000

// readMessage reads one whole message: its length comes first.
func readMessage(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n < 16 || n > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	m := make([]byte, n)
	copy(m, length[:])
	_, err := io.ReadFull(r, m[4:])
	return m, err
}

// opMsg is the operation of every command but a connection's first.
const opMsg = 2013

// commandOf is the first field of a message's document, which names the
// command: after the header (16 bytes), flags (4), the section's kind (1), the
// document's length (4) and the field's type (1). It is "hello" for a message
// of the older kind, which only greets.
func commandOf(m []byte) string {
	const at = 16 + 4 + 1 + 4 + 1
	if binary.LittleEndian.Uint32(m[12:16]) != opMsg {
		return "hello"
	}
	if len(m) <= at {
		return ""
	}
	name, _, _ := bytes.Cut(m[at:], []byte{0})
	return string(name)
}
