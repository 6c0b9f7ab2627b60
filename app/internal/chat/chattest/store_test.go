package chattest_test

import (
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/chat/chattest"
	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestMemory(t *testing.T) {
	memory := chattest.Implementation{
		Open:    func(*testing.T) chat.Store { return chat.NewMemory() },
		Again:   func(_ *testing.T, s chat.Store) chat.Store { return s },
		Batches: chattest.Whole,
	}
	t.Run("store", func(t *testing.T) { chattest.Store(t, memory) })
	t.Run("archive", func(t *testing.T) { chattest.Archive(t, memory) })
}
