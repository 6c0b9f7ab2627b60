package chattest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// accountTests are the promises of [chat.Accounts].
var accountTests = []struct {
	promise string
	check   func(*testing.T, Implementation)
}{
	{"an account is what its edits made of it", accountEdits},
	{"a refused edit changes nothing", accountRefused},
	{"a name is kept by one account", accountKeys},
	{"one name from many at once is kept once", accountKeysConcurrently},
	{"accounts survive a reopening", accountReopen},
	{"the sessions of a user are listed and deleted", userSessions},
	{"a session keeps what it says of itself", sessionFields},
	{"an update brings no session back", sessionUpdates},
	{"an anonymised author has another name everywhere", anonymised},
	{"changes are told to everybody", changes},
	{"an ended context ends the calls about accounts", accountContext},
}

// account is one with everything set.
func account(id, key string) chat.Account {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return chat.Account{
		User: chat.User{ID: id, Name: "Ada 🙂 " + id}, Key: key, Password: "$argon2id$v=19$…$" + id, Admin: true,
		CreatedAt: now, BannedAt: now.Add(time.Hour), DeletedAt: now.Add(2 * time.Hour),
	}
}

func edit(t *testing.T, s chat.Store, to chat.Account) {
	t.Helper()
	got, err := s.EditAccount(t.Context(), to.User.ID, func(a *chat.Account) error { *a = to; return nil })
	if err != nil || got != to {
		t.Fatalf("edit = %+v, %v, want %+v", got, err, to)
	}
}

func wantAccount(t *testing.T, s chat.Store, want chat.Account) {
	t.Helper()
	if got, err := s.Account(t.Context(), want.User.ID); err != nil || got != want {
		t.Errorf("account = %+v, %v, want %+v", got, err, want)
	}
	if want.Key == "" {
		return
	}
	if got, err := s.AccountByKey(t.Context(), want.Key); err != nil || got != want {
		t.Errorf("account of the name = %+v, %v, want %+v", got, err, want)
	}
}

func wantNoAccount(t *testing.T, s chat.Store, id, key string) {
	t.Helper()
	if got, err := s.Account(t.Context(), id); !errors.Is(err, chat.ErrNotFound) && id != "" {
		t.Errorf("account %q = %+v, %v, want ErrNotFound", id, got, err)
	}
	if got, err := s.AccountByKey(t.Context(), key); !errors.Is(err, chat.ErrNotFound) {
		t.Errorf("account of name %q = %+v, %v, want ErrNotFound", key, got, err)
	}
}

