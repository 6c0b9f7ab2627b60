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
	id, ok := c[NameKey(name)]
	return ok && id != userID
}

func visit(token string) Visit { return Visit{Token: token, Agent: "Browser/1"} }

func TestGuest(t *testing.T) {
	present := crowd{}
	store := chat.NewMemory()
	a := New(Options{Store: store, Present: present})
	ctx := t.Context()

	token, ann, err := a.SignIn(ctx, visit(""), "Ann")
	if err != nil || len(token) != 32 || ann.Session.User.Name != "Ann" || ann.Session.User.ID == "" || !ann.Guest || ann.Admin {
		t.Fatalf("got %q, %+v, %v", token, ann, err)
	}
	if got := ann.Session.ExpiresAt.Sub(ann.Session.CreatedAt); got != Lifetime {
		t.Errorf("lives %v, want %v", got, Lifetime)
	}
	if got, err := a.Who(ctx, token); err != nil || got.Session.User != ann.Session.User || got.Session.Agent != "Browser/1" {
		t.Errorf("got %+v, %v; want Ann", got, err)
	}
	if _, err := store.Session(ctx, Hash(token)); err != nil {
		t.Errorf("not kept under the token's hash: %v", err)
	}
	present[NameKey("Ann")] = ann.Session.User.ID
	for _, name := range []string{"aNN", "\uff21nn", "Аnn"} {
		var field *wire.Error
		if _, _, err := a.SignIn(ctx, visit(""), name); !errors.Is(err, ErrNameTaken) && !errors.As(err, &field) {
			t.Errorf("%q: got %v, want it to be taken", name, err)
		}
	}
	if _, _, err := a.SignIn(ctx, visit(token), "Ann"); err != nil {
		t.Errorf("one's own name again: %v", err)
	}
	var field *wire.Error
	if _, _, err := a.SignIn(ctx, visit(""), " Ann"); !errors.As(err, &field) {
		t.Errorf("got %v, want a bad field", err)
	}
	if err := a.SignOut(ctx, "never seen"); err != nil {
		t.Errorf("sign out of nothing: %v", err)
	}
}

// The answer to a sign-in may be lost with a killed worker, and a proxy may then
// repeat the request, with the cookie that the client had.
func TestARepeatedSignInIsTheSameUser(t *testing.T) {
	store := chat.NewMemory()
	a := New(Options{Store: store, Present: crowd{}})
	ctx := t.Context()
	old, ann, _ := a.SignIn(ctx, visit(""), "Ann")
	tokens := map[string]bool{old: true}
	for range 3 {
		token, id, err := a.SignIn(ctx, visit(old), "Anna")
		if err != nil || id.Session.User != (chat.User{ID: ann.Session.User.ID, Name: "Anna"}) {
			t.Fatalf("got %+v, %v; want the same user", id, err)
		}
		if tokens[token] {
			t.Error("a token was given twice")
		}
		tokens[token] = true
	}
	if got, err := a.Who(ctx, old); err != nil || got.Session.User.Name != "Anna" || !got.Session.Retired {
		t.Errorf("the old token: got %+v, %v, want Anna for a moment", got, err)
	}
	if left := time.Until(ann.Session.ExpiresAt); left < grace {
		t.Fatal("the session would have ended anyway")
	}
	s, _ := store.Session(ctx, Hash(old))
	if left := time.Until(s.ExpiresAt); left > grace {
		t.Errorf("the old token lives on for %v", left)
	}
	for token := range tokens {
		if token == old {
			continue
		}
		if err := a.SignOut(ctx, token); err != nil {
			t.Fatal(err)
		}
		break
	}
	if _, err := a.Who(ctx, old); !errors.Is(err, ErrNoSession) {
		t.Errorf("signed out, but the old token still holds: %v", err)
	}
}

func TestSessionsExpire(t *testing.T) {
	a := New(Options{Store: chat.NewMemory(), Present: crowd{}})
	a.now = func() time.Time { return time.Now().Add(-Lifetime) }
	token, _, err := a.SignIn(t.Context(), visit(""), "Ann")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Who(t.Context(), token); !errors.Is(err, ErrNoSession) {
		t.Errorf("got %v, want %v", err, ErrNoSession)
	}
}

func TestStoreAway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := New(Options{Store: chat.NewMemory(), Present: crowd{}})
	if _, _, err := a.SignIn(ctx, visit(""), "Ann"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the store's error", err)
	}
	if _, err := a.Who(ctx, "token"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the store's error", err)
	}
}
