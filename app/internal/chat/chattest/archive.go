package chattest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// Archive checks every guarantee of [chat.Archive] of a store that keeps those
// of [chat.Store]. What it opens must be a chat.Archive.
func Archive(t *testing.T, s Implementation) {
	for _, test := range []struct {
		promise string
		check   func(*testing.T, Implementation)
	}{
		{"events are restored as they were", restored},
		{"what is stored may be restored again", restoredAgain},
		{"what does not fit is refused", refused},
		{"a restored log goes on", restoredGoesOn},
		{"live sessions are handed out", eachSession},
		{"an empty log adopts an epoch", adopted},
	} {
		t.Run(test.promise, func(t *testing.T) { test.check(t, s) })
	}
}

func (s Implementation) archive(t *testing.T) chat.Archive {
	t.Helper()
	return s.fresh(t).(chat.Archive)
}

// old are n events of room, an hour old, a minute apart.
func old(room string, n int) []chat.Event {
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond)
	events := make([]chat.Event, n)
	for i, d := range drafts(room, "old", n) {
		events[i] = chat.Event{
			Room: room, Seq: int64(i) + 1, At: time.UnixMilli(at.UnixMilli()).UTC().Add(time.Duration(i) * time.Minute),
			Kind: d.Kind, User: d.User, Nonce: d.Nonce, Text: d.Text,
		}
	}
	return events
}

func restore(t *testing.T, a chat.Archive, events ...chat.Event) {
	t.Helper()
	if err := a.Restore(t.Context(), events); err != nil {
		t.Fatalf("restore: %v", err)
	}
}

func wantEvents(t *testing.T, s chat.Store, room string, want []chat.Event) {
	t.Helper()
	for i, got := range wantDense(t, s, room, len(want)) {
		if got != want[i] {
			t.Errorf("event %d is %+v, want %+v", i+1, got, want[i])
		}
	}
}

func restored(t *testing.T, s Implementation) {
	a := s.archive(t)
	lobby, den := old("lobby", 250), old("den", 3)
	restore(t, a, append(append(lobby[:100:100], den...), lobby[100:]...)...)
	restore(t, a)
	wantEvents(t, a, "lobby", lobby)
	wantEvents(t, s.beside(t, a), "den", den)
}

func restoredAgain(t *testing.T, s Implementation) {
	a := s.archive(t)
	lobby := old("lobby", 20)
	restore(t, a, lobby[:7]...)
	restore(t, a, lobby...)
	restore(t, s.beside(t, a).(chat.Archive), lobby[5:15]...)
	wantEvents(t, a, "lobby", lobby)
}

func refused(t *testing.T, s Implementation) {
	a := s.archive(t)
	lobby := old("lobby", 6)
	restore(t, a, lobby[:4]...)
	change := func(i int, with func(e *chat.Event)) chat.Event {
		e := lobby[i]
		with(&e)
		return e
	}
	for name, e := range map[string]chat.Event{
		"a hole":             lobby[5],
		"another text":       change(2, func(e *chat.Event) { e.Text = "another" }),
		"another time":       change(2, func(e *chat.Event) { e.At = e.At.Add(time.Millisecond) }),
		"seq 0":              change(2, func(e *chat.Event) { e.Seq = 0 }),
		"a seq below 0":      change(2, func(e *chat.Event) { e.Seq = -1 }),
		"older than before":  change(4, func(e *chat.Event) { e.At = lobby[0].At }),
		"a nonce used again": change(4, func(e *chat.Event) { e.Nonce = lobby[1].Nonce }),
		"a new room from 2":  change(1, func(e *chat.Event) { e.Room = "den" }),
	} {
		err := a.Restore(t.Context(), []chat.Event{e})
		if !errors.Is(err, chat.ErrConflict) {
			t.Errorf("%s: got %v, want chat.ErrConflict", name, err)
		}
	}
	wantEvents(t, a, "lobby", lobby[:4])
	if rooms, err := a.Rooms(t.Context()); err != nil || len(rooms) != 1 {
		t.Errorf("rooms = %v, %v, want one", rooms, err)
	}
	restore(t, a, lobby[4:]...)
}

func restoredGoesOn(t *testing.T, s Implementation) {
	a := s.archive(t)
	lobby := old("lobby", 5)
	last := &lobby[4]
	last.At = time.UnixMilli(time.Now().Add(time.Hour).UnixMilli()).UTC() // of a clock that was ahead
	restore(t, a, lobby...)
	got := appendAll(t, a, draft("lobby", "old-2"), draft("lobby", "new"))
	if !got[0].Duplicate || got[0].Event != lobby[2] {
		t.Errorf("a restored nonce is forgotten: %+v", got[0])
	}
	if e := got[1].Event; e.Seq != 6 || e.At.Before(last.At) {
		t.Errorf("the next event is %+v", e)
	}
}

func eachSession(t *testing.T, s Implementation) {
	a := s.archive(t)
	want := map[[32]byte]chat.Session{}
	for i := range 5 {
		live := session(byte(i), time.Hour)
		put(t, a, live)
		want[live.TokenHash] = live
	}
	put(t, a, session(9, -time.Second))
	err := a.EachSession(t.Context(), func(got chat.Session) error {
		if got != want[got.TokenHash] {
			t.Errorf("got %+v, want %+v", got, want[got.TokenHash])
		}
		delete(want, got.TokenHash)
		return nil
	})
	if err != nil || len(want) > 0 {
		t.Errorf("%v; %d sessions are missing", err, len(want))
	}
	enough := errors.New("enough")
	if err := a.EachSession(t.Context(), func(chat.Session) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v, want the error of do", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.EachSession(ctx, func(chat.Session) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func adopted(t *testing.T, s Implementation) {
	a := s.archive(t)
	if err := a.Adopt(t.Context(), "the epoch of another"); err != nil {
		t.Fatal(err)
	}
	if a.Epoch() != "the epoch of another" || s.beside(t, a).Epoch() != a.Epoch() {
		t.Errorf("the epoch is %q", a.Epoch())
	}
	restore(t, a, old("lobby", 1)...)
	if err := a.Adopt(t.Context(), "yet another"); !errors.Is(err, chat.ErrConflict) || a.Epoch() != "the epoch of another" {
		t.Errorf("with an event: got %v and epoch %q", err, a.Epoch())
	}
}
