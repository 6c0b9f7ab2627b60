package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// writeConn is the connection that writes, with its statements.
type writeConn struct {
	db   *sql.DB
	conn *sql.Conn // the only one of db
	file os.FileInfo

	statements                []*sql.Stmt // all of the following
	begin, commit             *sql.Stmt
	tail, insert, post, event *sql.Stmt
	put, sweep, remove, probe *sql.Stmt

	expired, expire, expiredTo, putRead    *sql.Stmt
	unsearched, searchedFrom, found, index *sql.Stmt
	account, putAccount                    *sql.Stmt
}

// writeCache bounds what it keeps in memory: 512 KiB.
const writeCache = "cache_size(-512)"

// openWriteConn: synchronous=FULL makes every commit wait for the disk. The
// log's size limit takes back what a long read had let it grow to. What is erased
// is overwritten in the pages that are written anyhow (secure_delete), though
// single words of it stay in the search's index until that is merged.
func openWriteConn(ctx context.Context, dir directory, busy time.Duration) (*writeConn, error) {
	db, err := sql.Open("sqlite", dir.uri(busy, url.Values{
		"mode":    {"rw"}, // a database that has vanished is not made anew
		"_sync":   {"FULL"},
		"_pragma": {writeCache, "journal_size_limit(8388608)", "secure_delete(FAST)"},
	}))
	if err != nil {
		return nil, err
	}
	c := &writeConn{db: db}
	if err := c.open(ctx, dir); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *writeConn) open(ctx context.Context, dir directory) (err error) {
	if c.conn, err = c.db.Conn(ctx); err != nil {
		return err
	}
	if c.file, err = os.Stat(dir.database()); err != nil {
		return err
	}
	var mode string
	if err := c.conn.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("%s: %w: the file system allows no write-ahead log (journal mode %s): use a local disk", dir.path, chat.ErrUnavailable, mode)
	}
	if err := migrate(ctx, c.conn, steps()); err != nil {
		return err
	}
	return c.prepare(ctx)
}

func (c *writeConn) prepare(ctx context.Context) error {
	for _, p := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&c.begin, "BEGIN IMMEDIATE"}, // a read that turns into a write could fail at once, with SQLITE_BUSY_SNAPSHOT
		{&c.commit, "COMMIT"},
		{&c.tail, "SELECT seq, at FROM events WHERE room = ? ORDER BY seq DESC LIMIT 1"},
		{&c.insert, `INSERT INTO events (room, ` + columns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (room, author, nonce) DO NOTHING`},
		{&c.post, "SELECT " + columns + " FROM events WHERE room = ? AND author = ? AND nonce = ?"},
		{&c.event, "SELECT " + columns + " FROM events WHERE room = ? AND seq = ?"},
		{&c.put, "INSERT OR REPLACE INTO sessions (" + sessionColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)"},
		{&c.sweep, "DELETE FROM sessions WHERE token_hash IN (SELECT token_hash FROM sessions WHERE expires_at <= ? LIMIT 100)"},
		{&c.remove, "DELETE FROM sessions WHERE token_hash = ?"},
		{&c.expired, "SELECT coalesce((SELECT seq FROM expired WHERE room = ?), 0)"},
		{&c.expire, `UPDATE events SET kind = 'void', name = '', text = '', about = 0, emoji = '', is_on = 0
			WHERE room = ? AND seq > ? AND seq <= ?`},
		{&c.expiredTo, "INSERT OR REPLACE INTO expired (room, seq) VALUES (?, ?)"},
		{&c.putRead, `INSERT INTO reads (user, room, seq) VALUES (?, ?, ?)
			ON CONFLICT (user, room) DO UPDATE SET seq = max(seq, excluded.seq)`},
		{&c.unsearched, unsearchedPosts},
		{&c.searchedFrom, "SELECT min(coalesce((SELECT min(id) FROM searched), 0), 0)"},
		{&c.found, "INSERT INTO searched (id, room, seq) VALUES (?, ?, ?)"},
		{&c.index, "INSERT INTO search (rowid, room, words) VALUES (?, hex(?), ?)"},
		{&c.probe, "INSERT OR REPLACE INTO meta (key, value) VALUES ('probe', ?)"},
		{&c.account, "SELECT " + accountColumns + " FROM accounts WHERE user = ?"},
		{&c.putAccount, "INSERT OR REPLACE INTO accounts (" + accountColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)"},
	} {
		stmt, err := c.conn.PrepareContext(ctx, p.query)
		if err != nil {
			return err
		}
		*p.stmt = stmt
		c.statements = append(c.statements, stmt)
	}
	return nil
}

// transact runs run between BEGIN IMMEDIATE and COMMIT. After an error the
// connection is to be closed, which rolls back.
func (c *writeConn) transact(dir directory, run func(*writeConn) error) error {
	if err := c.inPlace(dir); err != nil {
		return err
	}
	if _, err := c.begin.Exec(); err != nil {
		return err
	}
	if err := run(c); err != nil {
		return err
	}
	_, err := c.commit.Exec()
	return err
}

// inPlace tells whether the file that is open is still the database: a commit
// into a file without a name would be lost with the process.
func (c *writeConn) inPlace(dir directory) error {
	file, err := os.Stat(dir.database())
	if err == nil && os.SameFile(file, c.file) {
		return nil
	}
	return fmt.Errorf("%s: %w: the file was moved or replaced while it was open: put it back or restart", dir.database(), chat.ErrUnavailable)
}

// close ends the statements first: database/sql does not know those of a Conn,
// and SQLite keeps a connection open, unseen, as long as one of them is.
func (c *writeConn) close() error {
	for _, stmt := range c.statements {
		stmt.Close()
	}
	if c.conn != nil {
		c.conn.Close()
	}
	return c.db.Close()
}
