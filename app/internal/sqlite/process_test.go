package sqlite

import (
	"fmt"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat/chattest"
)

func TestProcesses(t *testing.T) {
	chattest.Processes(t, chattest.Shared{
		Open:    openTarget,
		New:     func(t *testing.T) string { return t.TempDir() + "/not/there/yet" },
		Batches: chattest.Whole,
	})
}

// wantAppends checks that s stores and serves.
func wantAppends(t *testing.T, s *Store) {
	t.Helper()
	nonce := fmt.Sprint(time.Now().UnixNano())
	appended, err := s.Append(t.Context(), posts("lobby", nonce, 1))
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	events, err := s.After(t.Context(), "lobby", appended[0].Event.Seq-1, 10)
	if err != nil || len(events) != 1 || events[0] != appended[0].Event {
		t.Fatalf("stored %+v, read %+v, %v", appended[0].Event, events, err)
	}
}
