package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
)

// applicationID marks a database as ours (PRAGMA application_id): "SmpT".
const applicationID = 0x536d7054

// generation counts the schemas that an older build cannot use.
const generation = 1

// perGeneration is how many additive steps user_version has room for.
const perGeneration = 1000

// steps are the additive migrations of this generation, in order. One that
// has been released never changes.
func steps() []string {
	return []string{
		`CREATE TABLE meta (
			key   TEXT NOT NULL PRIMARY KEY,
			value TEXT NOT NULL
		) STRICT, WITHOUT ROWID;
		CREATE TABLE events (
			room   TEXT    NOT NULL,
			seq    INTEGER NOT NULL,
			at     INTEGER NOT NULL, -- Unix milliseconds
			kind   TEXT    NOT NULL,
			author TEXT    NOT NULL,
			name   TEXT    NOT NULL, -- of the author, at the time
			nonce  TEXT    NOT NULL,
			text   TEXT    NOT NULL,
			PRIMARY KEY (room, seq)
		) STRICT, WITHOUT ROWID;
		CREATE UNIQUE INDEX events_post ON events (room, author, nonce);
		CREATE TABLE sessions (
			token_hash BLOB    NOT NULL PRIMARY KEY,
			user       TEXT    NOT NULL,
			name       TEXT    NOT NULL,
			created_at INTEGER NOT NULL, -- Unix milliseconds
			expires_at INTEGER NOT NULL
		) STRICT, WITHOUT ROWID;
		CREATE INDEX sessions_expiry ON sessions (expires_at);`,

		// What events are about, read markers, limits and search. The triggers keep
		// it all true whichever build writes; one that knows nothing of it, too.
		`ALTER TABLE events ADD COLUMN about INTEGER NOT NULL DEFAULT 0; -- the seq of a post
		ALTER TABLE events ADD COLUMN emoji TEXT NOT NULL DEFAULT '';
		ALTER TABLE events ADD COLUMN is_on INTEGER NOT NULL DEFAULT 0;
		CREATE INDEX events_about ON events (room, about, seq) WHERE about > 0;
		CREATE INDEX events_posts ON events (room, seq) WHERE kind = 'post';
		CREATE TABLE expired (
			room TEXT    NOT NULL PRIMARY KEY,
			seq  INTEGER NOT NULL -- everything up to there is void
		) STRICT, WITHOUT ROWID;
		CREATE TABLE reads (
			user TEXT    NOT NULL,
			room TEXT    NOT NULL,
			seq  INTEGER NOT NULL,
			PRIMARY KEY (user, room)
		) STRICT, WITHOUT ROWID;
		CREATE TABLE searched ( -- the posts in search; within a room ids ascend with seqs
			id   INTEGER PRIMARY KEY,
			room TEXT    NOT NULL,
			seq  INTEGER NOT NULL,
			UNIQUE (room, seq)
		) STRICT;
		CREATE VIRTUAL TABLE search USING fts5 (
			room, words, content = '', contentless_delete = 1,
			tokenize = "unicode61 remove_diacritics 0 categories 'L* N* M*'"
		);
		CREATE TRIGGER post_inserted AFTER INSERT ON events WHEN NEW.kind = 'post' BEGIN
			INSERT INTO searched (room, seq) VALUES (NEW.room, NEW.seq);
			INSERT INTO search (rowid, room, words)
				SELECT id, hex(room), NEW.text FROM searched WHERE room = NEW.room AND seq = NEW.seq;
		END;
		CREATE TRIGGER edit_inserted AFTER INSERT ON events WHEN NEW.kind = 'edit' AND NEW.about > 0 BEGIN
			UPDATE events SET text = '' WHERE room = NEW.room AND seq = NEW.seq
				AND EXISTS (SELECT 1 FROM events WHERE room = NEW.room AND about = NEW.about AND about > 0 AND kind = 'del');
			INSERT OR REPLACE INTO search (rowid, room, words)
				SELECT searched.id, hex(searched.room), NEW.text FROM searched
				JOIN events AS post ON post.room = searched.room AND post.seq = searched.seq
				WHERE searched.room = NEW.room AND searched.seq = NEW.about AND post.author = NEW.author
				AND NOT EXISTS (SELECT 1 FROM events WHERE room = NEW.room AND about = NEW.about AND about > 0 AND kind = 'del');
		END;
		CREATE TRIGGER del_inserted AFTER INSERT ON events WHEN NEW.kind = 'del' AND NEW.about > 0 BEGIN
			UPDATE events SET text = '' WHERE room = NEW.room AND seq = NEW.about;
			UPDATE events SET text = '' WHERE room = NEW.room AND about = NEW.about AND about > 0 AND kind = 'edit';
			DELETE FROM search WHERE rowid = (SELECT id FROM searched WHERE room = NEW.room AND seq = NEW.about);
		END;
		CREATE TRIGGER post_voided AFTER UPDATE OF kind ON events WHEN OLD.kind = 'post' AND NEW.kind = 'void' BEGIN
			DELETE FROM search WHERE rowid = (SELECT id FROM searched WHERE room = OLD.room AND seq = OLD.seq);
			DELETE FROM searched WHERE room = OLD.room AND seq = OLD.seq;
		END;`,
		accountStep,
	}
}

// schema is what a database says of itself.
type schema struct {
	application int64
	version     int64
	tables      int64
}

// readSchema reads page 1 and the table of tables, and so finds a file that is
// no database.
func readSchema(ctx context.Context, q querier) (schema, error) {
	var s schema
	err := q.QueryRowContext(ctx, `SELECT
		(SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version),
		(SELECT count(*) FROM sqlite_schema)`).Scan(&s.application, &s.version, &s.tables)
	return s, err
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// check says why this build cannot use a database, nil if it can.
func (s schema) check() error {
	switch {
	case s == schema{}: // new, or its creation was cut short
		return nil
	case s.application != applicationID:
		return fmt.Errorf("it is the database of another program: choose another data directory")
	case s.version/perGeneration != generation:
		return fmt.Errorf("its schema is %d, this build understands %d to %d: use the build that wrote it, or a newer one",
			s.version, generation*perGeneration, (generation+1)*perGeneration-1)
	default:
		return nil
	}
}

// migrate brings a database that passes check to the last of steps, in one
// transaction. The caller holds the lock.
func migrate(ctx context.Context, conn *sql.Conn, steps []string) error {
	s, err := readSchema(ctx, conn)
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	done := max(s.version-generation*perGeneration, 0)
	if done >= int64(len(steps)) {
		return nil
	}
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := apply(ctx, conn, s, steps[done:]); err != nil {
		conn.ExecContext(ctx, "ROLLBACK") // may have happened by itself; the caller closes the connection
		return err
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

func apply(ctx context.Context, conn *sql.Conn, s schema, todo []string) error {
	for _, step := range todo {
		if _, err := conn.ExecContext(ctx, step); err != nil {
			return err
		}
	}
	if s == (schema{}) {
		if _, err := conn.ExecContext(ctx, "INSERT INTO meta (key, value) VALUES ('epoch', ?)", newEpoch()); err != nil {
			return err
		}
	}
	version := max(s.version, generation*perGeneration) + int64(len(todo))
	_, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, version))
	return err
}

// newEpoch names a log: 128 random bits in hex.
func newEpoch() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: it ends the process instead
	return hex.EncodeToString(b[:])
}
