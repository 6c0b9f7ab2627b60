package sqlite

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// The text that somebody has deleted is not in the file any more, neither where
// it stood nor where it stood before its page was divided.
func TestWhatIsDeletedLeavesTheFile(t *testing.T) {
	s := openIn(t, t.TempDir())
	defer s.Close()
	secret := strings.Repeat("the vault opens at nine ", 20)
	ada := chat.User{ID: "u-1", Name: "Ada"}
	var drafts []chat.Draft
	for i := range 200 {
		text := fmt.Sprintf("%d %s", i, strings.Repeat("words ", i%40))
		if i == 100 {
			text = secret
		}
		drafts = append(drafts, chat.Draft{Room: "lobby", Kind: wire.EventPost, User: ada, Nonce: fmt.Sprint(i), Text: text})
	}
	for _, d := range append(drafts, chat.Draft{Room: "lobby", Kind: wire.EventDel, User: ada, Nonce: "del", Of: 101}) {
		if d.Kind == wire.EventDel && !inFile(t, s, secret) {
			t.Fatal("the text is not found before it is deleted: this test shows nothing")
		}
		if _, err := s.Append(t.Context(), []chat.Draft{d}); err != nil {
			t.Fatal(err)
		}
	}
	if inFile(t, s, secret) {
		t.Error("a text is in the database file after its deletion")
	}
}

// inFile reports whether text is in the database file, with all that the log
// beside it had.
func inFile(t *testing.T, s *Store, text string) bool {
	t.Helper()
	if _, err := s.writer.conn.conn.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(s.dir.database())
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(content, []byte(text[:100]))
}
