package auth

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// meanwhile is a store in which something happens just before a session is kept.
type meanwhile struct {
	chat.Store
	happens func()
}

func (m *meanwhile) PutSession(ctx context.Context, s chat.Session) error {
	if do := m.happens; do != nil {
		m.happens = nil
		do()
	}
	return m.Store.PutSession(ctx, s)
}

// keeper returns an Auth in which Ann keeps her name, and her token.
func keeper(t *testing.T) (*Auth, *meanwhile, string) {
	t.Helper()
	store := &meanwhile{Store: chat.NewMemory()}
	a := New(Options{Store: store, Present: crowd{}})
	token, _, err := a.SignIn(t.Context(), visit(""), "Ann")
	if err != nil {
		t.Fatal(err)
	}
	if token, _, err = a.Keep(t.Context(), visit(token), goodPassword, ""); err != nil {
		t.Fatal(err)
	}
	return a, store, token
}

// Whoever changes a password that others know wants them out: also one who is just
// signing in with it.
func TestASignInDoesNotOutliveItsPassword(t *testing.T) {
	const next = "correct horse 11"
	for what, change := range map[string]func(*Auth, string) error{
		"changed": func(a *Auth, token string) error {
			_, _, err := a.ChangePassword(t.Context(), visit(token), goodPassword, next)
			return err
		},
		"deleted": func(a *Auth, token string) error { return a.Delete(t.Context(), token, goodPassword) },
	} {
		t.Run(what, func(t *testing.T) {
			a, store, token := keeper(t)
			ann, err := a.Who(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			store.happens = func() {
				if err := change(a, token); err != nil {
					t.Error(err)
				}
			}
			if _, _, err := a.SignInWith(t.Context(), visit(""), "Ann", goodPassword); !errors.Is(err, ErrPassword) {
				t.Errorf("got %v, want %v", err, ErrPassword)
			}
			left := 0
			if what == "changed" {
				left = 1 // of who changed it
			}
			if all, err := store.UserSessions(t.Context(), ann.Session.User.ID); err != nil || len(all) != left {
				t.Errorf("got %d sessions, %v, want %d", len(all), err, left)
			}
		})
	}
}

func TestAUserHasSoManySessions(t *testing.T) {
	a, store, first := keeper(t)
	ann, err := a.Who(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	a.now = func() time.Time { now = now.Add(time.Second); return now }
	for range maxSessions + 3 {
		if _, _, err := a.begin(t.Context(), visit(""), ann.Session.User, chat.Account{}); err != nil {
			t.Fatal(err)
		}
	}
	last, _, err := a.SignInWith(t.Context(), visit(""), "Ann", goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	if all, _ := store.UserSessions(t.Context(), ann.Session.User.ID); len(all) != maxSessions {
		t.Errorf("got %d sessions, want %d", len(all), maxSessions)
	}
	if _, err := a.Who(t.Context(), last); err != nil {
		t.Errorf("the newest: %v", err)
	}
	if _, err := a.Who(t.Context(), first); !errors.Is(err, ErrNoSession) {
		t.Errorf("the oldest: got %v, want it to have ended", err)
	}
}

// Who may see that a session has ended has been told before that it is renewed.
func TestARenewalIsToldBeforeTheOldSessionEnds(t *testing.T) {
	for what, renew := range map[string]func(*Auth, Visit) error{
		"another name": func(a *Auth, v Visit) error {
			_, _, err := a.SignIn(t.Context(), v, "Anna")
			return err
		},
		"a name kept": func(a *Auth, v Visit) error {
			_, _, err := a.Keep(t.Context(), v, goodPassword, "")
			return err
		},
		"another password": func(a *Auth, v Visit) error {
			_, _, err := a.ChangePassword(t.Context(), v, goodPassword, "correct horse 11")
			return err
		},
		"signed in again": func(a *Auth, v Visit) error {
			_, _, err := a.SignInWith(t.Context(), v, "Ann", goodPassword)
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			a, _, token := keeper(t)
			if what == "a name kept" {
				var err error
				if token, _, err = a.SignIn(t.Context(), visit(""), "Gus"); err != nil {
					t.Fatal(err)
				}
			}
			told := 0
			v := visit(token)
			v.Renewed = func() {
				told++
				if id, err := a.Who(t.Context(), token); err != nil || id.Session.Retired {
					t.Errorf("when it is told: %+v, %v", id.Session, err)
				}
			}
			if err := renew(a, v); err != nil {
				t.Fatal(err)
			}
			if told != 1 {
				t.Errorf("it was told %d times", told)
			}
		})
	}
}
