package sqlite

import (
	"database/sql"
	"fmt"
	"math"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// insertAsBefore is how builds without search insert a post.
const insertAsBefore = "INSERT INTO events (room, seq, at, kind, author, name, nonce, text) VALUES (?, ?, 1, 'post', 'u-1', 'Ada', ?, ?)"

// before makes a database as builds without search left it, with n posts in each
// of two rooms.
func before(t *testing.T, n int) (dir directory) {
	t.Helper()
	dir = directory{t.TempDir()}
	db, err := sql.Open("sqlite", dir.uri(time.Second, url.Values{"mode": {"rwc"}}))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := migrate(t.Context(), conn, steps()[:1]); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	for _, room := range []string{"den", "lobby"} {
		for seq := range n {
			if _, err := conn.ExecContext(t.Context(), insertAsBefore, room, seq+1, fmt.Sprint(seq), fmt.Sprint("old words ", seq+1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := conn.ExecContext(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// waitIndexed waits until every post is in the search.
func waitIndexed(t *testing.T, s *Store) {
	t.Helper()
	done := make(chan struct{})
	go func() { s.indexing.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("the posts of before are not in the search after a minute")
	}
}

func TestPostsOfBeforeAreSearched(t *testing.T) {
	const n = 2*indexChunk + 50
	dir := before(t, n)
	s := openIn(t, dir.path)
	t.Cleanup(func() { s.Close() })
	wantAppends(t, s) // while it goes on
	waitIndexed(t, s)
	var want []int64
	for seq := int64(n); seq > 0; seq-- {
		want = append(want, seq)
	}
	for _, room := range []string{"den", "lobby"} {
		found, err := s.Search(t.Context(), room, []string{"old", "words"}, math.MaxInt64, 10*n)
		var got []int64
		for _, e := range found {
			got = append(got, e.Seq)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("in %s found %d, %v: %v", room, len(got), err, got)
		}
	}
	if found, err := s.Search(t.Context(), "lobby", []string{"old", "450"}, math.MaxInt64, 10); err != nil || len(found) != 1 || found[0].Seq != n {
		t.Errorf("found %+v, %v, want post 450", found, err)
	}
}

// TestAnOlderBuildWrites: after a return it writes on, and knows nothing of
// search.
func TestAnOlderBuildWrites(t *testing.T) {
	s := openIn(t, t.TempDir())
	t.Cleanup(func() { s.Close() })
	if _, err := s.Append(t.Context(), posts("lobby", "n", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.writer.conn.conn.ExecContext(t.Context(), insertAsBefore, "lobby", 2, "theirs", "said by an older build"); err != nil {
		t.Fatal(err)
	}
	found, err := s.Search(t.Context(), "lobby", []string{"older"}, math.MaxInt64, 10)
	if err != nil || len(found) != 1 || found[0].Seq != 2 {
		t.Errorf("found %+v, %v, want post 2", found, err)
	}
	if _, err := s.Append(t.Context(), []chat.Draft{{Room: "lobby", Kind: "edit", User: chat.User{ID: "u-1", Name: "Ada"}, Nonce: "e", Of: 2, Text: "changed"}}); err != nil {
		t.Fatal(err)
	}
	if found, err := s.Search(t.Context(), "lobby", []string{"changed"}, math.MaxInt64, 10); err != nil || len(found) != 1 {
		t.Errorf("found %+v, %v, want the changed post", found, err)
	}
}
