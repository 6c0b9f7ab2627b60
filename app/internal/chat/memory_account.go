package chat

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Account is [Accounts]'s.
func (m *Memory) Account(ctx context.Context, userID string) (Account, error) {
	return m.account(ctx, func(a Account) bool { return a.User.ID == userID })
}

// AccountByKey is [Accounts]'s.
func (m *Memory) AccountByKey(ctx context.Context, key string) (Account, error) {
	return m.account(ctx, func(a Account) bool { return a.Key == key && key != "" })
}

func (m *Memory) account(ctx context.Context, is func(Account) bool) (Account, error) {
	if err := ctx.Err(); err != nil {
		return Account{}, fmt.Errorf("account: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, a := range m.accounts {
		if is(a) {
			return a, nil
		}
	}
	return Account{}, fmt.Errorf("account: %w", ErrNotFound)
}

// EditAccount is [Accounts]'s.
func (m *Memory) EditAccount(ctx context.Context, userID string, edit func(*Account) error) (Account, error) {
	if err := ctx.Err(); err != nil {
		return Account{}, fmt.Errorf("edit account: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.accounts[userID]
	if !ok {
		a.User.ID = userID
	}
	if err := edit(&a); err != nil {
		return Account{}, fmt.Errorf("edit account: %w", err)
	}
	for id, other := range m.accounts {
		if a.Key != "" && other.Key == a.Key && id != userID {
			return Account{}, fmt.Errorf("edit account: %w", ErrNameKept)
		}
	}
	a.User.ID = userID
	a.CreatedAt, a.BannedAt, a.DeletedAt = AsKept(a.CreatedAt), AsKept(a.BannedAt), AsKept(a.DeletedAt)
	m.accounts[userID] = a
	return a, nil
}

// EachAccount is [Accounts]'s.
func (m *Memory) EachAccount(ctx context.Context, do func(Account) error) error {
	m.mu.RLock()
	all := make([]Account, 0, len(m.accounts))
	for _, a := range m.accounts {
		all = append(all, a)
	}
	m.mu.RUnlock()
	for _, a := range all {
		if err := firstError(ctx.Err, func() error { return do(a) }); err != nil {
			return fmt.Errorf("accounts: %w", err)
		}
	}
	return nil
}

// firstError calls until one fails.
func firstError(calls ...func() error) error {
	for _, call := range calls {
		if err := call(); err != nil {
			return err
		}
	}
	return nil
}

// UserSessions is [Accounts]'s.
func (m *Memory) UserSessions(ctx context.Context, userID string) ([]Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	mine := slices.DeleteFunc(m.liveSessions(), func(s Session) bool { return s.User.ID != userID })
	slices.SortFunc(mine, func(a, b Session) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return mine, nil
}

// UpdateSession is [Accounts]'s.
func (m *Memory) UpdateSession(ctx context.Context, s Session) error {
	if _, err := m.Session(ctx, s.TokenHash); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	was, ok := m.sessions[s.TokenHash]
	if !ok {
		return fmt.Errorf("update session: %w", ErrNotFound)
	}
	was.User.Name, was.SeenAt, was.Agent = s.User.Name, AsKept(s.SeenAt), s.Agent
	was.Retired = was.Retired || s.Retired
	if end := AsKept(s.ExpiresAt); end.Before(was.ExpiresAt) {
		was.ExpiresAt = end
	}
	m.sessions[s.TokenHash] = was
	return nil
}

// DeleteSessions is [Accounts]'s.
func (m *Memory) DeleteSessions(ctx context.Context, userID string, keep ...[32]byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete sessions: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for hash, s := range m.sessions {
		if s.User.ID == userID && !slices.Contains(keep, hash) {
			delete(m.sessions, hash)
		}
	}
	return nil
}

// Anonymise is [Accounts]'s.
func (m *Memory) Anonymise(ctx context.Context, userID, name string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("anonymise: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rooms {
		for i := range r.events {
			if r.events[i].User.ID == userID {
				r.events[i].User.Name = name
			}
		}
	}
	return nil
}

// Tell is [Accounts]'s.
func (m *Memory) Tell(ctx context.Context, subject string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("tell of a change: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changes[subject] = Change{subject, AsKept(m.now()), rand.Int64()}
	for old, c := range m.changes {
		if m.now().Sub(c.At) > ChangesKept {
			delete(m.changes, old)
		}
	}
	return nil
}

// Changes is [Accounts]'s.
func (m *Memory) Changes(ctx context.Context, since time.Time) ([]Change, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("changes: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var all []Change
	for _, c := range m.changes {
		if !c.At.Before(AsKept(since)) {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b Change) int { return a.At.Compare(b.At) })
	return all, nil
}
