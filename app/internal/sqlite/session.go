package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// PutSession is [chat.Store]'s. It also deletes some of the sessions that have
// ended, more than one put can add.
func (s *Store) PutSession(ctx context.Context, session chat.Session) error {
	err := s.writer.do(ctx, func(c *writeConn) error {
		if _, err := c.sweep.Exec(s.now().UnixMilli()); err != nil {
			return err
		}
		_, err := c.put.Exec(session.TokenHash[:], session.User.ID, session.User.Name,
			session.CreatedAt.UnixMilli(), session.ExpiresAt.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("put session: %w", err)
	}
	return nil
}

// Session is [chat.Store]'s.
func (s *Store) Session(ctx context.Context, tokenHash [32]byte) (chat.Session, error) {
	session := chat.Session{TokenHash: tokenHash}
	var created, expires int64
	err := s.readers.session.QueryRowContext(ctx, tokenHash[:], s.now().UnixMilli()).
		Scan(&session.User.ID, &session.User.Name, &created, &expires)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return chat.Session{}, fmt.Errorf("session: %w", chat.ErrNotFound)
	case err != nil:
		return chat.Session{}, s.readFault(ctx, err)
	}
	session.CreatedAt, session.ExpiresAt = milliseconds(created), milliseconds(expires)
	return session, nil
}

// DeleteSession is [chat.Store]'s.
func (s *Store) DeleteSession(ctx context.Context, tokenHash [32]byte) error {
	err := s.writer.do(ctx, func(c *writeConn) error {
		_, err := c.remove.Exec(tokenHash[:])
		return err
	})
	if err != nil {
		return fmt.Errorf("delete session: %w", err)
	}
	return nil
}
