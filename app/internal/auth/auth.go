// Package auth knows who somebody is. Guests pick a name and hold a session,
// whose token only they know; with a password the name becomes theirs.
//
//	          SignIn             Keep                    Delete
//	nobody ──────────► guest ──────────► account ───────────────► nobody
//	   ▲                 │                 │   ▲
//	   └──── SignOut ────┘                 │   └── SignInWith (name, password)
//	   └───────────────────── SignOut ─────┘
//
// # Invariants
//
//  1. A token is 192 random bits, new at every sign-in and change of rights; of
//     it the store has the hash.
//  2. Of all accounts one has a name's key (see [NameKey]). A guest's name is
//     taken by nobody while they are here, and is theirs until an account keeps it:
//     of several guests who took it while the others were away, one can.
//  3. The account, not the session, says how its user is called, whether they may
//     talk, and what they may do.
//  4. What ends or changes a session is told through the store, so that its
//     connections end in whichever process they are.
//  5. Nobody learns from an answer, or how long it takes, whether a name is kept
//     with a password, except by asking for the name as a guest.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// Lifetime of a session.
const Lifetime = 30 * 24 * time.Hour

// grace is how long a token goes on after another one has taken its place: a
// request whose answer was lost is repeated with it, and other tabs may be in the
// middle of one.
const grace = 30 * time.Second

// seenEvery is how precisely a session tells when it was last used.
const seenEvery = 5 * time.Minute

// maxAgent bounds what is kept of a User-Agent, in bytes.
const maxAgent = 200

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
	// ErrBanned: an administrator has banned the user.
	ErrBanned = errors.New("you are banned from this chat")
)

// Present knows who is connected. [chat.Hub] implements it.
type Present interface {
	// NameTaken reports whether a user other than userID is connected under a
	// name that people would take for the same.
	NameTaken(name, userID string) bool
}

// Options of an [Auth]. Store and Present must be given.
type Options struct {
	Store   chat.Store
	Present Present
	Signup  Signup
	Shed    func() // called for each password that is not hashed because too many are; nil: nobody counts
}

// Auth makes, finds and ends sessions, and keeps accounts. Its methods may be
// called concurrently.
type Auth struct {
	store   chat.Store
	present Present
	signup  Signup
	hasher  *hasher
	now     func() time.Time
}

// New returns an Auth.
func New(o Options) *Auth {
	if o.Shed == nil {
		o.Shed = func() {}
	}
	return &Auth{store: o.Store, present: o.Present, signup: o.Signup, hasher: newHasher(o.Shed), now: time.Now}
}

// Signup is who may keep a name.
func (a *Auth) Signup() Mode { return a.signup.Mode() }

