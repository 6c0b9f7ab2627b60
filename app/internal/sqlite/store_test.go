package sqlite

import (
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/chat/chattest"
)

func TestStore(t *testing.T) {
	chattest.Store(t, chattest.Implementation{
		Open:    func(t *testing.T) chat.Store { return openIn(t, t.TempDir()) },
		Again:   func(t *testing.T, s chat.Store) chat.Store { return openIn(t, s.(*Store).dir.path) },
		Batches: chattest.Whole,
	})
}

func openIn(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
