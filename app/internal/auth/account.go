package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// ErrKeptAlready: the user has a password already.
var ErrKeptAlready = errors.New("this name is kept already: change its password instead")

// Keep makes a guest's name theirs: from now on who knows the password is its
// user. It returns the token of a new session; the old one ends.
func (a *Auth) Keep(ctx context.Context, v Visit, password, code string) (string, Identity, error) {
	id, err := a.Who(ctx, v.Token)
	if err != nil {
		return "", Identity{}, err
	}
	if !id.Guest {
		return "", Identity{}, ErrKeptAlready
	}
	if err := a.signup.admits(code); err != nil {
		return "", Identity{}, err
	}
	account, err := a.keep(ctx, id.Session.User, password)
	if err != nil {
		return "", Identity{}, err
	}
	return a.replaceAll(ctx, v, account)
}

func (a *Auth) keep(ctx context.Context, u chat.User, password string) (chat.Account, error) {
	name, err := CheckName(u.Name) // it may be of a time with other rules
	if err != nil {
		return chat.Account{}, err
	}
	password, err = choosePassword(password, name)
	if err != nil {
		return chat.Account{}, err
	}
	if err := a.mayBeCalled(ctx, chat.User{ID: u.ID, Name: name}); err != nil {
		return chat.Account{}, err
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return chat.Account{}, err
	}
	now := a.now()
	account, err := a.store.EditAccount(ctx, u.ID, func(to *chat.Account) error {
		switch {
		case !to.Guest():
			return ErrKeptAlready
		case !to.DeletedAt.IsZero():
			return ErrNoSession // it was deleted meanwhile
		}
		to.User.Name, to.Key, to.Password, to.CreatedAt = name, NameKey(name), hash, now
		return nil
	})
	if err != nil {
		return account, fmt.Errorf("keep name: %w", err)
	}
	return account, nil
}

// replaceAll starts a session of an account and ends all others: who may do more
// than before has a token that nobody has seen before.
func (a *Auth) replaceAll(ctx context.Context, v Visit, account chat.Account) (string, Identity, error) {
	token, id, err := a.begin(ctx, v, account.User, account)
	if err != nil {
		return "", Identity{}, err
	}
	v.renewed()
	if err := a.endAll(ctx, account.User.ID, id.Session.TokenHash); err != nil {
		return "", Identity{}, err
	}
	return token, id, nil
}

// SignInWith starts a session of whoever keeps a name, and ends the one of the
// visitor's token. [ErrPassword] if the name is not kept or the password is
// another.
func (a *Auth) SignInWith(ctx context.Context, v Visit, name, password string) (string, Identity, error) {
	account, err := a.store.AccountByKey(ctx, NameKey(name))
	if err != nil && !errors.Is(err, chat.ErrNotFound) {
		return "", Identity{}, fmt.Errorf("find account: %w", err)
	}
	if err := a.check(ctx, account, password); err != nil {
		return "", Identity{}, err
	}
	if account.Banned() {
		return "", Identity{}, ErrBanned
	}
	token, id, err := a.begin(ctx, v, account.User, account)
	if err == nil {
		err = a.stillHolds(ctx, account, id.Session)
	}
	if err == nil {
		err = a.limitSessions(ctx, id.Session)
	}
	if err == nil {
		v.renewed()
		err = a.SignOut(ctx, v.Token)
	}
	if err != nil {
		return "", Identity{}, err
	}
	return token, id, nil
}

// stillHolds ends a new session if the password that it was given for was changed
// meanwhile: whoever changed it may have ended all others before this one began.
func (a *Auth) stillHolds(ctx context.Context, checked chat.Account, s chat.Session) error {
	account, err := a.account(ctx, checked.User.ID)
	if err == nil && account.Password != checked.Password {
		err = ErrPassword
	}
	if err != nil {
		return errors.Join(err, a.store.DeleteSession(ctx, s.TokenHash))
	}
	return nil
}

// maxSessions is how many sessions a user has.
const maxSessions = 50

