package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

var _ chat.Archive = (*Store)(nil)

// Exists reports whether there is a database in the directory path. Open would
// make one.
func Exists(path string) bool {
	abs, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	_, err = os.Stat(directory{abs}.database())
	return err == nil
}

// Restore is [chat.Archive]'s. All of events are stored or none.
func (s *Store) Restore(ctx context.Context, events []chat.Event) error {
	events = slices.Clone(events) // the job may outlive the call
	err := s.writer.do(ctx, func(c *writeConn) error {
		b := batch{conn: c, tails: map[string]tail{}}
		for _, e := range events {
			if err := b.restore(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

func (b *batch) restore(e chat.Event) error {
	last, err := b.tail(e.Room)
	if err != nil {
		return err
	}
	if 0 < e.Seq && e.Seq <= last.seq {
		stored, err := scanEvent(e.Room, b.conn.event.QueryRow(e.Room, e.Seq))
		if err != nil {
			return err
		}
		return e.Repeats(stored)
	}
	if err := e.Follows(last.seq, last.at); err != nil {
		return err
	}
	inserted, err := b.conn.insertEvent(e)
	if err != nil {
		return err
	}
	if !inserted {
		return e.StoredElsewhere()
	}
	b.tails[e.Room] = tail{e.Seq, e.At.UnixMilli()}
	return nil
}

// EachSession is [chat.Archive]'s.
func (s *Store) EachSession(ctx context.Context, do func(chat.Session) error) error {
	return eachRow(ctx, s, s.readers.sessions, scanSession, do, s.now().UnixMilli())
}

// Adopt is [chat.Archive]'s.
func (s *Store) Adopt(ctx context.Context, epoch string) error {
	err := s.writer.do(ctx, func(c *writeConn) error {
		var events int
		if err := c.conn.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM events LIMIT 1)").Scan(&events); err != nil {
			return err
		}
		if events > 0 {
			return fmt.Errorf("epoch %s %w: there are events", epoch, chat.ErrConflict)
		}
		_, err := c.conn.ExecContext(ctx, "UPDATE meta SET value = ? WHERE key = 'epoch'", epoch)
		return err
	})
	if err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	s.epoch.Store(&epoch)
	return nil
}
