// Package chattest holds one conformance suite for each interface of package
// chat. Every implementation runs it, so that all of them keep the same
// promises. Only tests import it.
package chattest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// Implementation is a [chat.Store] to be checked.
type Implementation struct {
	// Open returns a store on a new, empty log.
	Open func(t *testing.T) chat.Store
	// Again opens the log of a store once more, beside it or after its Close,
	// as another process would.
	Again func(t *testing.T, s chat.Store) chat.Store
	// Batches is what it promises of a batch whose outcome is unknown.
	Batches Batches
	// LosesUpdates says that of updates that a document is given at the same moment
	// the server it is on may lose some, in spite of the protocol that it speaks.
	LosesUpdates bool
}

// Batches is what may be stored of a batch whose outcome is unknown.
type Batches uint8

const (
	// Whole: all of it or nothing.
	Whole Batches = iota
	// Begun: some first part of it.
	Begun
)

// Store checks every guarantee of [chat.Store]. It closes the stores it is
// given, and keeps to a few hundred events per log, for stores that are slow in
// tests.
func Store(t *testing.T, s Implementation) {
	for _, test := range []struct {
		promise string
		check   func(*testing.T, Implementation)
	}{
		{"an empty log has nothing", emptyLog},
		{"append returns what it stored", appendReturns},
		{"an empty batch is nothing", emptyBatch},
		{"seqs are dense in every room", denseSeqs},
		{"seqs are dense under concurrent appenders", denseConcurrently},
		{"a repeated nonce returns the first event", duplicates},
		{"a nonce repeated within a batch is stored once", duplicateInBatch},
		{"one nonce from many at once is stored once", duplicateConcurrently},
		{"a nonce is free in another room and for another author", nonceScope},
		{"an append keeps no reference to its drafts", draftsReused},
		{"reads see what was appended elsewhere", readYourWrites},
		{"pages have edges", pages},
		{"texts come back byte for byte", texts},
		{"times are milliseconds that never go back", times},
		{"rooms are listed by name", rooms},
		{"everything survives a reopening", reopen},
		{"epochs tell logs apart", epochs},
		{"a session is replaced and deleted", sessions},
		{"a session expires", sessionExpiry},
		{"an ended context ends the call", endedContext},
		{"a context that ends in mid-call spoils nothing", contextEndsWithin},
		{"a working store answers a ping", ping},
	} {
		t.Run(test.promise, func(t *testing.T) { test.check(t, s) })
	}
	amendedPosts(t, s)
	for _, test := range accountTests {
		t.Run(test.promise, func(t *testing.T) { test.check(t, s) })
	}
}

// fresh is a store on a new log, closed with the test.
func (s Implementation) fresh(t *testing.T) chat.Store {
	t.Helper()
	return closing(t, s.Open(t))
}

// beside is a second store on the log of first, closed with the test.
func (s Implementation) beside(t *testing.T, first chat.Store) chat.Store {
	t.Helper()
	return closing(t, s.Again(t, first))
}

