package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// writer runs jobs one after the other, each in a transaction under the lock.
// Its connection and its flag belong to the goroutine in serve; before that and
// after stop, to the caller.
type writer struct {
	dir  directory
	lock *fileLock
	wait time.Duration

	jobs  chan job
	quit  chan struct{} // closed by stop
	ended chan struct{} // closed by serve

	damage atomic.Pointer[error] // the first sign of it; nothing is written any more

	conn   *writeConn // nil: to be connected by the next job
	failed bool       // the last job failed; what it wanted may still be impossible
}

// job is a transaction that somebody waits for.
type job struct {
	ctx   context.Context // the caller's: a job whose caller has left is not begun
	until time.Time       // nor one after this
	run   func(*writeConn) error
	done  chan error // buffered: the caller may have left
}

func newWriter(dir directory, lock *fileLock, wait time.Duration) *writer {
	return &writer{
		dir: dir, lock: lock, wait: wait,
		jobs: make(chan job), quit: make(chan struct{}), ended: make(chan struct{}),
	}
}

// serve runs jobs until stop.
func (w *writer) serve() {
	defer close(w.ended)
	for {
		select {
		case <-w.quit:
			return
		case j := <-w.jobs:
			j.done <- w.transact(j)
		}
	}
}

// stop ends serve, after the job at hand.
func (w *writer) stop() {
	close(w.quit)
	<-w.ended
}

// do has run executed in a transaction and waits for its durable commit. When
// ctx ends first, run may still be executed: it must not touch what the caller
// goes on to use.
func (w *writer) do(ctx context.Context, run func(*writeConn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := job{ctx: ctx, until: time.Now().Add(w.wait), run: run, done: make(chan error, 1)}
	timer := time.NewTimer(w.wait)
	defer timer.Stop()
	select {
	case w.jobs <- j:
	case <-timer.C:
		return fmt.Errorf("%w: %w", chat.ErrUnavailable, w.lock.heldBy())
	case <-ctx.Done():
		return ctx.Err()
	case <-w.quit:
		return fmt.Errorf("%w: the store is closed", chat.ErrUnavailable)
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: whether it was stored is unknown: %w", chat.ErrUnavailable, ctx.Err())
	}
}

// transact runs a job. After a failure the state of the connection is anyone's
// guess, so the next job gets a new one.
func (w *writer) transact(j job) error {
	if err := w.refusal(); err != nil {
		return err
	}
	if err := w.lock.acquire(j.ctx, j.until); err != nil {
		return w.dir.fault(err)
	}
	defer w.lock.release()
	err := w.attempt(j.run)
	w.failed = err != nil
	if err == nil {
		return nil
	}
	w.disconnect()
	return w.noticed(w.dir.fault(err))
}

// attempt does not end with a caller's context: an interrupted commit would
// leave more unknown than a late one.
func (w *writer) attempt(run func(*writeConn) error) error {
	if w.conn == nil {
		if err := w.connect(context.Background()); err != nil {
			return err
		}
	}
	return w.conn.transact(w.dir, run)
}

// refusal is why nothing is written any more, nil if all is well.
func (w *writer) refusal() error {
	if damage := w.damage.Load(); damage != nil {
		return *damage
	}
	return nil
}

// noticed passes err on, and remembers it if it tells of damage. Any goroutine
// may call it.
func (w *writer) noticed(err error) error {
	if errors.Is(err, chat.ErrCorrupt) {
		w.damage.CompareAndSwap(nil, &err)
	}
	return err
}

// connect opens the connection and migrates the database. The lock is held.
func (w *writer) connect(ctx context.Context) error {
	conn, err := openWriteConn(ctx, w.dir, w.wait)
	if err != nil {
		return err
	}
	w.conn = conn
	return nil
}

func (w *writer) disconnect() error {
	if w.conn == nil {
		return nil
	}
	err := w.conn.close()
	w.conn = nil
	return err
}

// writeConn is the connection that writes, with its statements.
type writeConn struct {
	db   *sql.DB
	conn *sql.Conn // the only one of db
	file os.FileInfo

	statements                []*sql.Stmt // all of the following
	begin, commit             *sql.Stmt
	tail, insert, post        *sql.Stmt
	put, sweep, remove, probe *sql.Stmt
}

// openWriteConn: synchronous=FULL makes every commit wait for the disk. The
// log's size limit takes back what a long read had let it grow to.
func openWriteConn(ctx context.Context, dir directory, busy time.Duration) (*writeConn, error) {
	db, err := sql.Open("sqlite", dir.uri(busy, url.Values{
		"mode":    {"rw"}, // a database that has vanished is not made anew
		"_sync":   {"FULL"},
		"_pragma": {writeCache, "journal_size_limit(8388608)"},
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
	if err := migrate(ctx, c.conn); err != nil {
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
		{&c.insert, `INSERT INTO events (room, seq, at, kind, author, name, nonce, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (room, author, nonce) DO NOTHING`},
		{&c.post, "SELECT seq, at, kind, author, name, nonce, text FROM events WHERE room = ? AND author = ? AND nonce = ?"},
		{&c.put, "INSERT OR REPLACE INTO sessions (token_hash, user, name, created_at, expires_at) VALUES (?, ?, ?, ?, ?)"},
		{&c.sweep, "DELETE FROM sessions WHERE token_hash IN (SELECT token_hash FROM sessions WHERE expires_at <= ? LIMIT 100)"},
		{&c.remove, "DELETE FROM sessions WHERE token_hash = ?"},
		{&c.probe, "INSERT OR REPLACE INTO meta (key, value) VALUES ('probe', ?)"},
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
