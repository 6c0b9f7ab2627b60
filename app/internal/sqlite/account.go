package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// accountStep adds what is kept of users, and what is told of changes to them. An
// older build makes sessions without the further columns, and knows no accounts.
const accountStep = `
	ALTER TABLE sessions ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0; -- Unix milliseconds, 0 for never
	ALTER TABLE sessions ADD COLUMN agent   TEXT    NOT NULL DEFAULT '';
	ALTER TABLE sessions ADD COLUMN retired INTEGER NOT NULL DEFAULT 0;
	CREATE INDEX sessions_user ON sessions (user);
	CREATE TABLE accounts (
		user       TEXT    NOT NULL PRIMARY KEY,
		name       TEXT    NOT NULL,
		name_key   TEXT    UNIQUE, -- NULL keeps no name
		password   TEXT    NOT NULL,
		admin      INTEGER NOT NULL,
		created_at INTEGER NOT NULL, -- Unix milliseconds, 0 for never; so are the others
		banned_at  INTEGER NOT NULL,
		deleted_at INTEGER NOT NULL
	) STRICT, WITHOUT ROWID;
	CREATE TABLE changes (
		subject TEXT    NOT NULL PRIMARY KEY,
		at      INTEGER NOT NULL, -- Unix milliseconds
		mark    INTEGER NOT NULL  -- random: two of one moment differ
	) STRICT, WITHOUT ROWID;
	CREATE INDEX changes_at ON changes (at);`

const accountColumns = "user, name, name_key, password, admin, created_at, banned_at, deleted_at"

// scanAccount reads a row of accountColumns.
func scanAccount(row interface{ Scan(...any) error }) (a chat.Account, err error) {
	var key sql.NullString
	var created, banned, deleted int64
	err = row.Scan(&a.User.ID, &a.User.Name, &key, &a.Password, &a.Admin, &created, &banned, &deleted)
	a.Key = key.String
	a.CreatedAt, a.BannedAt, a.DeletedAt = chat.Moment(created), chat.Moment(banned), chat.Moment(deleted)
	return a, err
}

// Account is [chat.Accounts]'s.
func (s *Store) Account(ctx context.Context, userID string) (chat.Account, error) {
	return s.readAccount(ctx, s.readers.account, userID)
}

// AccountByKey is [chat.Accounts]'s.
func (s *Store) AccountByKey(ctx context.Context, key string) (chat.Account, error) {
	return s.readAccount(ctx, s.readers.accountByKey, key)
}

func (s *Store) readAccount(ctx context.Context, query *sql.Stmt, of string) (chat.Account, error) {
	a, err := scanAccount(query.QueryRowContext(ctx, of))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return chat.Account{}, fmt.Errorf("account: %w", chat.ErrNotFound)
	case err != nil:
		return chat.Account{}, s.readFault(ctx, err)
	}
	return a, nil
}

// EditAccount is [chat.Accounts]'s.
func (s *Store) EditAccount(ctx context.Context, userID string, edit func(*chat.Account) error) (chat.Account, error) {
	var edited chat.Account
	var refused error // by edit, or because of the name: no trouble of the store's
	err := s.writer.do(ctx, func(c *writeConn) (err error) {
		edited, refused, err = c.editAccount(userID, edit)
		return err
	})
	if err != nil {
		return chat.Account{}, fmt.Errorf("edit account: %w", err)
	}
	if refused != nil {
		return chat.Account{}, fmt.Errorf("edit account: %w", refused)
	}
	return edited, nil
}

func (c *writeConn) editAccount(userID string, edit func(*chat.Account) error) (a chat.Account, refused, err error) {
	a, err = scanAccount(c.account.QueryRow(userID))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return a, nil, err
	}
	a.User.ID = userID
	if refused := edit(&a); refused != nil {
		return a, refused, nil
	}
	a.User.ID = userID
	var holder string
	err = c.conn.QueryRowContext(context.Background(), "SELECT user FROM accounts WHERE name_key = ?", a.Key).Scan(&holder)
	switch {
	case err == nil && holder != userID && a.Key != "":
		return a, chat.ErrNameKept, nil
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return a, nil, err
	}
	_, err = c.putAccount.Exec(userID, a.User.Name, sql.NullString{String: a.Key, Valid: a.Key != ""}, a.Password, a.Admin,
		chat.Millis(a.CreatedAt), chat.Millis(a.BannedAt), chat.Millis(a.DeletedAt))
	a.CreatedAt, a.BannedAt, a.DeletedAt = chat.AsKept(a.CreatedAt), chat.AsKept(a.BannedAt), chat.AsKept(a.DeletedAt)
	return a, nil, err
}