func closing(t *testing.T, s chat.Store) chat.Store {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// draft is a post of ada with a text of its own.
func draft(room, nonce string) chat.Draft {
	return chat.Draft{
		Room: room, Kind: wire.EventPost, User: chat.User{ID: "u-ada", Name: "Ada"},
		Nonce: nonce, Text: "text of " + nonce,
	}
}

// drafts are n posts in room, with nonces that begin with prefix.
func drafts(room, prefix string, n int) []chat.Draft {
	d := make([]chat.Draft, n)
	for i := range d {
		d[i] = draft(room, fmt.Sprintf("%s-%d", prefix, i))
	}
	return d
}

func appendAll(t *testing.T, s chat.Store, d ...chat.Draft) []chat.Appended {
	t.Helper()
	appended, err := s.Append(t.Context(), d)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	if len(appended) != len(d) {
		t.Fatalf("append of %d drafts gave %d results", len(d), len(appended))
	}
	return appended
}

func after(t *testing.T, s chat.Store, room string, seq int64, limit int) []chat.Event {
	t.Helper()
	events, err := s.After(t.Context(), room, seq, limit)
	if err != nil {
		t.Fatalf("after: %v", err)
	}
	return events
}

func head(t *testing.T, s chat.Store, room string) int64 {
	t.Helper()
	seq, err := s.Head(t.Context(), room)
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	return seq
}

// wantDense checks that the log of room is 1…n without gap or repeat and that
// no (author, nonce) is there twice, and returns it.
func wantDense(t *testing.T, s chat.Store, room string, n int) []chat.Event {
	t.Helper()
	events := after(t, s, room, 0, n+10)
	if len(events) != n {
		t.Fatalf("%s holds %d events, want %d", room, len(events), n)
	}
	type post struct{ author, nonce string }
	seen := map[post]bool{}
	for i, e := range events {
		if e.Seq != int64(i)+1 {
			t.Fatalf("event %d of %s has seq %d", i, room, e.Seq)
		}
		if p := (post{e.User.ID, e.Nonce}); seen[p] {
			t.Fatalf("%s holds %v twice", room, p)
		} else {
			seen[p] = true
		}
	}
	if h := head(t, s, room); h != int64(n) {
		t.Fatalf("head of %s is %d, want %d", room, h, n)
	}
	return events
}

func emptyLog(t *testing.T, s Implementation) {
	st := s.fresh(t)
	if h := head(t, st, "nowhere"); h != 0 {
		t.Errorf("head = %d, want 0", h)
	}
	if e := after(t, st, "nowhere", 0, 10); len(e) != 0 {
		t.Errorf("after = %v, want none", e)
	}
	if e, err := st.Before(t.Context(), "nowhere", 10, 10); len(e) != 0 || err != nil {
		t.Errorf("before = %v, %v, want none", e, err)
	}
	if r, err := st.Rooms(t.Context()); len(r) != 0 || err != nil {
		t.Errorf("rooms = %v, %v, want none", r, err)
	}
}

func appendReturns(t *testing.T, s Implementation) {
	st := s.fresh(t)
	begin := time.Now().Truncate(time.Millisecond)
	d := chat.Draft{Room: "lobby", Kind: "edit", User: chat.User{ID: "u-1", Name: "Grace"}, Nonce: "n1", Text: "hi"}
	got := appendAll(t, st, d)[0]
	if got.Duplicate {
		t.Error("a first append is marked as a duplicate")
	}
	e := got.Event
	if e.At.Before(begin) || e.At.After(time.Now()) {
		t.Errorf("at = %v, want about %v", e.At, begin)
	}
	want := chat.Event{Room: "lobby", Seq: 1, At: e.At, Kind: "edit", User: d.User, Nonce: "n1", Text: "hi"}
	if e != want {
		t.Errorf("append = %+v, want %+v", e, want)
	}
	if read := after(t, st, "lobby", 0, 10); len(read) != 1 || read[0] != want {
		t.Errorf("after = %+v, want %+v", read, want)
	}
}

func emptyBatch(t *testing.T, s Implementation) {
	st := s.fresh(t)
	if got := appendAll(t, st); len(got) != 0 {
		t.Errorf("append of nothing = %v", got)
	}
	wantDense(t, st, "lobby", 0)
}

func denseSeqs(t *testing.T, s Implementation) {
	st := s.fresh(t)
	batch := slices.Concat(drafts("a", "x", 3), drafts("b", "x", 2), drafts("a", "y", 4))
	for i, got := range appendAll(t, st, batch...) {
		if d := batch[i]; got.Event.Room != d.Room || got.Event.Nonce != d.Nonce {
			t.Errorf("result %d is of %s %s, want %s %s", i, got.Event.Room, got.Event.Nonce, d.Room, d.Nonce)
		}
	}
	appendAll(t, st, drafts("b", "z", 1)...)
	a := wantDense(t, st, "a", 7)
	wantDense(t, st, "b", 3)
	if a[2].Nonce != "x-2" || a[3].Nonce != "y-0" {
		t.Errorf("a batch is not stored in its order: %s, %s", a[2].Nonce, a[3].Nonce)
	}
}

func denseConcurrently(t *testing.T, s Implementation) {
	const appenders, batches, size = 8, 6, 3
	first := s.fresh(t)
	stores := []chat.Store{first, s.beside(t, first)}
	results := make([][]chat.Appended, appenders)
	concurrently(appenders, func(i int) {
		for b := range batches {
			got, err := stores[i%len(stores)].Append(t.Context(), drafts("lobby", fmt.Sprintf("%d-%d", i, b), size))
			if err != nil {
				t.Errorf("append: %v", err)
				return
			}
			results[i] = append(results[i], got...)
		}
	})
	stored := wantDense(t, first, "lobby", appenders*batches*size)
	for i, mine := range results {
		for k, got := range mine {
			if stored[got.Event.Seq-1] != got.Event {
				t.Errorf("appender %d was told %+v, stored is %+v", i, got.Event, stored[got.Event.Seq-1])
			}
			if k > 0 && got.Event.Seq <= mine[k-1].Event.Seq {
				t.Errorf("appender %d: seq %d follows %d", i, got.Event.Seq, mine[k-1].Event.Seq)
			}
		}
	}
}

func concurrently(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

func duplicates(t *testing.T, s Implementation) {
	st := s.fresh(t)
	first := appendAll(t, st, draft("lobby", "n1"))[0]
	again := draft("lobby", "n1")
	again.Text, again.User.Name, again.Kind = "another text", "Renamed", "edit"
	got := appendAll(t, st, draft("lobby", "n2"), again, draft("lobby", "n3"))
	if !got[1].Duplicate || got[1].Event != first.Event {
		t.Errorf("repeated = %+v, want %+v as a duplicate", got[1], first.Event)
	}
	if got[0].Event.Seq != 2 || got[2].Event.Seq != 3 || got[0].Duplicate || got[2].Duplicate {
		t.Errorf("its neighbours = %+v and %+v, want seq 2 and 3", got[0], got[2])
	}
	wantDense(t, st, "lobby", 3)
	appendAll(t, s.beside(t, st), draft("lobby", "n3"), draft("lobby", "n2"))
	wantDense(t, st, "lobby", 3)
}

func duplicateInBatch(t *testing.T, s Implementation) {
	st := s.fresh(t)
	second := draft("lobby", "n1")
	second.Text = "said again"
	got := appendAll(t, st, draft("lobby", "n1"), second, draft("lobby", "n2"), second)
	if got[0].Duplicate || !got[1].Duplicate || got[2].Duplicate || !got[3].Duplicate {
		t.Errorf("duplicates are marked %v %v %v %v", got[0].Duplicate, got[1].Duplicate, got[2].Duplicate, got[3].Duplicate)
	}
	if got[1].Event != got[0].Event || got[3].Event != got[0].Event {
		t.Errorf("repeated = %+v and %+v, want %+v", got[1].Event, got[3].Event, got[0].Event)
	}
	wantDense(t, st, "lobby", 2)
}

func duplicateConcurrently(t *testing.T, s Implementation) {
	const appenders = 16
	first := s.fresh(t)
	stores := []chat.Store{first, s.beside(t, first)}
	got := make([]chat.Appended, appenders)
	concurrently(appenders, func(i int) {
		d := draft("lobby", "the only one")
		d.Text = fmt.Sprint("of appender ", i)
		results, err := stores[i%len(stores)].Append(t.Context(), []chat.Draft{d})
		if err != nil {
			t.Errorf("append: %v", err)
			return
		}
		got[i] = results[0]
	})
	stored := wantDense(t, first, "lobby", 1)[0]
	fresh := 0
	for i, g := range got {
		if g.Event != stored {
			t.Errorf("appender %d was told %+v, stored is %+v", i, g.Event, stored)
		}
		if !g.Duplicate {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d appenders were told that theirs is the first, want 1", fresh)
	}
}

func nonceScope(t *testing.T, s Implementation) {
	st := s.fresh(t)
	other := draft("lobby", "n1")
	other.User.ID = "u-bob"
	for i, got := range appendAll(t, st, draft("lobby", "n1"), other, draft("den", "n1")) {
		if got.Duplicate {
			t.Errorf("draft %d is marked as a duplicate", i)
		}
	}
	wantDense(t, st, "lobby", 2)
	wantDense(t, st, "den", 1)
}

func draftsReused(t *testing.T, s Implementation) {
	st := s.fresh(t)
	batch := drafts("lobby", "n", 2)
	appendAll(t, st, batch...)
	batch[0], batch[1] = draft("den", "x"), draft("den", "y")
	if stored := wantDense(t, st, "lobby", 2); stored[0].Nonce != "n-0" || stored[1].Nonce != "n-1" {
		t.Errorf("stored are %+v", stored)
	}
}

func readYourWrites(t *testing.T, s Implementation) {
	st := s.fresh(t)
	other := s.beside(t, st)
	writers, readers := []chat.Store{st, other}, []chat.Store{other, st}
	for i := range 20 {
		got := appendAll(t, writers[i%2], draft("lobby", fmt.Sprint(i)))[0]
		for _, reader := range readers {
			if h := head(t, reader, "lobby"); h != got.Event.Seq {
				t.Fatalf("head after append %d = %d", got.Event.Seq, h)
			}
			if e := after(t, reader, "lobby", got.Event.Seq-1, 10); len(e) != 1 || e[0] != got.Event {
				t.Fatalf("after append %d = %+v", got.Event.Seq, e)
			}
		}
	}
}

func pages(t *testing.T, s Implementation) {
	st := s.fresh(t)
	appendAll(t, st, drafts("lobby", "n", 10)...)
	appendAll(t, st, drafts("lobbz", "n", 3)...) // a neighbour in any index
	const far, most = int64(1) << 62, int(^uint(0) >> 1)
	for _, c := range []struct {
		name  string
		read  func(context.Context, string, int64, int) ([]chat.Event, error)
		seq   int64
		limit int
		want  []int64
	}{
		{"after the start", st.After, 0, 3, []int64{1, 2, 3}},
		{"after in the middle", st.After, 4, 3, []int64{5, 6, 7}},
		{"after near the head", st.After, 8, 5, []int64{9, 10}},
		{"after the head", st.After, 10, 5, nil},
		{"after beyond the head", st.After, far, 5, nil},
		{"after below the start", st.After, -far, 2, []int64{1, 2}},
		{"after with limit 0", st.After, 0, 0, nil},
		{"after with limit -1", st.After, 0, -1, nil},
		{"after with any limit", st.After, 7, most, []int64{8, 9, 10}},
		{"before the end", st.Before, 11, 3, []int64{8, 9, 10}},
		{"before in the middle", st.Before, 5, 2, []int64{3, 4}},
		{"before near the start", st.Before, 3, 5, []int64{1, 2}},
		{"before the start", st.Before, 1, 5, nil},
		{"before nothing", st.Before, 0, 5, nil},
		{"before below the start", st.Before, -far, 5, nil},
		{"before beyond the head", st.Before, far, 2, []int64{9, 10}},
		{"before with limit 0", st.Before, 5, 0, nil},
		{"before with limit -1", st.Before, 5, -1, nil},
		{"before with any limit", st.Before, 4, most, []int64{1, 2, 3}},
	} {
		events, err := c.read(t.Context(), "lobby", c.seq, c.limit)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var got []int64
		for _, e := range events {
			if e.Room != "lobby" || e.Nonce != fmt.Sprintf("n-%d", e.Seq-1) {
				t.Errorf("%s: seq %d is %+v", c.name, e.Seq, e)
			}
			got = append(got, e.Seq)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s = %v, want %v", c.name, got, c.want)
		}
	}
}

func texts(t *testing.T, s Implementation) {
	st := s.fresh(t)
	odd := []string{
		"", " ", "\n", "a\nb\tc", `"quoted" \ 'and' ; DROP TABLE events --`,
		"with a \x00 inside", "\u202eright to left\u202c", "e\u0301 is not \u00e9",
		"👩‍👩‍👧‍👦 🇩🇪", "\U0010ffff\ufeff\ufffd", "١٢٣", "1", "0x10", "1e5", "007", "null",
		strings.Repeat("🙂", wire.MaxText), strings.Repeat("x", 200_000),
	}
	batch := make([]chat.Draft, len(odd))
	for i, text := range odd {
		batch[i] = draft("lobby", fmt.Sprint("n", i))
		batch[i].Text, batch[i].User.Name = text, "Ñandú 🙂 "+fmt.Sprint(i)
	}
	appendAll(t, st, batch...)
	for i, e := range wantDense(t, st, "lobby", len(odd)) {
		if e.Text != odd[i] || e.User != batch[i].User {
			t.Errorf("text %d came back as %.40q by %q, want %.40q", i, e.Text, e.User.Name, odd[i])
		}
	}
}

func times(t *testing.T, s Implementation) {
	st := s.fresh(t)
	for b := range 10 {
		appendAll(t, st, drafts("lobby", fmt.Sprint(b), 3)...)
	}
	var last time.Time
	for _, e := range wantDense(t, st, "lobby", 30) {
		if e.At.Before(last) {
			t.Errorf("seq %d is at %v, its predecessor at %v", e.Seq, e.At, last)
		}
		if e.At.Nanosecond()%int(time.Millisecond) != 0 || e.At.Location() != time.UTC {
			t.Errorf("seq %d is at %v, want whole milliseconds in UTC", e.Seq, e.At)
		}
		last = e.At
	}
}

func rooms(t *testing.T, s Implementation) {
	st := s.fresh(t)
	want := map[string]int64{"a": 2, "a-1": 1, "a1": 4, "a_1": 1, "b": 3, "0": 1, "zz": 2}
	for room, n := range want {
		appendAll(t, st, drafts(room, "n", int(n))...)
	}
	got, err := st.Rooms(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(got, func(a, b chat.RoomHead) int { return strings.Compare(a.Room, b.Room) }) {
		t.Errorf("rooms are not in byte order: %v", got)
	}
	if len(got) != len(want) {
		t.Errorf("%d rooms are listed, want %d", len(got), len(want))
	}
	for _, r := range got {
		last := after(t, st, r.Room, r.Head-1, 10)
		if r.Head != want[r.Room] || len(last) != 1 || !r.At.Equal(last[0].At) {
			t.Errorf("room %+v, want head %d and the time of %+v", r, want[r.Room], last)
		}
	}
}

func reopen(t *testing.T, s Implementation) {
	st := s.Open(t)
	epoch := st.Epoch()
	stored := appendAll(t, st, drafts("lobby", "n", 5)...)
	if err := st.PutSession(t.Context(), session(1, time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	st = s.beside(t, st)
	if st.Epoch() != epoch {
		t.Errorf("epoch = %q, was %q", st.Epoch(), epoch)
	}
	for i, e := range wantDense(t, st, "lobby", 5) {
		if e != stored[i].Event {
			t.Errorf("seq %d = %+v, was %+v", e.Seq, e, stored[i].Event)
		}
	}
	if _, err := st.Session(t.Context(), session(1, 0).TokenHash); err != nil {
		t.Errorf("session: %v", err)
	}
	if got := appendAll(t, st, draft("lobby", "n-2"), draft("lobby", "new")); !got[0].Duplicate || got[1].Event.Seq != 6 {
		t.Errorf("append after reopening = %+v", got)
	}
}

func epochs(t *testing.T, s Implementation) {
	a, b := s.fresh(t), s.fresh(t)
	if a.Epoch() == "" || a.Epoch() == b.Epoch() {
		t.Errorf("two logs have the epochs %q and %q", a.Epoch(), b.Epoch())
	}
	if c := s.beside(t, a); c.Epoch() != a.Epoch() {
		t.Errorf("one log has the epochs %q and %q", a.Epoch(), c.Epoch())
	}
}

// session is the n-th token's, which ends in d.
func session(n byte, d time.Duration) chat.Session {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return chat.Session{
		TokenHash: [32]byte{0: n, 7: 0, 31: 0xff},
		User:      chat.User{ID: fmt.Sprint("u-", n), Name: "Ada 🙂"},
		CreatedAt: now, ExpiresAt: now.Add(d),
	}
}

func wantSession(t *testing.T, s chat.Store, want chat.Session) {
	t.Helper()
	got, err := s.Session(t.Context(), want.TokenHash)
	if err != nil || got != want {
		t.Errorf("session = %+v, %v, want %+v", got, err, want)
	}
}

func wantNoSession(t *testing.T, s chat.Store, hash [32]byte) {
	t.Helper()
	if got, err := s.Session(t.Context(), hash); !errors.Is(err, chat.ErrNotFound) {
		t.Errorf("session = %+v, %v, want ErrNotFound", got, err)
	}
}

func sessions(t *testing.T, s Implementation) {
	st := s.fresh(t)
	other := s.beside(t, st)
	one, two := session(1, time.Hour), session(2, time.Hour)
	wantNoSession(t, st, one.TokenHash)
	put(t, st, one)
	put(t, other, two)
	wantSession(t, other, one)
	wantSession(t, st, two)
	one.User, one.ExpiresAt = chat.User{ID: "u-9", Name: "Grace"}, one.ExpiresAt.Add(time.Hour)
	put(t, st, one)
	wantSession(t, other, one)
	for range 2 { // the second time it does not exist
		if err := st.DeleteSession(t.Context(), one.TokenHash); err != nil {
			t.Errorf("delete: %v", err)
		}
		wantNoSession(t, other, one.TokenHash)
	}
	wantSession(t, st, two)
}

func put(t *testing.T, s chat.Store, session chat.Session) {
	t.Helper()
	if err := s.PutSession(t.Context(), session); err != nil {
		t.Fatalf("put session: %v", err)
	}
}

func sessionExpiry(t *testing.T, s Implementation) {
	st := s.fresh(t)
	put(t, st, session(1, -time.Second))
	wantNoSession(t, st, session(1, 0).TokenHash)
	long, short := session(2, time.Hour), session(3, 300*time.Millisecond)
	put(t, st, long)
	put(t, st, short)
	time.Sleep(time.Until(short.ExpiresAt))
	wantNoSession(t, st, short.TokenHash)
	put(t, st, session(4, time.Hour)) // a moment at which a store may clean up
	wantSession(t, st, long)
	wantNoSession(t, st, short.TokenHash)
}

func endedContext(t *testing.T, s Implementation) {
	st := s.fresh(t)
	appendAll(t, st, drafts("lobby", "n", 3)...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range map[string]func() error{
		"append":         func() error { _, err := st.Append(ctx, drafts("lobby", "late", 1)); return err },
		"after":          func() error { _, err := st.After(ctx, "lobby", 0, 1); return err },
		"before":         func() error { _, err := st.Before(ctx, "lobby", 3, 1); return err },
		"head":           func() error { _, err := st.Head(ctx, "lobby"); return err },
		"rooms":          func() error { _, err := st.Rooms(ctx); return err },
		"put session":    func() error { return st.PutSession(ctx, session(1, time.Hour)) },
		"session":        func() error { _, err := st.Session(ctx, [32]byte{}); return err },
		"delete session": func() error { return st.DeleteSession(ctx, [32]byte{}) },
		"ping":           func() error { return st.Ping(ctx) },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want context.Canceled", name, err)
		}
	}
	wantDense(t, st, "lobby", 3)
}

// contextEndsWithin: whatever an append was told when its context ended, no more
// of a batch is there than may be, and repeating it completes the log.
func contextEndsWithin(t *testing.T, s Implementation) {
	const batches, size = 20, 4
	st := s.fresh(t)
	for b := range batches {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(b)*100*time.Microsecond)
		_, err := st.Append(ctx, drafts("lobby", fmt.Sprint(b), size))
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("append = %v, want context.DeadlineExceeded", err)
		}
	}
	fresh := 0
	for b := range batches {
		got := appendAll(t, st, drafts("lobby", fmt.Sprint(b), size)...)
		for i, g := range got {
			switch {
			case i > 0 && g.Duplicate && !got[i-1].Duplicate:
				t.Errorf("batch %d was stored without its beginning", b)
			case g.Duplicate != got[0].Duplicate && s.Batches == Whole:
				t.Errorf("batch %d was stored in part", b)
			}
			if !g.Duplicate {
				fresh++
			}
		}
	}
	wantDense(t, st, "lobby", batches*size)
	t.Logf("%d of %d events were not stored before their context ended", fresh, batches*size)
}

func ping(t *testing.T, s Implementation) {
	st := s.fresh(t)
	for range 3 {
		if err := st.Ping(t.Context()); err != nil {
			t.Errorf("ping: %v", err)
		}
	}
	appendAll(t, st, draft("lobby", "n1"))
	wantDense(t, st, "lobby", 1) // a ping leaves nothing in the log
}
