package ws

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const patience = 10 * time.Second

// peer is the other end of a served connection, speaking in raw frames.
type peer struct {
	t    *testing.T
	conn net.Conn
	ws   *Conn
	end  chan error // Serve's result
}

// serve upgrades one connection and serves it with handle. extra is sent right
// behind the handshake.
func serve(t *testing.T, o Options, extra []byte, handle func(*Conn, Type, []byte)) *peer {
	t.Helper()
	conns, end := make(chan *Conn, 1), make(chan error, 1)
	var serving sync.WaitGroup
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, o)
		if err != nil {
			t.Error(err)
			return
		}
		conns <- c
		serving.Go(func() { end <- c.Serve(func(typ Type, data []byte) { handle(c, typ, data) }) })
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving.Go(func() { srv.Serve(l) })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(patience))
	conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"+string(extra))
	p := &peer{t: t, conn: conn, end: end}
	if head := p.header(); !strings.HasPrefix(head, "HTTP/1.1 101 ") || strings.Contains(head, "deflate") {
		t.Fatalf("handshake answered with %q", head)
	}
	p.ws = <-conns
	t.Cleanup(func() {
		conn.Close()
		p.ws.CloseNow()
		srv.Close()
		serving.Wait()
	})
	return p
}

// header reads up to the empty line and not one byte more.
func (p *peer) header() string {
	var b []byte
	for !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		var c [1]byte
		if _, err := io.ReadFull(p.conn, c[:]); err != nil {
			p.t.Fatal(err)
		}
		b = append(b, c[0])
	}
	return string(b)
}

// masked builds a frame of a client.
func masked(first byte, payload string) []byte {
	b := appendHeader(nil, 0, len(payload))
	b[0], b[1] = first, b[1]|0x80
	b = append(b, 1, 2, 3, 4)
	for i := range len(payload) {
		b = append(b, payload[i]^byte(i%4+1))
	}
	return b
}

