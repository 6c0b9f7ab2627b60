package natstest

import (
	"net"
	"sync"
	"testing"
)

// Way is a way to a server. Everything it opens ends with the test.
type Way struct {
	server   string
	listener net.Listener
	carrying sync.WaitGroup

	mu    sync.Mutex // guards what follows
	state wayState
	moved *sync.Cond // the state has changed
	conns []net.Conn
}

// wayState says what becomes of bytes.
type wayState uint8

const (
	wayOpen   wayState = iota
	waySilent          // nothing passes, nothing is cut: a partition
	wayGone            // the test is over
)

// NewWay opens a way to a server, HOST:PORT.
func NewWay(t testing.TB, server string) *Way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Way{server: server, listener: l}
	w.moved = sync.NewCond(&w.mu)
	w.carrying.Go(w.accept)
	t.Cleanup(func() {
		l.Close()
		w.set(wayGone)
		w.cut()
		w.carrying.Wait()
	})
	return w
}

// Addr is where it begins, HOST:PORT.
func (w *Way) Addr() string { return w.listener.Addr().String() }

// Silence lets nothing pass, without a word to anybody.
func (w *Way) Silence() { w.set(waySilent) }

// Open lets everything pass, what was held back too.
func (w *Way) Open() { w.set(wayOpen) }

// Reset ends every connection there is.
func (w *Way) Reset() { w.cut() }

func (w *Way) set(s wayState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = s
	w.moved.Broadcast()
}

func (w *Way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

func (w *Way) accept() {
	for {
		c, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.carrying.Go(func() { w.join(c) })
	}
}

// join reaches the server when the way is open.
func (w *Way) join(c net.Conn) {
	if !w.passable() {
		c.Close()
		return
	}
	s, err := net.Dial("tcp", w.server)
	if err != nil {
		c.Close()
		return
	}
	w.mu.Lock()
	w.conns = append(w.conns, c, s)
	gone := w.state == wayGone
	w.mu.Unlock()
	if gone {
		w.cut()
	}
	w.carrying.Go(func() { w.carry(s, c) })
	w.carry(c, s)
}

// passable waits while the way is silent, and reports false when it is gone.
func (w *Way) passable() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.state == waySilent {
		w.moved.Wait()
	}
	return w.state == wayOpen
}

func (w *Way) carry(to, from net.Conn) {
	defer to.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && w.passable() {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
