package auth

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

const goodPassword = "battery staple 9"

func TestChoosePassword(t *testing.T) {
	for password, want := range map[string]string{
		goodPassword:               goodPassword,
		"ｗide ｌetters":             "ｗide ｌetters", // what was typed counts
		"non\u00a0breaking":        "non breaking",
		"Zoe\u0308Zoe\u0308Zoe":    "ZoëZoëZoe",
		"пароль из слов":           "пароль из слов",
		strings.Repeat("wxyz", 32): strings.Repeat("wxyz", 32),
	} {
		if got, err := choosePassword(password, "Ann"); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", password, got, err, want)
		}
	}
	for _, password := range []string{
		"", "short", "1234567", "password", "PASSWORD", "12345678", "qwertyuiop", "iloveyou",
		"aaaaaaaaaaaa", "abababababab", "Annabelle", "annabelle1", "ANNABELLE!!", "AnnabeIIe",
		"with\x00control", "with\u202ebidi12", "zero\u200bwidth", "\xff\xff\xff\xff\xff\xff\xff\xff",
		strings.Repeat("wxyz ", 26),
	} {
		var field *wire.Error
		if _, err := choosePassword(password, "Annabelle"); !errors.As(err, &field) {
			t.Errorf("%q: got %v, want a bad field", password, err)
		} else if password != "" && strings.Contains(field.Msg, password) {
			t.Errorf("%q: the answer shows it: %s", password, field.Msg)
		}
	}
}

func TestHash(t *testing.T) {
	h := newHasher(func() {})
	hash, err := h.hash(t.Context(), goodPassword)
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Fatalf("got %q, %v", hash, err)
	}
	if again, _ := h.hash(t.Context(), goodPassword); again == hash {
		t.Error("two hashes of one password are the same: there is no salt")
	}
	if err := h.verify(t.Context(), hash, goodPassword); err != nil {
		t.Errorf("the right password: %v", err)
	}
	for _, wrong := range []string{"", "Battery staple 9", goodPassword + " "} {
		if err := h.verify(t.Context(), hash, wrong); !errors.Is(err, ErrPassword) {
			t.Errorf("%q: got %v, want %v", wrong, err, ErrPassword)
		}
	}
	if err := h.verify(t.Context(), "", goodPassword); !errors.Is(err, ErrPassword) {
		t.Errorf("no hash: got %v, want %v", err, ErrPassword)
	}
	for _, broken := range []string{
		"x", "$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=1000000,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=19456,t=2,p=0$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$", "$argon2id$v=19$m=19456,t=2,p=1$*$*",
	} {
		if err := h.verify(t.Context(), broken, goodPassword); err == nil || errors.Is(err, ErrPassword) {
			t.Errorf("%q: got %v, want an error of the store", broken, err)
		}
	}
}

// More than a few at once are turned away, soon, and the others are served.
func TestHasherSheds(t *testing.T) {
	var shed, served, told atomic.Int64
	h := newHasher(func() { told.Add(1) })
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			switch err := h.verify(t.Context(), "", goodPassword); {
			case errors.Is(err, ErrBusy):
				shed.Add(1)
			case errors.Is(err, ErrPassword):
				served.Add(1)
			default:
				t.Errorf("got %v", err)
			}
		})
	}
	all.Wait()
	if shed.Load() == 0 || served.Load() < argonAtOnce || shed.Load() != told.Load() {
		t.Errorf("%d served, %d shed, %d of them told", served.Load(), shed.Load(), told.Load())
	}
	if len(h.queue)+len(h.turns) != 0 {
		t.Error("places are left taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.turns <- struct{}{}
	h.turns <- struct{}{}
	if _, err := h.hash(ctx, goodPassword); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that has left: got %v", err)
	}
}

// Whatever stands in a store, it is a hash of a bounded cost or an error.
func FuzzParseHash(f *testing.F) {
	for _, s := range []string{nobody.String(), "", "$argon2id$v=19$m=1,t=1,p=1$AA$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=-1,t=99999999999,p=1$$", "$$$$$"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseHash(s)
		if err != nil {
			return
		}
		if p.memory > 64<<10 || p.passes > 10 || p.passes < 1 || p.lanes < 1 || len(p.key) < 16 {
			t.Fatalf("%q costs %+v", s, p)
		}
		if again, err := parseHash(p.String()); err != nil || again.String() != p.String() {
			t.Fatalf("%q became %q, %v", s, p, err)
		}
	})
}

// Whatever is typed, a password is prepared once and for all, or refused.
func FuzzPassword(f *testing.F) {
	for _, s := range []string{goodPassword, "non\u00a0breaking", "Zoe\u0308Zoe\u0308Zoe", "\xff", "aaaaaaaa", "ｗide ｌetters"} {
		f.Add(s, "Ann")
	}
	f.Fuzz(func(t *testing.T, password, name string) {
		prepared, err := choosePassword(password, name)
		if err != nil {
			return
		}
		if again, err := preparePassword(prepared); err != nil || again != prepared {
			t.Fatalf("%q is prepared as %q, and that as %q, %v", password, prepared, again, err)
		}
	})
}
