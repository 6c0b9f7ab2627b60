package proto

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"
)

// paused is a running Peer that can be paused, and the worker's end.
type paused struct {
	*Peer
	worker *Conn
	heard  chan Message
	end    func() error
}

func newPaused(t *testing.T) *paused {
	t.Helper()
	ours, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	worker, err := NewConn(theirs)
	if err != nil {
		t.Fatal(err)
	}
	p := &paused{Peer: NewPeer(ours), worker: worker, heard: make(chan Message, 1000)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, func(m Message, fds []int) { CloseFDs(fds); p.heard <- m }) }()
	p.end = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { p.end(); worker.Close() })
	return p
}

func (p *paused) says(t *testing.T, n int) {
	t.Helper()
	packet, err := Encode(Stats{Conns: n})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.worker.Send(packet); err != nil {
		t.Fatal(err)
	}
}

// Whatever is read before a pause is handled in it, and whatever comes later is
// left for whoever goes on.
func TestNothingIsReadInAPause(t *testing.T) {
	p := newPaused(t)
	next := 1
	for range 50 {
		for range 5 {
			p.says(t, next)
			next++
		}
		resume, err := p.Pause()
		if err != nil {
			t.Fatal(err)
		}
		n := len(p.heard)
		p.says(t, next)
		next++
		time.Sleep(time.Millisecond)
		if len(p.heard) != n {
			t.Fatal("a message was read in a pause")
		}
		resume()
	}
	for want := 1; want < next; want++ {
		select {
		case m := <-p.heard:
			if got := m.(Stats).Conns; got != want {
				t.Fatalf("message %d came, want %d", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("message %d did not come", want)
		}
	}
}

// Another process with a duplicate of this end hears what comes in a pause.
func TestAnotherOneGoesOnInAPause(t *testing.T) {
	p := newPaused(t)
	fd, err := p.conn.Duplicate()
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewConn(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	p.says(t, 7)
	packet, _, err := other.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if m, err := Decode(packet); err != nil || m.(Stats).Conns != 7 {
		t.Errorf("%v, %v", m, err)
	}
	if err := p.end(); err != nil {
		t.Errorf("the end of a paused peer: %v", err)
	}
}

func TestAPauseOfOneThatHasEnded(t *testing.T) {
	p := newPaused(t)
	p.worker.Close()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		resume, err := p.Pause()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			resume()
		}
		if time.Now().After(end) {
			t.Fatalf("got %v, want EOF", err)
		}
	}
}

// One that does not read what it is told is not stood still for.
func TestAPauseSendsWhatIsQueued(t *testing.T) {
	p := newPaused(t)
	for p.queued() == 0 {
		p.Send(Ping{})
	}
	if _, err := p.Pause(); !errors.Is(err, ErrOverflow) {
		t.Errorf("got %v, want %v", err, ErrOverflow)
	}
	go func() {
		for {
			if _, _, err := p.worker.Recv(); err != nil {
				return
			}
		}
	}()
	resume, err := p.Pause()
	if err != nil {
		t.Fatal(err)
	}
	if n := p.queued(); n != 0 {
		t.Errorf("%d messages are queued", n)
	}
	resume()
}

func (p *Peer) queued() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue)
}
