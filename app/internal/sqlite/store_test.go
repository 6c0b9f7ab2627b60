package sqlite

import (
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/chat/chattest"
)

func TestStore(t *testing.T) {
	embedded := chattest.Implementation{
		Open:    func(t *testing.T) chat.Store { return openIn(t, t.TempDir()) },
		Again:   func(t *testing.T, s chat.Store) chat.Store { return openIn(t, s.(*Store).dir.path) },
		Batches: chattest.Whole,
	}
	t.Run("store", func(t *testing.T) { chattest.Store(t, embedded) })
	t.Run("archive", func(t *testing.T) { chattest.Archive(t, embedded) })
}

func openIn(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