func (p *peer) send(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// receive reads one frame.
func (p *peer) receive() (first byte, payload []byte) {
	p.t.Helper()
	first, payload, err := p.tryReceive()
	if err != nil {
		p.t.Fatal(err)
	}
	return first, payload
}

func (p *peer) tryReceive() (byte, []byte, error) {
	var h [10]byte
	if _, err := io.ReadFull(p.conn, h[:2]); err != nil {
		return 0, nil, err
	}
	n := uint64(h[1])
	switch n {
	case 126:
		io.ReadFull(p.conn, h[2:4])
		n = uint64(binary.BigEndian.Uint16(h[2:]))
	case 127:
		io.ReadFull(p.conn, h[2:10])
		n = binary.BigEndian.Uint64(h[2:])
	}
	payload := make([]byte, n)
	_, err := io.ReadFull(p.conn, payload)
	return h[0], payload, err
}

// wantClose reads a close frame, then the end of the stream.
func (p *peer) wantClose(code int, reason string) {
	p.t.Helper()
	first, payload := p.receive()
	if first != finBit|opClose || len(payload) < 2 || int(binary.BigEndian.Uint16(payload)) != code || string(payload[2:]) != reason {
		p.t.Fatalf("got frame %x %q, want a close %d %q", first, payload, code, reason)
	}
}

func (p *peer) wantEnd() {
	p.t.Helper()
	if rest, err := io.ReadAll(p.conn); len(rest) > 0 {
		p.t.Errorf("got %x, %v; want the end", rest, err)
	}
}

func (p *peer) served() error {
	p.t.Helper()
	select {
	case err := <-p.end:
		p.end <- err
		return err
	case <-time.After(patience):
		p.t.Fatal("Serve does not end")
		return nil
	}
}

func echo(c *Conn, _ Type, data []byte) { c.Write(data) }

func TestMessages(t *testing.T) {
	p := serve(t, Options{}, masked(0x81, "with the handshake"), echo)
	want := func(s string) {
		t.Helper()
		if first, got := p.receive(); first != 0x81 || string(got) != s {
			t.Fatalf("got %x %.40q, want %.40q", first, got, s)
		}
	}
	want("with the handshake")
	for _, n := range []int{0, 1, 13, 14, 15, 16, 125, 126, 127, 4095, 4096, 4097, 16 << 10} {
		s := strings.Repeat("x", n)
		p.send(masked(0x81, s))
		want(s)
	}
	// In fragments, with a ping between them, one byte at a time.
	for _, b := range bytes.Join([][]byte{masked(0x01, "one "), masked(0x89, "are you there"), masked(0x00, "two "), masked(0x80, "three")}, nil) {
		p.send([]byte{b})
	}
	if first, got := p.receive(); first != 0x8a || string(got) != "are you there" {
		t.Fatalf("got %x %q, want a pong", first, got)
	}
	want("one two three")
	// Many at once.
	var many []byte
	for range 100 {
		many = append(many, masked(0x81, "many")...)
	}
	p.send(many)
	for range 100 {
		want("many")
	}
}

func TestHandlerIsNeverCalledTwiceAtOnce(t *testing.T) {
	var mu sync.Mutex
	p := serve(t, Options{}, nil, func(c *Conn, _ Type, data []byte) {
		if !mu.TryLock() {
			t.Error("called while another call has not returned")
			return
		}
		defer mu.Unlock()
		time.Sleep(time.Millisecond)
		c.Write(data)
	})
	for range 20 {
		p.send(masked(0x81, "x"))
	}
	for range 20 {
		p.receive()
	}
}

func TestHowItEnds(t *testing.T) {
	var closed *CloseError
	t.Run("the peer closes", func(t *testing.T) {
		p := serve(t, Options{}, nil, echo)
		p.send(masked(0x88, "\x0f\xa0bye"))
		p.wantClose(4000, "bye")
		p.wantEnd()
		if err := p.served(); !errors.As(err, &closed) || closed.Code != 4000 || closed.Reason != "bye" {
			t.Errorf("got %v, want the peer's close", err)
		}
	})
	t.Run("we close, the peer answers", func(t *testing.T) {
		p := serve(t, Options{}, nil, echo)
		p.ws.Close(1012, "deploy")
		p.ws.Close(4001, "the first counts")
		p.wantClose(1012, "deploy")
		p.send(masked(0x81, "said before I heard"))
		p.send(masked(0x88, "\x03\xf4"))
		p.wantEnd()
		if err := p.served(); err != nil {
			t.Errorf("got %v, want nil", err)
		}
		if err := p.ws.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after the end: got %v, want %v", err, net.ErrClosed)
		}
	})
	t.Run("we close, the peer is silent", func(t *testing.T) {
		p := serve(t, Options{}, nil, echo)
		began := time.Now()
		p.ws.Close(1001, strings.Repeat("x", 200))
		p.wantClose(1001, strings.Repeat("x", maxReason))
		if err := p.served(); err != nil {
			t.Errorf("got %v, want nil", err)
		}
		if took := time.Since(began); took > 2*Linger {
			t.Errorf("took %v", took)
		}
	})
	t.Run("the handler closes", func(t *testing.T) {
		p := serve(t, Options{}, nil, func(c *Conn, _ Type, _ []byte) { c.Close(4500, "no") })
		p.send(append(masked(0x81, "x"), masked(0x81, "never handled")...))
		p.wantClose(4500, "no")
		p.send(masked(0x88, "\x11\x94"))
		p.wantEnd()
	})
	t.Run("too big", func(t *testing.T) {
		p := serve(t, Options{ReadLimit: 100}, nil, echo)
		p.send(masked(0x81, strings.Repeat("x", 5000)))
		if first, payload := p.receive(); first != 0x88 || binary.BigEndian.Uint16(payload) != 1009 {
			t.Errorf("got %x %q, want a close 1009", first, payload)
		}
		p.conn.Close()
		if err := p.served(); err == nil {
			t.Error("got no error")
		}
	})
	for name, b := range map[string][]byte{
		"not masked":       append(appendHeader(nil, opText, 1), 'x'),
		"reserved bit":     masked(0xc1, "x"),
		"unknown opcode":   masked(0x83, "x"),
		"stray fragment":   masked(0x80, "x"),
		"fragmented ping":  masked(0x09, "x"),
		"bad close":        masked(0x88, "x"),
		"message in other": append(masked(0x01, "x"), masked(0x81, "y")...),
	} {
		t.Run(name, func(t *testing.T) {
			p := serve(t, Options{}, nil, echo)
			p.send(b)
			if first, payload := p.receive(); first != 0x88 || binary.BigEndian.Uint16(payload) != 1002 {
				t.Errorf("got %x %q, want a close 1002", first, payload)
			}
			p.conn.Close()
			if err := p.served(); err == nil {
				t.Error("got no error")
			}
		})
	}
	t.Run("the connection is cut", func(t *testing.T) {
		p := serve(t, Options{}, nil, echo)
		p.send(masked(0x81, "whole")[:4])
		p.conn.Close()
		if err := p.served(); err == nil || errors.As(err, &closed) {
			t.Errorf("got %v, want an error", err)
		}
	})
}

// TestSlowPeer: a write ends at its deadline, and a peer that reads on finds
// whole frames and then the close.
func TestSlowPeer(t *testing.T) {
	p := serve(t, Options{WriteTimeout: 200 * time.Millisecond}, nil, echo)
	message := bytes.Repeat([]byte("x"), 60000)
	written := 0
	var err error
	for began := time.Now(); err == nil; written++ {
		if time.Since(began) > patience {
			t.Fatal("the kernel takes everything")
		}
		err = p.ws.Write(message)
	}
	if err != ErrSlow {
		t.Fatalf("got %v, want %v", err, ErrSlow)
	}
	if err := p.ws.Write(message); err != ErrSlow {
		t.Errorf("a frame after half of one: got %v, want %v", err, ErrSlow)
	}
	go p.ws.Close(4000, "slow")
	for range written {
		if first, got := p.receive(); first != 0x81 || len(got) != len(message) {
			t.Fatalf("got %x with %d bytes", first, len(got))
		}
	}
	p.wantClose(4000, "slow")
}