// Hash is what is kept of a token: whoever reads the store cannot sign in with
// it.
func Hash(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// Identity is who somebody is.
type Identity struct {
	Session chat.Session // its user is called as the account says
	Guest   bool         // nobody keeps the name
	Admin   bool
}

// Who returns whose a token is. [ErrNoSession] if nobody's, [ErrBanned] if they
// may not talk.
func (a *Auth) Who(ctx context.Context, token string) (Identity, error) {
	if token == "" {
		return Identity{}, ErrNoSession
	}
	id, err := a.Find(ctx, Hash(token))
	if err == nil {
		a.see(ctx, id.Session)
	}
	return id, err
}

// Find is Who for the hash of a token, as a connection keeps it.
func (a *Auth) Find(ctx context.Context, tokenHash [32]byte) (Identity, error) {
	s, err := a.store.Session(ctx, tokenHash)
	if errors.Is(err, chat.ErrNotFound) {
		return Identity{}, ErrNoSession
	}
	if err != nil {
		return Identity{}, fmt.Errorf("find session: %w", err)
	}
	account, err := a.account(ctx, s.User.ID)
	if err != nil {
		return Identity{}, err
	}
	if account.Banned() {
		return Identity{}, ErrBanned
	}
	if account.User.Name != "" {
		s.User.Name = account.User.Name
	}
	id := Identity{Session: s, Guest: account.Guest(), Admin: account.Admin}
	if id.Guest {
		err = a.stillTheirs(ctx, s.User)
	}
	return id, err
}

// account returns what is kept of a user, which may be nothing.
func (a *Auth) account(ctx context.Context, userID string) (chat.Account, error) {
	account, err := a.store.Account(ctx, userID)
	if err != nil && !errors.Is(err, chat.ErrNotFound) {
		return account, fmt.Errorf("find account: %w", err)
	}
	return account, nil
}

// stillTheirs tells by [ErrNoSession] that a guest has to pick another name:
// somebody keeps theirs.
func (a *Auth) stillTheirs(ctx context.Context, u chat.User) error {
	err := a.wantFree(ctx, u.Name, u.ID)
	if errors.Is(err, chat.ErrNameKept) {
		return fmt.Errorf("%w: somebody else keeps the name %q by now", ErrNoSession, u.Name)
	}
	return err
}

// wantFree tells whether somebody else keeps a name.
func (a *Auth) wantFree(ctx context.Context, name, userID string) error {
	holder, err := a.store.AccountByKey(ctx, NameKey(name))
	switch {
	case errors.Is(err, chat.ErrNotFound), err == nil && holder.User.ID == userID:
		return nil
	case err != nil:
		return fmt.Errorf("find account: %w", err)
	}
	return fmt.Errorf("the name %q is kept: sign in with its password, or pick another: %w", name, chat.ErrNameKept)
}

// see notes now and then that a session is used. If it cannot be noted nothing
// is lost.
func (a *Auth) see(ctx context.Context, s chat.Session) {
	if now := a.now(); now.Sub(s.SeenAt) > seenEvery && !s.Retired {
		s.SeenAt = now
		a.store.UpdateSession(ctx, s)
	}
}

// Visit is what a request says of itself beside what it asks for.
type Visit struct {
	Token string // the session's, "" for none
	Agent string // User-Agent

	// Renewed is called when another session is there that takes the place of the
	// token's, before that ends. It may be nil.
	Renewed func()
}

// renewed tells that a session has taken the place of the visitor's.
func (v Visit) renewed() {
	if v.Renewed != nil {
		v.Renewed()
	}
}

// SignIn starts a session under a name and returns its token. With the token of a
// session the user stays the same and gets that name; the old token goes on for a
// moment, so that the same request may be repeated. A bad name is a
// *[wire.Error], one in use wraps [ErrNameTaken] or [chat.ErrNameKept].
func (a *Auth) SignIn(ctx context.Context, v Visit, name string) (string, Identity, error) {
	name, err := CheckName(name)
	if err != nil {
		return "", Identity{}, err
	}
	old, account, err := a.visitor(ctx, v.Token)
	if err != nil {
		return "", Identity{}, err
	}
	user := chat.User{ID: old.User.ID, Name: name}
	if user.ID == "" {
		user.ID = random(idBytes)
	}
	if err := a.mayBeCalled(ctx, user); err != nil {
		return "", Identity{}, err
	}
	if account.User.Name != "" && account.User.Name != name { // kept, or given by an administrator
		if account, err = a.rename(ctx, user); err != nil {
			return "", Identity{}, err
		}
	}
	token, id, err := a.begin(ctx, v, user, account)
	if err == nil && old.User.ID != "" {
		v.renewed()
		err = a.retire(ctx, old, id.Session)
		if err == nil {
			err = a.limitSessions(ctx, id.Session)
		}
	}
	if err != nil {
		return "", Identity{}, err
	}
	return token, id, nil
}

// visitor returns the session of a token and what is kept of its user, both
// empty if there is none.
func (a *Auth) visitor(ctx context.Context, token string) (chat.Session, chat.Account, error) {
	s, err := a.store.Session(ctx, Hash(token))
	if token == "" || errors.Is(err, chat.ErrNotFound) {
		return chat.Session{}, chat.Account{}, nil
	}
	if err != nil {
		return s, chat.Account{}, fmt.Errorf("find session: %w", err)
	}
	account, err := a.account(ctx, s.User.ID)
	if err == nil && account.Banned() {
		err = ErrBanned
	}
	return s, account, err
}

// mayBeCalled tells why a user may not have a name: somebody else has it.
func (a *Auth) mayBeCalled(ctx context.Context, u chat.User) error {
	if err := a.wantFree(ctx, u.Name, u.ID); err != nil {
		return err
	}
	if a.present.NameTaken(u.Name, u.ID) {
		return fmt.Errorf("somebody else is here as %q, pick another name: %w", u.Name, ErrNameTaken)
	}
	return nil
}

// begin starts a session of a user.
func (a *Auth) begin(ctx context.Context, v Visit, u chat.User, account chat.Account) (token string, id Identity, err error) {
	token, now := random(tokenBytes), a.now()
	s := chat.Session{
		TokenHash: Hash(token), User: u, CreatedAt: now, ExpiresAt: now.Add(Lifetime), SeenAt: now, Agent: agent(v.Agent),
	}
	if err := a.store.PutSession(ctx, s); err != nil {
		return "", Identity{}, fmt.Errorf("keep session: %w", err)
	}
	return token, Identity{Session: s, Guest: account.Guest(), Admin: account.Admin}, nil
}

// agent is what is kept of a User-Agent.
func agent(s string) string {
	if len(s) > maxAgent {
		s = s[:maxAgent]
	}
	for !utf8.ValidString(s) && s != "" {
		s = s[:len(s)-1]
	}
	return s
}

// retire lets a session end soon, in the name of the one that has taken its
// place. If it was ended meanwhile so is the new one.
func (a *Auth) retire(ctx context.Context, old, next chat.Session) error {
	old.User, old.Retired = next.User, true
	if end := a.now().Add(grace); end.Before(old.ExpiresAt) {
		old.ExpiresAt = end
	}
	err := a.store.UpdateSession(ctx, old)
	if errors.Is(err, chat.ErrNotFound) {
		a.store.DeleteSession(ctx, next.TokenHash)
		return ErrNoSession
	}
	if err != nil {
		return fmt.Errorf("renew session: %w", err)
	}
	return a.tell(ctx, next.User.ID)
}

// tell says that a user's sessions or account have changed.
func (a *Auth) tell(ctx context.Context, userID string) error {
	if err := a.store.Tell(ctx, chat.UserSubject(userID)); err != nil {
		return fmt.Errorf("tell the connections: %w", err)
	}
	return nil
}

// SignOut ends the session of a token, and those whose place it has taken; none
// is no error.
func (a *Auth) SignOut(ctx context.Context, token string) error {
	if token == "" {
		return nil
	}
	s, err := a.store.Session(ctx, Hash(token))
	if errors.Is(err, chat.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find session: %w", err)
	}
	return a.end(ctx, s)
}

// end ends one session.
func (a *Auth) end(ctx context.Context, s chat.Session) error {
	all, err := a.store.UserSessions(ctx, s.User.ID)
	if err != nil {
		return fmt.Errorf("find sessions: %w", err)
	}
	for _, other := range all {
		if other.TokenHash != s.TokenHash && !other.Retired {
			continue
		}
		if err := a.store.DeleteSession(ctx, other.TokenHash); err != nil {
			return fmt.Errorf("end session: %w", err)
		}
	}
	return a.tell(ctx, s.User.ID)
}

// Session is one of a user's, as they may see it.
type Session struct {
	ID      string // names it for EndSession
	Created time.Time
	Seen    time.Time
	Agent   string
	Here    bool // the one that asks
}

// Sessions lists those of a token's user, the newest first.
func (a *Auth) Sessions(ctx context.Context, token string) ([]Session, error) {
	id, err := a.Who(ctx, token)
	if err != nil {
		return nil, err
	}
	all, err := a.store.UserSessions(ctx, id.Session.User.ID)
	if err != nil {
		return nil, fmt.Errorf("find sessions: %w", err)
	}
	list := []Session{}
	for _, s := range all {
		if !s.Retired {
			list = append(list, Session{sessionID(s), s.CreatedAt, s.SeenAt, s.Agent, s.TokenHash == Hash(token)})
		}
	}
	return list, nil
}

// sessionID names a session to its user. From it nobody gets at the token.
func sessionID(s chat.Session) string { return base64.RawURLEncoding.EncodeToString(s.TokenHash[:12]) }

// EndSession ends a session of a token's user; one that does not exist is
// [chat.ErrNotFound].
func (a *Auth) EndSession(ctx context.Context, token, id string) error {
	who, err := a.Who(ctx, token)
	if err != nil {
		return err
	}
	all, err := a.store.UserSessions(ctx, who.Session.User.ID)
	if err != nil {
		return fmt.Errorf("find sessions: %w", err)
	}
	for _, s := range all {
		if sessionID(s) == id {
			return a.end(ctx, s)
		}
	}
	return fmt.Errorf("session: %w", chat.ErrNotFound)
}

// EndOthers ends all sessions of a token's user but its own.
func (a *Auth) EndOthers(ctx context.Context, token string) error {
	id, err := a.Who(ctx, token)
	if err != nil {
		return err
	}
	return a.endAll(ctx, id.Session.User.ID, id.Session.TokenHash)
}

func (a *Auth) endAll(ctx context.Context, userID string, keep ...[32]byte) error {
	if err := a.store.DeleteSessions(ctx, userID, keep...); err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	return a.tell(ctx, userID)
}

// random returns n random bytes as text that is safe in a cookie.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: it ends the process instead
	return base64.RawURLEncoding.EncodeToString(b)
}
