package mongo

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/chat/chattest"
)

func TestMain(m *testing.M) { chattest.Main(m, openTarget) }

func openTarget(ctx context.Context, uri string) (chat.Store, error) {
	return Open(ctx, uri, Options{})
}

func TestStore(t *testing.T) {
	each(t, func(t *testing.T, fresh func() string) {
		uris := map[chat.Store]string{}
		mongo := chattest.Implementation{
			Open: func(t *testing.T) chat.Store {
				uri := fresh()
				s := openURI(t, uri)
				uris[s] = uri
				return s
			},
			Again:   func(t *testing.T, s chat.Store) chat.Store { return openURI(t, uris[s]) },
			Batches: chattest.Begun,
			// Its $max reads and then writes (MongoDB's is one step): the smaller of two may win.
			LosesUpdates: strings.HasSuffix(t.Name(), "/"+ferretDB),
		}
		t.Run("store", func(t *testing.T) { chattest.Store(t, mongo) })
		t.Run("archive", func(t *testing.T) { chattest.Archive(t, mongo) })
	})
}

// TestProcesses keeps to few events: FerretDB reads a collection from one end
// to the other.
func TestProcesses(t *testing.T) {
	each(t, func(t *testing.T, fresh func() string) {
		chattest.Processes(t, chattest.Shared{
			Open:    openTarget,
			New:     func(*testing.T) string { return fresh() },
			Batches: chattest.Begun,
			For:     2 * time.Second,
			Share:   0.03, // nobody starves; no lock shares evenly here
			Rounds:  10,
			Pause:   5 * time.Millisecond,
		})
	})
}
