package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"os"
	"testing"
)

// edit changes a closed database by hand.
func edit(t *testing.T, dir, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", directory{dir}.database())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), statements); err != nil {
		t.Fatal(err)
	}
}

func TestSchemaVersions(t *testing.T) {
	t.Run("a later step is accepted, while open too", func(t *testing.T) {
		dir := database(t, 10)
		s := openIn(t, dir)
		t.Cleanup(func() { s.Close() })
		edit(t, dir, `BEGIN IMMEDIATE;
			ALTER TABLE events ADD COLUMN edited INTEGER NOT NULL DEFAULT 0;
			CREATE TABLE reactions (room TEXT NOT NULL, seq INTEGER NOT NULL) STRICT;
			PRAGMA user_version = 1017; COMMIT`)
		wantAppends(t, s)
		old := openIn(t, dir)
		t.Cleanup(func() { old.Close() })
		wantAppends(t, old)
		found, err := readSchema(t.Context(), old.readers.db)
		if err != nil || found.version != 1017 {
			t.Errorf("an older build left schema %+v, %v, want version 1017", found, err)
		}
	})
	t.Run("steps are taken once, in order, and as a whole", func(t *testing.T) {
		dir := database(t, 10)
		s := openIn(t, dir)
		t.Cleanup(func() { s.Close() })
		good := append(steps(), "CREATE TABLE reactions (n INTEGER) STRICT", "ALTER TABLE reactions ADD COLUMN m INTEGER")
		now := int64(generation*perGeneration + len(steps()))
		bad := append(good, "CREATE TABLE pins (n INTEGER) STRICT", "no statement")
		for _, c := range []struct {
			steps   []string
			version int64
			fails   bool
		}{
			{good[:len(steps())+1], now + 1, false},
			{good, now + 2, false},
			{good, now + 2, false},
			{bad, now + 2, true},
			{steps(), now + 2, false}, // an older build
		} {
			if err := migrate(t.Context(), s.writer.conn.conn, c.steps); (err != nil) != c.fails {
				t.Fatalf("migrate: %v", err)
			}
			found, err := readSchema(t.Context(), s.readers.db)
			if err != nil || found.version != c.version {
				t.Errorf("schema = %+v, %v, want version %d", found, err, c.version)
			}
		}
		var pins int
		if err := s.readers.db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name = 'pins'").Scan(&pins); err != nil || pins != 0 {
			t.Errorf("a migration that failed left %d tables, %v", pins, err)
		}
		wantAppends(t, s)
	})
	t.Run("another generation is refused", func(t *testing.T) {
		dir := database(t, 10)
		edit(t, dir, "PRAGMA user_version = 2000")
		wantRefused(t, dir, nil, "schema is 2000", "1000 to 1999", "newer")
	})
	t.Run("another program's database is refused", func(t *testing.T) {
		dir := t.TempDir()
		edit(t, dir, "CREATE TABLE accounts (id INTEGER)")
		wantRefused(t, dir, nil, "another program", "choose another data directory")
	})
	t.Run("a creation that was cut short is completed", func(t *testing.T) {
		for _, statements := range []string{"", "PRAGMA journal_mode = WAL"} {
			dir := t.TempDir()
			if err := os.WriteFile(directory{dir}.database(), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			edit(t, dir, statements)
			s := openIn(t, dir)
			wantAppends(t, s)
			s.Close()
		}
	})
}

func TestEpochsAre128Bits(t *testing.T) {
	s := openIn(t, t.TempDir())
	defer s.Close()
	if b, err := hex.DecodeString(s.Epoch()); err != nil || len(b) != 16 {
		t.Errorf("the epoch is %q", s.Epoch())
	}
}