func accountEdits(t *testing.T, s Implementation) {
	st := s.fresh(t)
	other := s.beside(t, st)
	wantNoAccount(t, st, "u-1", "ada")
	one, two := account("u-1", "ada"), chat.Account{User: chat.User{ID: "u-2"}}
	edit(t, st, one)
	edit(t, other, two)
	wantAccount(t, other, one)
	wantAccount(t, st, two)
	wantNoAccount(t, st, "u-3", "")
	_, err := other.EditAccount(t.Context(), "u-1", func(a *chat.Account) error {
		if *a != one {
			t.Errorf("an edit is given %+v, want %+v", *a, one)
		}
		a.User.ID = "u-9" // which is not for it to say
		a.BannedAt, a.DeletedAt, a.Admin = time.Time{}, time.Time{}, false
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	one.BannedAt, one.DeletedAt, one.Admin = time.Time{}, time.Time{}, false
	wantAccount(t, st, one)
	wantNoAccount(t, st, "u-9", "nobody")
	var all []chat.Account
	if err := st.EachAccount(t.Context(), func(a chat.Account) error { all = append(all, a); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || !slices.Contains(all, one) || !slices.Contains(all, two) {
		t.Errorf("accounts = %+v, want %+v and %+v", all, one, two)
	}
	stop := errors.New("enough")
	if err := st.EachAccount(t.Context(), func(chat.Account) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("each = %v, want the caller's error", err)
	}
}

func accountRefused(t *testing.T, s Implementation) {
	st := s.fresh(t)
	refusal := errors.New("no")
	for _, id := range []string{"u-1", "u-2"} {
		if id == "u-1" {
			edit(t, st, account(id, "ada"))
		}
		_, err := st.EditAccount(t.Context(), id, func(a *chat.Account) error { a.Admin, a.Key = false, "eve"; return refusal })
		if !errors.Is(err, refusal) {
			t.Errorf("edit = %v, want the caller's error", err)
		}
	}
	if got, err := st.Account(t.Context(), "u-1"); err != nil || !got.Admin {
		t.Errorf("account = %+v, %v, want it as it was", got, err)
	}
	wantNoAccount(t, st, "u-2", "eve")
	if err := st.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	appendAll(t, st, draft("lobby", "n1"))
}

func accountKeys(t *testing.T, s Implementation) {
	st := s.fresh(t)
	other := s.beside(t, st)
	one := account("u-1", "ada")
	edit(t, st, one)
	take := func(a *chat.Account) error { a.Key = "ada"; return nil }
	for range 2 {
		if got, err := other.EditAccount(t.Context(), "u-2", take); !errors.Is(err, chat.ErrNameKept) {
			t.Errorf("a kept name was given to another: %+v, %v", got, err)
		}
		edit(t, other, account("u-2", "bob")) // with an account of its own, the second time
	}
	wantAccount(t, other, one)
	one.Key = "grace"
	edit(t, st, one)
	two := account("u-2", "ada") // is free now
	edit(t, other, two)
	wantAccount(t, st, one)
	wantAccount(t, st, two)
	for _, id := range []string{"u-3", "u-4"} { // who keep none do not disturb each other
		edit(t, st, account(id, ""))
	}
	two.Key = ""
	edit(t, st, two)
	wantNoAccount(t, st, "", "ada")
	wantNoAccount(t, st, "", "")
}

func accountKeysConcurrently(t *testing.T, s Implementation) {
	const users = 12
	first := s.fresh(t)
	stores := []chat.Store{first, s.beside(t, first)}
	var won atomic.Int64
	concurrently(users, func(i int) {
		id := fmt.Sprint("u-", i)
		_, err := stores[i%2].EditAccount(t.Context(), id, func(a *chat.Account) error { a.Key = "ada"; return nil })
		switch {
		case err == nil:
			won.Add(1)
		case !errors.Is(err, chat.ErrNameKept):
			t.Errorf("edit: %v", err)
		}
	})
	if won.Load() != 1 {
		t.Errorf("%d users were given one name", won.Load())
	}
	if _, err := first.AccountByKey(t.Context(), "ada"); err != nil {
		t.Errorf("account of the name: %v", err)
	}
}

func accountReopen(t *testing.T, s Implementation) {
	st := s.Open(t)
	one := account("u-1", "ada")
	edit(t, st, one)
	if err := st.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	wantAccount(t, s.beside(t, st), one)
}

// hashesOf returns the first byte of the sessions' hashes.
func hashesOf(t *testing.T, s chat.Store, user string) []byte {
	t.Helper()
	all, err := s.UserSessions(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	var hashes []byte
	for _, session := range all {
		if session.User.ID != user {
			t.Errorf("session %+v is listed for %s", session, user)
		}
		hashes = append(hashes, session.TokenHash[0])
	}
	return hashes
}

func userSessions(t *testing.T, s Implementation) {
	st := s.fresh(t)
	other := s.beside(t, st)
	for n := byte(1); n <= 5; n++ {
		one := session(n, time.Hour)
		one.User.ID, one.CreatedAt = "u-a", one.CreatedAt.Add(time.Duration(n)*time.Second)
		if n == 3 {
			one.ExpiresAt = time.Now().Add(-time.Second)
		}
		if n == 4 {
			one.User.ID = "u-b"
		}
		put(t, st, one)
	}
	if got := hashesOf(t, other, "u-a"); !slices.Equal(got, []byte{5, 2, 1}) {
		t.Errorf("sessions = %v, want 5, 2 and 1", got)
	}
	if err := other.DeleteSessions(t.Context(), "u-a", session(2, 0).TokenHash, session(9, 0).TokenHash); err != nil {
		t.Fatal(err)
	}
	if got := hashesOf(t, st, "u-a"); !slices.Equal(got, []byte{2}) {
		t.Errorf("sessions = %v, want the one that was to be kept", got)
	}
	for range 2 {
		if err := st.DeleteSessions(t.Context(), "u-a"); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := hashesOf(t, other, "u-a"), hashesOf(t, other, "u-b"); len(a) != 0 || !slices.Equal(b, []byte{4}) {
		t.Errorf("sessions = %v and %v, want none and 4", a, b)
	}
}

func sessionFields(t *testing.T, s Implementation) {
	st := s.fresh(t)
	one := session(1, time.Hour)
	one.SeenAt, one.Agent, one.Retired = one.CreatedAt.Add(time.Minute), "Browser 🙂/1.0", true
	put(t, st, one)
	wantSession(t, s.beside(t, st), one)
	one.SeenAt, one.Agent, one.Retired = time.Time{}, "", false
	put(t, st, one)
	wantSession(t, st, one)
}

func sessionUpdates(t *testing.T, s Implementation) {
	st := s.fresh(t)
	other := s.beside(t, st)
	one, ended := session(1, time.Hour), session(2, time.Hour)
	put(t, st, one)
	put(t, st, ended)
	one.User.Name, one.SeenAt, one.Retired, one.ExpiresAt = "Grace", one.CreatedAt, true, one.ExpiresAt.Add(-time.Minute)
	if err := other.UpdateSession(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	wantSession(t, st, one)
	stale := one // as somebody has it who read it before it was retired
	stale.Retired, stale.ExpiresAt, stale.SeenAt = false, one.ExpiresAt.Add(time.Hour), one.SeenAt.Add(time.Minute)
	if err := st.UpdateSession(t.Context(), stale); err != nil {
		t.Fatal(err)
	}
	one.SeenAt = stale.SeenAt
	wantSession(t, other, one)
	if err := st.DeleteSession(t.Context(), ended.TokenHash); err != nil {
		t.Fatal(err)
	}
	late := session(3, -time.Second)
	put(t, st, late)
	late.ExpiresAt = late.ExpiresAt.Add(time.Hour)
	for _, gone := range []chat.Session{ended, late, session(4, time.Hour)} {
		if err := other.UpdateSession(t.Context(), gone); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("update of one that has ended = %v, want ErrNotFound", err)
		}
		wantNoSession(t, st, gone.TokenHash)
	}
}

func anonymised(t *testing.T, s Implementation) {
	st := s.fresh(t)
	bob := draft("lobby", "b")
	bob.User = chat.User{ID: "u-bob", Name: "Bob"}
	appendAll(t, st, append(drafts("lobby", "n", 3), bob)...)
	appendAll(t, st, drafts("den", "n", 2)...)
	for range 2 {
		if err := s.beside(t, st).Anonymise(t.Context(), "u-ada", chat.DeletedUser); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range slices.Concat(wantDense(t, st, "lobby", 4), wantDense(t, st, "den", 2)) {
		want := chat.User{ID: "u-ada", Name: chat.DeletedUser}
		if e.Nonce == "b" {
			want = bob.User
		}
		if e.User != want || e.Text != "text of "+e.Nonce {
			t.Errorf("event %+v, want the same text by %+v", e, want)
		}
	}
	if got := appendAll(t, st, draft("lobby", "n-1")); !got[0].Duplicate || got[0].Event.Seq != 2 {
		t.Errorf("a post again = %+v, want the first one", got[0])
	}
}

func changes(t *testing.T, s Implementation) {
	st := s.fresh(t)
	other := s.beside(t, st)
	start := time.Now().Add(-time.Second)
	told := func(since time.Time) (subjects []string) {
		all, err := other.Changes(t.Context(), since)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if time.Since(c.At).Abs() > time.Minute || c.At.Location() != time.UTC {
				t.Errorf("told at %v", c.At)
			}
			subjects = append(subjects, c.Subject)
		}
		return subjects
	}
	if got := told(start); len(got) != 0 {
		t.Errorf("changes = %v before there were any", got)
	}
	for _, subject := range []string{chat.UserSubject("u-1"), chat.RoomSubject("lobby"), chat.UserSubject("u-1")} {
		if err := st.Tell(t.Context(), subject); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Millisecond)
	}
	if got := told(start); !slices.Equal(got, []string{"room/lobby", "user/u-1"}) {
		t.Errorf("changes = %v", got)
	}
	marks := map[int64]bool{}
	for range 5 { // within one millisecond, perhaps
		if err := other.Tell(t.Context(), chat.RoomSubject("den")); err != nil {
			t.Fatal(err)
		}
		all, err := st.Changes(t.Context(), start)
		if err != nil || len(all) == 0 {
			t.Fatalf("changes = %v, %v", all, err)
		}
		marks[all[len(all)-1].Mark] = true
	}
	if len(marks) != 5 {
		t.Errorf("five changes have %d marks", len(marks))
	}
	if got := told(time.Now().Add(time.Minute)); len(got) != 0 {
		t.Errorf("changes = %v since a time to come", got)
	}
}

func accountContext(t *testing.T, s Implementation) {
	st := s.fresh(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"account":        func() error { _, err := st.Account(ctx, "u-1"); return err },
		"account by key": func() error { _, err := st.AccountByKey(ctx, "ada"); return err },
		"edit": func() error {
			_, err := st.EditAccount(ctx, "u-1", func(*chat.Account) error { return nil })
			return err
		},
		"sessions":        func() error { _, err := st.UserSessions(ctx, "u-1"); return err },
		"update session":  func() error { return st.UpdateSession(ctx, session(1, time.Hour)) },
		"delete sessions": func() error { return st.DeleteSessions(ctx, "u-1") },
		"anonymise":       func() error { return st.Anonymise(ctx, "u-1", "x") },
		"tell":            func() error { return st.Tell(ctx, "user/u-1") },
		"changes":         func() error { _, err := st.Changes(ctx, time.Now()); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want context.Canceled", name, err)
		}
	}
}