// EachAccount is [chat.Accounts]'s.
func (s *Store) EachAccount(ctx context.Context, do func(chat.Account) error) error {
	return eachRow(ctx, s, s.readers.accounts, scanAccount, do)
}

// eachRow calls do with what every row of a query says.
func eachRow[T any](ctx context.Context, s *Store, query *sql.Stmt, scan func(interface{ Scan(...any) error }) (T, error), do func(T) error, args ...any) error {
	rows, err := query.QueryContext(ctx, args...)
	if err != nil {
		return s.readFault(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		t, err := scan(rows)
		if err != nil {
			return s.readFault(ctx, err)
		}
		if err := do(t); err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	return s.readFault(ctx, rows.Err())
}

// UserSessions is [chat.Accounts]'s.
func (s *Store) UserSessions(ctx context.Context, userID string) (all []chat.Session, err error) {
	err = eachRow(ctx, s, s.readers.userSessions, scanSession, func(session chat.Session) error {
		all = append(all, session)
		return nil
	}, userID, s.now().UnixMilli())
	return all, err
}

// UpdateSession is [chat.Accounts]'s.
func (s *Store) UpdateSession(ctx context.Context, session chat.Session) error {
	var updated int64
	err := s.writer.do(ctx, func(c *writeConn) error {
		result, err := c.conn.ExecContext(context.Background(), `UPDATE sessions
			SET name = ?, expires_at = min(expires_at, ?), seen_at = ?, agent = ?, retired = retired OR ?
			WHERE token_hash = ? AND expires_at > ?`,
			session.User.Name, session.ExpiresAt.UnixMilli(), chat.Millis(session.SeenAt), session.Agent, session.Retired,
			session.TokenHash[:], s.now().UnixMilli())
		if err == nil {
			updated, err = result.RowsAffected()
		}
		return err
	})
	if err == nil && updated == 0 {
		err = chat.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("update session: %w", err)
	}
	return nil
}

// DeleteSessions is [chat.Accounts]'s.
func (s *Store) DeleteSessions(ctx context.Context, userID string, keep ...[32]byte) error {
	args := []any{userID}
	for _, hash := range slices.Clone(keep) {
		args = append(args, hash[:])
	}
	query := "DELETE FROM sessions WHERE user = ? AND token_hash NOT IN (" + strings.TrimSuffix(strings.Repeat("?,", len(keep)), ",") + ")"
	return s.exec(ctx, "delete sessions", query, args...)
}

// Anonymise is [chat.Accounts]'s. It finds the events by the index of nonces, room
// by room.
func (s *Store) Anonymise(ctx context.Context, userID, name string) error {
	rooms, err := s.Rooms(ctx)
	if err != nil {
		return fmt.Errorf("anonymise: %w", err)
	}
	for _, r := range rooms {
		err := s.exec(ctx, "anonymise", "UPDATE events SET name = ? WHERE room = ? AND author = ? AND kind <> 'void'", name, r.Room, userID)
		if err != nil {
			return err
		}
	}
	return nil
}

// Tell is [chat.Accounts]'s.
func (s *Store) Tell(ctx context.Context, subject string) error {
	now := s.now()
	err := s.writer.do(ctx, func(c *writeConn) error {
		old := now.Add(-chat.ChangesKept).UnixMilli()
		if _, err := c.conn.ExecContext(context.Background(), "DELETE FROM changes WHERE at < ?", old); err != nil {
			return err
		}
		_, err := c.conn.ExecContext(context.Background(), "INSERT OR REPLACE INTO changes (subject, at, mark) VALUES (?, ?, ?)", subject, now.UnixMilli(), rand.Int64())
		return err
	})
	if err != nil {
		return fmt.Errorf("tell of a change: %w", err)
	}
	return nil
}

// exec runs one statement in a transaction of its own.
func (s *Store) exec(ctx context.Context, doing, query string, args ...any) error {
	err := s.writer.do(ctx, func(c *writeConn) error {
		_, err := c.conn.ExecContext(context.Background(), query, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// Changes is [chat.Accounts]'s.
func (s *Store) Changes(ctx context.Context, since time.Time) (all []chat.Change, err error) {
	scan := func(row interface{ Scan(...any) error }) (c chat.Change, err error) {
		var at int64
		err = row.Scan(&c.Subject, &at, &c.Mark)
		c.At = chat.Moment(at)
		return c, err
	}
	err = eachRow(ctx, s, s.readers.changes, scan, func(c chat.Change) error {
		all = append(all, c)
		return nil
	}, since.UnixMilli())
	return all, err
}
