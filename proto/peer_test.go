package proto

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

func TestSendNeverBlocks(t *testing.T) {
	a, _ := pair(t) // the other end never reads
	p := NewPeer(a)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx, func(Message, []int) {}) }()
	var err error
	for range 2 * queueLen * 10 {
		if err = p.Send(Publish{Data: make([]byte, 1000)}); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrOverflow) {
		t.Errorf("got %v, want ErrOverflow", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestWhatIsQueuedIsSentBeforeTheEnd(t *testing.T) {
	a, b := pair(t)
	p := NewPeer(a)
	ctx, cancel := context.WithCancel(t.Context())
	for range 100 {
		p.Send(Ping{})
	}
	cancel()
	if err := p.Run(ctx, func(Message, []int) {}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; ; n++ {
		if _, _, err := b.Recv(); err != nil {
			break
		}
	}
	if n != 100 {
		t.Errorf("received %d of 100", n)
	}
}

func TestAnUnknownKindIsAnsweredOnce(t *testing.T) {
	a, b := pair(t)
	p := NewPeer(a)
	done := make(chan error)
	go func() {
		done <- p.Run(t.Context(), func(m Message, _ []int) {
			if m.Kind() != KindUnknown {
				t.Errorf("handled %#v", m)
			}
		})
	}()
	for _, packet := range []string{`later {"a":1}`, `unknown {"name":"ping"}`} {
		if err := b.Send([]byte(packet)); err != nil {
			t.Fatal(err)
		}
	}
	packet, _, err := b.Recv()
	if want := `unknown {"name":"later"}`; err != nil || string(packet) != want {
		t.Errorf("got %s, %v, want %s", packet, err, want)
	}
	b.unix.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if packet, _, err := b.Recv(); err == nil {
		t.Errorf("unknown was answered: %s", packet)
	}
	b.Close()
	if err := <-done; !errors.Is(err, io.EOF) {
		t.Errorf("Run: %v, want EOF", err)
	}
}

func TestGarbageEndsTheConversation(t *testing.T) {
	a, b := pair(t)
	b.Send([]byte("\x00garbage"))
	err := NewPeer(a).Run(t.Context(), func(m Message, _ []int) { t.Errorf("handled %#v", m) })
	if err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v, want what was wrong", err)
	}
}
