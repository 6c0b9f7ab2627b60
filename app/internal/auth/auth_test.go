package auth

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// crowd is who is connected: user ids by folded name.
type crowd map[string]string

func (c crowd) NameTaken(name, userID string) bool {
	id, ok := c[chat.FoldName(name)]
	return ok && id != userID
}

func TestGuest(t *testing.T) {
	present := crowd{}
	store := chat.NewMemory()
	a := New(store, present)
	ctx := t.Context()

	token, s, err := a.SignIn(ctx, "", "Ann")
	if err != nil || len(token) != 32 || s.User.Name != "Ann" || s.User.ID == "" {
		t.Fatalf("got %q, %+v, %v", token, s, err)
	}
	if got := s.ExpiresAt.Sub(s.CreatedAt); got != Lifetime {
		t.Errorf("lives %v, want %v", got, Lifetime)
	}
	if got, err := a.Session(ctx, token); err != nil || got.User != s.User {
		t.Errorf("got %+v, %v; want Ann", got, err)
	}
	if _, err := store.Session(ctx, Hash(token)); err != nil {
		t.Errorf("not kept under the token's hash: %v", err)
	}

	present[chat.FoldName("Ann")] = s.User.ID
	if _, _, err := a.SignIn(ctx, "", "aNN"); !errors.Is(err, ErrNameTaken) {
		t.Errorf("got %v, want %v", err, ErrNameTaken)
	}
	next, renamed, err := a.SignIn(ctx, token, "Anna")
	if err != nil || renamed.User.ID != s.User.ID || renamed.User.Name != "Anna" || next == token {
		t.Errorf("got %+v, %v; want the same user under a new token", renamed, err)
	}
	if _, err := a.Session(ctx, token); !errors.Is(err, ErrNoSession) {
		t.Errorf("the old token: got %v, want %v", err, ErrNoSession)
	}
	if _, _, err := a.SignIn(ctx, next, "Ann"); err != nil {
		t.Errorf("one's own name again: %v", err)
	}
	var field *wire.Error
	if _, _, err := a.SignIn(ctx, "", " Ann"); !errors.As(err, &field) {
		t.Errorf("got %v, want a bad field", err)
	}
	if err := a.SignOut(ctx, "never seen"); err != nil {
		t.Errorf("sign out of nothing: %v", err)
	}
}

func TestSessionsExpire(t *testing.T) {
	a := New(chat.NewMemory(), crowd{})
	a.now = func() time.Time { return time.Now().Add(-Lifetime) }
	token, _, err := a.SignIn(t.Context(), "", "Ann")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Session(t.Context(), token); !errors.Is(err, ErrNoSession) {
		t.Errorf("got %v, want %v", err, ErrNoSession)
	}
}

func TestStoreAway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := New(chat.NewMemory(), crowd{})
	if _, _, err := a.SignIn(ctx, "", "Ann"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the store's error", err)
	}
	if _, err := a.Session(ctx, "token"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the store's error", err)
	}
}
