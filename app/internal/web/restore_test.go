package web

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/sqlite"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// appendPosts stores posts in the lobby as one process, and returns the epoch
// and when the last one was stored.
func appendPosts(t *testing.T, dir, prefix string, n int) (epoch string, at int64) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var drafts []chat.Draft
	for i := range n {
		text := fmt.Sprint(prefix, i+1)
		drafts = append(drafts, chat.Draft{Room: "lobby", Kind: wire.EventPost, User: chat.User{ID: "a", Name: "Ann"}, Nonce: text, Text: text})
	}
	done, err := store.Append(t.Context(), drafts)
	if err != nil {
		t.Fatal(err)
	}
	return store.Epoch(), done[n-1].Event.At.UnixMilli()
}

// TestARestoredDatabase: whoever holds what a backup does not have starts over,
// even when the log has grown past their cursor since; whoever holds nothing
// else goes on.
func TestARestoredDatabase(t *testing.T) {
	dir := t.TempDir()
	file, backup := filepath.Join(dir, "simpletalk.db"), filepath.Join(t.TempDir(), "backup.db")
	epoch, at60 := appendPosts(t, dir, "kept ", 60)
	copyFile(t, file, backup)
	time.Sleep(2 * time.Millisecond) // as little as may lie between
	_, at80 := appendPosts(t, dir, "lost ", 20)

	// The backup takes the place of the file, and nothing else does.
	for _, beside := range []string{"-wal", "-shm"} {
		if err := os.Remove(file + beside); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	copyFile(t, backup, file)

	hello := func(seq, at int64) string {
		return fmt.Sprintf(`{"t":"hello","v":1,"epoch":%q,"rooms":{"lobby":%d},"at":{"lobby":%d}}`, epoch, seq, at)
	}
	t.Run("as it was", func(t *testing.T) {
		h := open(t, openAgain(t, dir))
		ann := h.meet(h.guest("Ann"), hello(80, at80))
		if r := take[*wire.Reset](ann); r.Head != 60 {
			t.Errorf("got %+v, want a reset to 60", r)
		}
		if e := take[*wire.Event](ann); e.Text != "kept 11" {
			t.Errorf("then came %+v, want the last page", e)
		}
	})
	appendPosts(t, dir, "new ", 25)
	t.Run("grown on", func(t *testing.T) {
		h := open(t, openAgain(t, dir))
		ann := h.meet(h.guest("Ann"), hello(80, at80))
		if r := take[*wire.Reset](ann); r.Head != 85 || r.After != 35 {
			t.Errorf("got %+v, want a reset to the last page of 85", r)
		}
		for seq := int64(36); seq <= 85; seq++ {
			want := fmt.Sprint("kept ", seq)
			if seq > 60 {
				want = fmt.Sprint("new ", seq-60)
			}
			if e := take[*wire.Event](ann); e.Seq != seq || e.Text != want {
				t.Fatalf("got %+v, want %q at %d", e, want, seq)
			}
		}
		bob := h.meet(h.guest("Bob"), hello(60, at60))
		if e := take[*wire.Event](bob); e.Seq != 61 || e.Text != "new 1" {
			t.Errorf("got %+v, want to go on at 61", e)
		}
	})
}

// openAgain opens the store until the test ends.
func openAgain(t *testing.T, dir string) chat.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
