package sqlite

import (
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

func TestEndedSessionsAreSweptOut(t *testing.T) {
	now := time.Now()
	s, err := Open(t.Context(), t.TempDir(), Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for i := range 20 {
		session := chat.Session{TokenHash: [32]byte{byte(i)}, CreatedAt: now, ExpiresAt: now.Add(time.Minute)}
		if err := s.PutSession(t.Context(), session); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Hour)
	if err := s.PutSession(t.Context(), chat.Session{TokenHash: [32]byte{255}, ExpiresAt: now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := s.readers.db.QueryRow("SELECT count(*) FROM sessions").Scan(&left); err != nil || left != 1 {
		t.Errorf("%d sessions are left, %v, want 1", left, err)
	}
}
