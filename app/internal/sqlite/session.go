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
			session.CreatedAt.UnixMilli(), session.ExpiresAt.UnixMilli(),
			chat.Millis(session.SeenAt), session.Agent, session.Retired)
		return err
	})
	if err != nil {
		return fmt.Errorf("put session: %w", err)
	}
	return nil
}

// Session is [chat.Store]'s.
func (s *Store) Session(ctx context.Context, tokenHash [32]byte) (chat.Session, error) {
	session, err := scanSession(s.readers.session.QueryRowContext(ctx, tokenHash[:], s.now().UnixMilli()))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return chat.Session{}, fmt.Errorf("session: %w", chat.ErrNotFound)
	case err != nil:
		return chat.Session{}, s.readFault(ctx, err)
	}
	return session, nil
}

const sessionColumns = "token_hash, user, name, created_at, expires_at, seen_at, agent, retired"

// scanSession reads a row of sessionColumns.
func scanSession(row interface{ Scan(...any) error }) (s chat.Session, err error) {
	var hash []byte
	var created, expires, seen int64
	err = row.Scan(&hash, &s.User.ID, &s.User.Name, &created, &expires, &seen, &s.Agent, &s.Retired)
	copy(s.TokenHash[:], hash)
	s.CreatedAt, s.ExpiresAt, s.SeenAt = chat.Moment(created), chat.Moment(expires), chat.Moment(seen)
	return s, err
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
