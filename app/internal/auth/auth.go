// Package auth knows who somebody is: guests pick a name and hold a session,
// whose token only they know.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// Lifetime of a session.
const Lifetime = 30 * 24 * time.Hour

// Sizes of what is drawn at random, in bytes.
const (
	tokenBytes = 24
	idBytes    = 12
)

var (
	// ErrNoSession: the token belongs to no session, or it has expired.
	ErrNoSession = errors.New("no session: pick a name first")
	// ErrNameTaken: somebody else talks under that name right now.
	ErrNameTaken = errors.New("name taken")
)

// Present knows who is connected. [chat.Hub] implements it.
type Present interface {
	// NameTaken reports whether a user other than userID is connected under a
	// name that people would take for the same.
	NameTaken(name, userID string) bool
}

// Auth makes, finds and ends sessions. Its methods may be called concurrently.
type Auth struct {
	store   chat.Store
	present Present
	now     func() time.Time
}

// New returns an Auth on a store.
func New(s chat.Store, p Present) *Auth { return &Auth{store: s, present: p, now: time.Now} }

// Hash is what is kept of a token: whoever reads the store cannot sign in with
// it.
func Hash(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// SignIn starts a session under a name and returns its token. With old, the
// token of a session ("" for none), the user stays the same and the old token
// ends. A bad name is a *[wire.Error], one in use wraps [ErrNameTaken].
func (a *Auth) SignIn(ctx context.Context, old, name string) (token string, s chat.Session, err error) {
	if err := wire.ValidName(name); err != nil {
		return "", chat.Session{}, err
	}
	user, err := a.userOf(ctx, old)
	if err != nil {
		return "", chat.Session{}, err
	}
	if a.present.NameTaken(name, user.ID) {
		return "", chat.Session{}, fmt.Errorf("somebody else is here as %q, pick another name: %w", name, ErrNameTaken)
	}
	user.Name = name
	token = random(tokenBytes)
	if s, err = a.put(ctx, token, user); err != nil {
		return "", chat.Session{}, err
	}
	return token, s, a.SignOut(ctx, old)
}

// userOf returns the user of an old token, or a new one.
func (a *Auth) userOf(ctx context.Context, token string) (chat.User, error) {
	s, err := a.Session(ctx, token)
	if errors.Is(err, ErrNoSession) {
		return chat.User{ID: random(idBytes)}, nil
	}
	return s.User, err
}

func (a *Auth) put(ctx context.Context, token string, u chat.User) (chat.Session, error) {
	now := a.now()
	s := chat.Session{TokenHash: Hash(token), User: u, CreatedAt: now, ExpiresAt: now.Add(Lifetime)}
	if err := a.store.PutSession(ctx, s); err != nil {
		return chat.Session{}, fmt.Errorf("keep session: %w", err)
	}
	return s, nil
}

// Session returns the session of a token; ErrNoSession wrapped if there is
// none.
func (a *Auth) Session(ctx context.Context, token string) (chat.Session, error) {
	if token == "" {
		return chat.Session{}, ErrNoSession
	}
	s, err := a.store.Session(ctx, Hash(token))
	if errors.Is(err, chat.ErrNotFound) {
		return chat.Session{}, ErrNoSession
	}
	if err != nil {
		return chat.Session{}, fmt.Errorf("find session: %w", err)
	}
	return s, nil
}

// SignOut ends the session of a token; none is no error.
func (a *Auth) SignOut(ctx context.Context, token string) error {
	if token == "" {
		return nil
	}
	if err := a.store.DeleteSession(ctx, Hash(token)); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// random returns n random bytes as text that is safe in a cookie.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: it ends the process instead
	return base64.RawURLEncoding.EncodeToString(b)
}
