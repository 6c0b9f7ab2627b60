package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// Options of a [Store]. The zero value holds the defaults.
type Options struct {
	// LockWait is how long a write, or Open, waits for the other processes on
	// the directory before it ends in chat.ErrUnavailable. 0 means 5 s.
	LockWait time.Duration
	// Now is the clock for the times of events and the end of sessions. nil
	// means time.Now.
	Now func() time.Time
}

// closeWait is how long Close waits for the right to clean up at most.
const closeWait = time.Second

// Store is a [chat.Store] in a directory of this machine. Other processes may
// have the same directory open. Beyond the interface's guarantees:
//
//  1. A write waits at most Options.LockWait for the others, and its error then
//     names who holds them all up.
//  2. Reads never wait for writes.
//  3. A batch is atomic: whatever happens, all of it is stored or nothing.
//  4. Once damage was seen nothing is written any more: every write is
//     chat.ErrCorrupt until the next Open.
//
// Its methods may be called concurrently; after Close they fail.
type Store struct {
	dir     directory
	now     func() time.Time
	epoch   atomic.Pointer[string]
	readers *readers
	writer  *writer

	stopIndexing context.CancelFunc
	indexing     sync.WaitGroup
}

var _ chat.Store = (*Store)(nil)

// Open opens the store in the directory path, makes directory (mode 0700) and
// database where they are missing, and migrates an older one. Its errors are
// one line: what is wrong, where, and what would be right. They wrap
// chat.ErrUnavailable when another process kept the directory locked for
// Options.LockWait, chat.ErrFull on a disk without space for what Open has to
// make, and chat.ErrCorrupt on a damaged database, which is left as it is.
func Open(ctx context.Context, path string, opts Options) (*Store, error) {
	if opts.LockWait == 0 {
		opts.LockWait = 5 * time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s, err := lockAndOpen(ctx, path, opts)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

// lockAndOpen keeps the lock while it opens: two that make or migrate one
// database at once would get SQLITE_BUSY at once.
func lockAndOpen(ctx context.Context, path string, opts Options) (*Store, error) {
	dir, err := makeDirectory(path)
	if err != nil {
		return nil, err
	}
	lock, err := openLock(dir.lock())
	if err != nil {
		return nil, dir.unusable(err)
	}
	if err := lock.acquire(ctx, time.Now().Add(opts.LockWait)); err != nil {
		lock.close()
		return nil, dir.fault(err)
	}
	s, err := open(ctx, dir, lock, opts)
	if err != nil {
		lock.close()
		return nil, err
	}
	lock.release()
	go s.writer.serve()
	indexing, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopIndexing = stop
	s.indexing.Go(func() { s.indexAll(indexing) })
	return s, nil
}

// open looks at the database through a read-only connection first, so that
// nothing is written to one that is damaged or somebody else's.
func open(ctx context.Context, dir directory, lock *fileLock, opts Options) (_ *Store, err error) {
	if err := dir.prepare(); err != nil {
		return nil, err
	}
	s := &Store{dir: dir, now: opts.Now}
	if s.readers, err = openReaders(dir, opts.LockWait); err != nil {
		return nil, err
	}
	s.writer = newWriter(dir, lock, opts.LockWait)
	if err := s.load(ctx); err != nil {
		s.closeConnections(err)
		return nil, err
	}
	return s, nil
}

func (s *Store) load(ctx context.Context) error {
	found, err := readSchema(ctx, s.readers.db)
	if err != nil {
		return s.dir.fault(err)
	}
	if err := found.check(); err != nil {
		return fmt.Errorf("%s: %w", s.dir.database(), err)
	}
	if err := s.writer.connect(ctx); err != nil {
		return s.dir.fault(err)
	}
	if err := s.readers.prepare(ctx); err != nil {
		return s.dir.fault(err)
	}
	var epoch string
	err = s.readers.db.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'epoch'").Scan(&epoch)
	s.epoch.Store(&epoch)
	if errors.Is(err, sql.ErrNoRows) {
		return s.dir.damaged(errors.New("it has no epoch"))
	}
	return s.dir.fault(err)
}

// Epoch is [chat.Store]'s.
func (s *Store) Epoch() string { return *s.epoch.Load() }

// Ping is [chat.Store]'s. It asks the file system for permission and space and
// takes the right to write, but writes only if the last write failed: then
// nothing less would show that the trouble is over.
func (s *Store) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	err := s.dir.writable()
	if err == nil {
		err = s.writer.do(ctx, func(c *writeConn) error {
			if !s.writer.failed {
				return nil
			}
			_, err := c.probe.Exec(s.now().UnixMilli())
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

// Close is [chat.Store]'s. The last process to close folds the write-ahead log
// into the database, so that this one file is the whole store.
func (s *Store) Close() error {
	s.stopIndexing()
	s.indexing.Wait()
	s.writer.stop()
	// Whoever hangs with the lock has the database open too: then there is
	// nothing to fold, and no reason to wait long.
	s.writer.lock.acquire(context.Background(), time.Now().Add(min(s.writer.wait, closeWait)))
	err := errors.Join(s.closeConnections(s.writer.refusal()), s.writer.lock.close())
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// closeConnections closes the writing connection last, which folds the log into
// the database, or first, which does not: after trouble nothing is touched.
func (s *Store) closeConnections(trouble error) error {
	if trouble != nil {
		return errors.Join(s.writer.disconnect(), s.readers.db.Close())
	}
	return errors.Join(s.readers.db.Close(), s.writer.disconnect())
}