// limitSessions ends the oldest sessions of a user if there are too many beside a
// new one.
func (a *Auth) limitSessions(ctx context.Context, s chat.Session) error {
	all, err := a.store.UserSessions(ctx, s.User.ID)
	if err != nil {
		return fmt.Errorf("find sessions: %w", err)
	}
	if len(all) <= maxSessions {
		return nil
	}
	for _, old := range all[maxSessions:] {
		if old.TokenHash == s.TokenHash {
			continue
		}
		if err := a.store.DeleteSession(ctx, old.TokenHash); err != nil {
			return fmt.Errorf("end session: %w", err)
		}
	}
	return a.tell(ctx, s.User.ID)
}

// check compares a password with an account's. It takes as long if there is
// none, or if the password could not be anybody's.
func (a *Auth) check(ctx context.Context, account chat.Account, password string) error {
	prepared, err := preparePassword(password)
	if err != nil {
		account.Password, prepared = "", ""
	}
	return a.hasher.verify(ctx, account.Password, prepared)
}

// ChangePassword gives the account of a token's user another password. All
// sessions end; it returns the token of a new one.
func (a *Auth) ChangePassword(ctx context.Context, v Visit, old, password string) (string, Identity, error) {
	account, err := a.confirmed(ctx, v.Token, old)
	if err != nil {
		return "", Identity{}, err
	}
	if password, err = choosePassword(password, account.User.Name); err != nil {
		return "", Identity{}, err
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return "", Identity{}, err
	}
	account, err = a.store.EditAccount(ctx, account.User.ID, func(to *chat.Account) error {
		if to.Password != account.Password {
			return ErrPassword // it was changed meanwhile
		}
		to.Password = hash
		return nil
	})
	if err != nil {
		return "", Identity{}, fmt.Errorf("change password: %w", err)
	}
	return a.replaceAll(ctx, v, account)
}

// confirmed returns the account of a token's user, who has to say the password
// again. That of a guest has none, and nothing to confirm.
func (a *Auth) confirmed(ctx context.Context, token, password string) (chat.Account, error) {
	id, err := a.Who(ctx, token)
	if err != nil {
		return chat.Account{}, err
	}
	account, err := a.account(ctx, id.Session.User.ID)
	if err != nil {
		return account, err
	}
	return account, a.check(ctx, account, password)
}

// Delete ends a user: all sessions end, the name is free for others, and what was
// posted stays, by a deleted user. An account's password has to be said again.
func (a *Auth) Delete(ctx context.Context, token, password string) error {
	id, err := a.Who(ctx, token)
	if err != nil {
		return err
	}
	account := chat.Account{User: id.Session.User}
	if !id.Guest {
		if account, err = a.confirmed(ctx, token, password); err != nil {
			return err
		}
	}
	return a.delete(ctx, account)
}

func (a *Auth) delete(ctx context.Context, account chat.Account) error {
	now, userID := a.now(), account.User.ID
	_, err := a.store.EditAccount(ctx, userID, func(to *chat.Account) error {
		if to.Password != account.Password {
			return ErrPassword // it was changed meanwhile
		}
		*to = chat.Account{User: chat.User{ID: userID}, BannedAt: to.BannedAt, DeletedAt: now}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete account: %w", err)
	}
	if err := a.endAll(ctx, userID); err != nil {
		return err
	}
	if err := a.store.Anonymise(ctx, userID, chat.DeletedUser); err != nil {
		return fmt.Errorf("delete account: %w", err)
	}
	return a.tell(ctx, userID) // that its posts have another author
}

// rename gives a user's account another name. The caller has asked whether it is
// free.
func (a *Auth) rename(ctx context.Context, u chat.User) (chat.Account, error) {
	account, err := a.store.EditAccount(ctx, u.ID, func(to *chat.Account) error {
		to.User.Name = u.Name
		if !to.Guest() {
			to.Key = NameKey(u.Name)
		}
		return nil
	})
	if err != nil {
		return account, fmt.Errorf("rename: %w", err)
	}
	return account, nil
}