// TestOffer: an offer never waits for the peer. What was begun is completed, what
// was refused was not begun, and AwaitPeer tells when to go on.
func TestOffer(t *testing.T) {
	p := serve(t, Options{}, nil, echo)
	message := func(n int) []byte { return append(bytes.Repeat([]byte("x"), 60000), strconv.Itoa(n)...) }
	taken := 0
	var err error
	for began := time.Now(); err == nil; taken++ {
		if time.Since(began) > patience {
			t.Fatal("the kernel takes everything")
		}
		err = p.ws.Offer(message(taken))
	}
	taken-- // the one that was refused
	if err != ErrBusy {
		t.Fatalf("got %v, want %v", err, ErrBusy)
	}
	awaited := make(chan struct{})
	go func() {
		defer close(awaited)
		p.ws.AwaitPeer()
	}()
	select {
	case <-awaited:
		t.Fatal("the peer has read nothing")
	case <-time.After(50 * time.Millisecond):
	}
	for n := range taken {
		if first, got := p.receive(); first != 0x81 || !bytes.Equal(got, message(n)) {
			t.Fatalf("message %d: got %x with %d bytes", n, first, len(got))
		}
	}
	<-awaited
	if err := p.ws.Offer([]byte("on")); err != nil {
		t.Errorf("then: %v", err)
	}
	if _, got := p.receive(); string(got) != "on" {
		t.Errorf("got %.20q, want what was offered then", got)
	}
}

// TestOfferTimesOut: a peer that never reads is slow in the end, and who awaits it
// is told to look.
func TestOfferTimesOut(t *testing.T) {
	p := serve(t, Options{WriteTimeout: 200 * time.Millisecond}, nil, echo)
	for began := time.Now(); p.ws.Offer(make([]byte, 60000)) == nil; {
		if time.Since(began) > patience {
			t.Fatal("the kernel takes everything")
		}
	}
	p.ws.AwaitPeer()
	if err := p.ws.Offer([]byte("x")); err != ErrSlow {
		t.Errorf("got %v, want %v", err, ErrSlow)
	}
}

func TestCloseIsBounded(t *testing.T) {
	p := serve(t, Options{WriteTimeout: time.Minute}, nil, echo)
	blocked := make(chan error)
	go func() {
		for {
			if err := p.ws.Write(make([]byte, 60000)); err != nil {
				blocked <- err
				return
			}
		}
	}()
	time.Sleep(200 * time.Millisecond) // until it blocks
	began := time.Now()
	p.ws.Close(1012, "")
	<-blocked
	p.served()
	if took := time.Since(began); took > 3*Linger {
		t.Errorf("took %v, want about %v", took, Linger)
	}
}

// TestFramesAreNotMixed writes from many goroutines while pongs go out.
func TestFramesAreNotMixed(t *testing.T) {
	p := serve(t, Options{}, nil, echo)
	var writing sync.WaitGroup
	const n, each = 8, 200
	for i := range n {
		writing.Go(func() {
			for range each {
				if err := p.ws.Write(bytes.Repeat([]byte{byte('a' + i)}, 100*i+1)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Go(func() {
		for range each {
			p.conn.Write(masked(0x89, strings.Repeat("p", 125)))
		}
	})
	texts, pongs := 0, 0
	for texts < n*each || pongs < each {
		first, got := p.receive()
		switch {
		case first == 0x8a && len(got) == 125:
			pongs++
		case first == 0x81 && len(bytes.Trim(got, string(got[:1]))) == 0 && len(got) == 100*int(got[0]-'a')+1:
			texts++
		default:
			t.Fatalf("got a frame %x of %d bytes", first, len(got))
		}
	}
	writing.Wait()
}

func TestSilent(t *testing.T) {
	p := serve(t, Options{}, nil, echo)
	time.Sleep(time.Second)
	if peer, we := p.ws.Silent(); peer < time.Second*9/10 || we < time.Second*9/10 {
		t.Errorf("got %v and %v, want at least the time waited", peer, we)
	}
	p.send(masked(0x81, "x"))
	p.receive()
	if peer, we := p.ws.Silent(); peer > time.Second*9/10 || we > time.Second*9/10 {
		t.Errorf("got %v and %v after a message", peer, we)
	}
}

func TestClient(t *testing.T) {
	var serving sync.WaitGroup
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.Error(w, "not here", http.StatusTeapot)
			return
		}
		if c, err := Accept(w, r, Options{}); err == nil {
			serving.Go(func() { c.Serve(func(typ Type, data []byte) { echo(c, typ, data) }) })
		}
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serving.Go(func() { srv.Serve(l) })
	defer serving.Wait()
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, _, err := Dial(ctx, "ws://"+l.Addr().String(), DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(ctx, Text, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Read(ctx); string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := c.Close(1000, ""); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, resp, err := Dial(ctx, "ws://"+l.Addr().String()+"/x", DialOptions{}); err == nil || resp.StatusCode != http.StatusTeapot {
		t.Errorf("got %v, want the refusal", err)
	}
}
