package sqlite

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// TestHungDiskHoldsNoCaller: a caller's context ends its wait, whatever the
// transaction waits for; those behind it give up by themselves.
func TestHungDiskHoldsNoCaller(t *testing.T) {
	const wait = 300 * time.Millisecond
	s, err := Open(t.Context(), t.TempDir(), Options{LockWait: wait})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	hangs, goOn := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		first <- s.writer.do(ctx, func(*writeConn) error {
			close(hangs)
			<-goOn
			return nil
		})
	}()
	<-hangs
	if _, err := s.Append(t.Context(), posts("lobby", "behind", 1)); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("append behind it = %v, want chat.ErrUnavailable", err)
	}
	cancel()
	if err := <-first; !errors.Is(err, chat.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("the one that hangs = %v, want chat.ErrUnavailable and context.Canceled", err)
	}
	close(goOn)
	wantAppends(t, s)
	if head, err := s.Head(t.Context(), "lobby"); err != nil || head != 1 {
		t.Errorf("head = %d, %v: want only what was appended after", head, err)
	}
}

func TestClosedStoreFails(t *testing.T) {
	s := openIn(t, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), posts("lobby", "n", 1)); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("append = %v, want chat.ErrUnavailable", err)
	}
	if _, err := s.Head(t.Context(), "lobby"); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("head = %v, want chat.ErrUnavailable", err)
	}
}
