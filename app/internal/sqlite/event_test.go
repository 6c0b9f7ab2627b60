package sqlite

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

func TestTimesNeverGoBack(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var last time.Time
	for i, step := range []time.Duration{0, -time.Hour, time.Second, 2 * time.Hour, -time.Minute} {
		now = now.Add(step)
		got, err := s.Append(t.Context(), posts("lobby", fmt.Sprint(i), 2))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range got {
			if a.Event.At.Before(last) {
				t.Errorf("seq %d is at %v, its predecessor at %v", a.Event.Seq, a.Event.At, last)
			}
			last = a.Event.At
		}
	}
	if got, err := s.Append(t.Context(), posts("den", "n", 1)); err != nil || !got[0].Event.At.Equal(chat.AsKept(now)) {
		t.Errorf("a new room begins at %v, %v, want %v", got, err, now)
	}
}

// TestLogStaysSmall: a read that stays open would let the write-ahead log grow.
func TestLogStaysSmall(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	t.Cleanup(func() { s.Close() })
	for b := range 100 {
		drafts := posts("lobby", fmt.Sprint(b), 32)
		for i := range drafts {
			drafts[i].Text = strings.Repeat("x", 4000)
		}
		if _, err := s.Append(t.Context(), drafts); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Duration(b%5)*time.Millisecond, cancel)
		s.After(ctx, "lobby", 0, 1000) // some of these are cut short
		s.Rooms(t.Context())
		cancel()
	}
	wal, err := os.Stat(directory{dir}.database() + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	if wal.Size() > 6<<20 {
		t.Errorf("the log has %d KiB after 13 MB of events", wal.Size()>>10)
	}
}
