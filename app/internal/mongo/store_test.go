package mongo

import (
	"fmt"
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/chat/chattest"
	"github.com/simpletalk/simpletalk/app/internal/mongo/mongotest"
	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestStore(t *testing.T) {
	server := mongotest.Start(t)
	var n int
	chattest.Store(t,
		func(t *testing.T) chat.Store { n++; return openURI(t, server.URI(fmt.Sprint("suite", n))) },
		func(t *testing.T, s chat.Store) chat.Store { return openURI(t, server.URI(s.(*Store).database)) })
}

func openURI(t testing.TB, uri string) *Store {
	t.Helper()
	s, err := Open(t.Context(), uri, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
