package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// Person is a user as an administrator finds them.
type Person struct {
	User    chat.User
	Account chat.Account // empty if nothing is kept of them
}

// People returns who has a name, or one that is taken for it, or is called by
// their id: the account that keeps the name, and guests who have a session in the
// same store.
func (a *Auth) People(ctx context.Context, sessions chat.Archive, nameOrID string) ([]Person, error) {
	key := NameKey(nameOrID)
	found := map[string]chat.User{}
	err := a.store.EachAccount(ctx, func(account chat.Account) error {
		if account.User.ID == nameOrID || account.User.Name != "" && NameKey(account.User.Name) == key {
			found[account.User.ID] = account.User
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find accounts: %w", err)
	}
	err = sessions.EachSession(ctx, func(s chat.Session) error {
		if _, known := found[s.User.ID]; !known && (s.User.ID == nameOrID || NameKey(s.User.Name) == key) {
			found[s.User.ID] = s.User
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find sessions: %w", err)
	}
	return a.persons(ctx, found)
}

func (a *Auth) persons(ctx context.Context, users map[string]chat.User) (all []Person, err error) {
	for id, u := range users {
		account, err := a.account(ctx, id)
		if err != nil {
			return nil, err
		}
		if account.User.Name != "" {
			u.Name = account.User.Name
		}
		all = append(all, Person{u, account})
	}
	return all, nil
}

// adminsLimit is how long a store may take to tell.
const adminsLimit = 2 * time.Second

// Admins returns what tells whether a user is an administrator. Of whom the store
// cannot tell is none.
func Admins(store chat.Store) func(userID string) bool {
	return func(userID string) bool {
		ctx, cancel := context.WithTimeout(context.Background(), adminsLimit)
		defer cancel()
		account, err := store.Account(ctx, userID)
		return err == nil && account.Admin && !account.Banned()
	}
}

// Ban keeps a user out: connections end, and nobody can sign in as them.
func (a *Auth) Ban(ctx context.Context, userID string) error {
	now := a.now()
	return a.decide(ctx, userID, func(to *chat.Account) { to.BannedAt = now })
}

// Unban lets a user in again, with the sessions they had.
func (a *Auth) Unban(ctx context.Context, userID string) error {
	return a.decide(ctx, userID, func(to *chat.Account) { to.BannedAt = time.Time{} })
}

// SetAdmin says whether a user may delete what others post. Only one with a
// password can be given that: a guest is whoever has the cookie.
func (a *Auth) SetAdmin(ctx context.Context, userID string, admin bool) error {
	account, err := a.account(ctx, userID)
	if err != nil {
		return err
	}
	if admin && account.Guest() {
		return errors.New("they are a guest: whoever is to be an administrator has to keep their name with a password first")
	}
	return a.decide(ctx, userID, func(to *chat.Account) { to.Admin = admin })
}

// decide edits an account and tells the connections.
func (a *Auth) decide(ctx context.Context, userID string, edit func(*chat.Account)) error {
	_, err := a.store.EditAccount(ctx, userID, func(to *chat.Account) error {
		edit(to)
		return nil
	})
	if err != nil {
		return fmt.Errorf("edit account: %w", err)
	}
	return a.tell(ctx, userID)
}

// Rename gives a user another name, that nobody keeps.
func (a *Auth) Rename(ctx context.Context, userID, name string) (string, error) {
	name, err := CheckName(name)
	if err != nil {
		return "", err
	}
	u := chat.User{ID: userID, Name: name}
	if err := a.mayBeCalled(ctx, u); err != nil {
		return "", err
	}
	if _, err := a.rename(ctx, u); err != nil {
		return "", err
	}
	return name, a.tell(ctx, userID)
}

// SessionsOf lists those of a user.
func (a *Auth) SessionsOf(ctx context.Context, userID string) ([]chat.Session, error) {
	all, err := a.store.UserSessions(ctx, userID)
	if err != nil {
		return nil, fmt.Errorf("find sessions: %w", err)
	}
	return all, nil
}
