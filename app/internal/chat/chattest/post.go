package chattest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// amendedPosts checks the guarantees of [chat.PostStore].
func amendedPosts(t *testing.T, s Implementation) {
	for _, test := range []struct {
		promise string
		check   func(*testing.T, Implementation)
	}{
		{"events about a post come back as they were", amendments},
		{"events about posts are found by post", aboutPosts},
		{"posts are paged without what is about them", postPages},
		{"a stored nonce is found", storedNonce},
		{"a del erases", delErases},
		{"a del that is repeated erases", delAgain},
		{"an edit behind a del is erased", editBehindDel},
		{"a search finds the beginnings of words", searchWords},
		{"a search finds the latest text only", searchLatest},
		{"a search goes back page by page", searchPages},
		{"limits void, and nothing else changes", expireKeeps},
		{"limits of age and count", expireLimits},
		{"read markers never go back", readMarkers},
		{"an ended context ends the reading of posts", endedPostContext},
	} {
		t.Run(test.promise, func(t *testing.T) { test.check(t, s) })
	}
}

func said(room, nonce, text string) chat.Draft {
	d := draft(room, nonce)
	d.Text = text
	return d
}

// about is a draft about a post, of ada.
func about(room, nonce string, kind wire.EventKind, of int64) chat.Draft {
	d := draft(room, nonce)
	d.Kind, d.Of, d.Text = kind, of, ""
	return d
}

func edited(room, nonce string, of int64, text string) chat.Draft {
	d := about(room, nonce, wire.EventEdit, of)
	d.Text = text
	return d
}

func reacted(room, nonce string, of int64, emoji string, on bool) chat.Draft {
	d := about(room, nonce, wire.EventReact, of)
	d.Emoji, d.On = emoji, on
	return d
}

func seqsOf(events []chat.Event) (seqs []int64) {
	for _, e := range events {
		seqs = append(seqs, e.Seq)
	}
	return seqs
}

// read ends the test if a reading fails.
func read[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func amendments(t *testing.T, s Implementation) {
	st := s.fresh(t)
	got := appendAll(t, st, draft("lobby", "p"), edited("lobby", "e", 1, "better"), reacted("lobby", "r1", 1, "👍🏽", true), reacted("lobby", "r2", 1, "👍🏽", false))
	stored := wantDense(t, s.beside(t, st), "lobby", 4)
	for i, want := range []chat.Event{
		{Kind: wire.EventPost, Nonce: "p", Text: "text of p"},
		{Kind: wire.EventEdit, Nonce: "e", Text: "better", Of: 1},
		{Kind: wire.EventReact, Nonce: "r1", Of: 1, Emoji: "👍🏽", On: true},
		{Kind: wire.EventReact, Nonce: "r2", Of: 1, Emoji: "👍🏽"},
	} {
		want.Room, want.Seq, want.At, want.User = "lobby", int64(i)+1, stored[i].At, stored[0].User
		if stored[i] != want || got[i].Event != want {
			t.Errorf("stored is %+v, appended was %+v, want %+v", stored[i], got[i].Event, want)
		}
	}
}

func aboutPosts(t *testing.T, s Implementation) {
	st := s.fresh(t)
	appendAll(t, st, drafts("lobby", "p", 3)...)
	appendAll(t, st, drafts("den", "p", 3)...)
	appendAll(t, st, reacted("lobby", "a", 2, "👍", true), edited("lobby", "b", 1, "x"), reacted("lobby", "c", 2, "🎉", true), reacted("den", "d", 2, "👍", true), reacted("lobby", "e", 3, "👍", true))
	for _, c := range []struct{ posts, want []int64 }{
		{nil, nil}, {[]int64{9}, nil}, {[]int64{2}, []int64{4, 6}}, {[]int64{2, 1}, []int64{4, 5, 6}}, {[]int64{1, 2, 3, 4}, []int64{4, 5, 6, 7}}, {[]int64{0}, nil},
	} {
		if got := seqsOf(read[[]chat.Event](t)(st.About(t.Context(), "lobby", c.posts))); !slices.Equal(got, c.want) {
			t.Errorf("about %v are %v, want %v", c.posts, got, c.want)
		}
	}
}

func postPages(t *testing.T, s Implementation) {
	st := s.fresh(t)
	appendAll(t, st, drafts("lobby", "p", 3)...)                                                                      // 1 2 3
	appendAll(t, st, reacted("lobby", "a", 2, "👍", true), edited("lobby", "b", 1, "x"), draft("lobby", "q"))          // 6
	appendAll(t, st, about("lobby", "c", wire.EventDel, 3), draft("lobby", "r"), reacted("lobby", "d", 8, "👍", true)) // 8
	appendAll(t, st, drafts("lobbz", "p", 3)...)
	for _, c := range []struct {
		name  string
		read  func(context.Context, string, int64, int) ([]chat.Event, error)
		seq   int64
		limit int
		want  []int64
	}{
		{"before the end", st.PostsBefore, math.MaxInt64, 3, []int64{3, 6, 8}},
		{"before a post", st.PostsBefore, 6, 2, []int64{2, 3}},
		{"before the first", st.PostsBefore, 1, 2, nil},
		{"before nothing", st.PostsBefore, -5, 2, nil},
		{"before with limit 0", st.PostsBefore, 9, 0, nil},
		{"after the start", st.PostsAfter, 0, 2, []int64{1, 2}},
		{"after a post", st.PostsAfter, 3, 5, []int64{6, 8}},
		{"after below the start", st.PostsAfter, -9, 1, []int64{1}},
		{"after the head", st.PostsAfter, 9, 5, nil},
		{"after with limit -1", st.PostsAfter, 0, -1, nil},
	} {
		if got := seqsOf(read[[]chat.Event](t)(c.read(t.Context(), "lobby", c.seq, c.limit))); !slices.Equal(got, c.want) {
			t.Errorf("%s = %v, want %v", c.name, got, c.want)
		}
	}
}

func storedNonce(t *testing.T, s Implementation) {
	st := s.fresh(t)
	want := appendAll(t, st, draft("lobby", "p"))[0].Event
	if got := read[chat.Event](t)(st.Stored(t.Context(), "lobby", want.User.ID, "p")); got != want {
		t.Errorf("stored is %+v, want %+v", got, want)
	}
	for _, key := range [][3]string{{"den", want.User.ID, "p"}, {"lobby", "u-bob", "p"}, {"lobby", want.User.ID, "q"}} {
		if _, err := st.Stored(t.Context(), key[0], key[1], key[2]); !errors.Is(err, chat.ErrNotFound) {
			t.Errorf("%v: got %v, want ErrNotFound", key, err)
		}
	}
}

// wantErased checks that of events nothing but the texts has changed, and those
// of some are empty.
func wantErased(t *testing.T, s chat.Store, before []chat.Event, erased ...int64) {
	t.Helper()
	now := after(t, s, "lobby", 0, len(before))
	for i, want := range before {
		if slices.Contains(erased, want.Seq) {
			want.Text = ""
		}
		if now[i] != want {
			t.Errorf("stored is %+v, want %+v", now[i], want)
		}
	}
}

func delErases(t *testing.T, s Implementation) {
	st := s.fresh(t)
	appendAll(t, st, draft("lobby", "p"), draft("lobby", "q"), edited("lobby", "e", 1, "better"), edited("lobby", "f", 2, "too"), reacted("lobby", "r", 1, "👍", true))
	before := wantDense(t, st, "lobby", 5)
	d := about("lobby", "d", wire.EventDel, 1)
	d.User = chat.User{ID: "u-admin", Name: "Admin"} // whoever may: a store does not ask
	appendAll(t, st, d, about("lobby", "nowhere", wire.EventDel, 99), about("den", "d", wire.EventDel, 2))
	wantErased(t, st, before, 1, 3)
	wantErased(t, s.beside(t, st), before, 1, 3)
	wantDense(t, st, "lobby", 7)
	if again := appendAll(t, st, draft("lobby", "p"))[0]; !again.Duplicate || again.Event.Seq != 1 || again.Event.Text != "" {
		t.Errorf("the post again is %+v, want its erased first one", again)
	}
}

func delAgain(t *testing.T, s Implementation) {
	st := s.fresh(t)
	appendAll(t, st, draft("lobby", "p"), edited("lobby", "e", 1, "better"))
	before := wantDense(t, st, "lobby", 2)
	d := about("lobby", "d", wire.EventDel, 1)
	if got := appendAll(t, st, d, d, draft("lobby", "q")); !got[1].Duplicate || got[0].Event != got[1].Event || got[2].Event.Seq != 4 {
		t.Errorf("appended are %+v", got)
	}
	wantErased(t, st, before, 1, 2)
	appendAll(t, s.beside(t, st), d)
	wantErased(t, st, before, 1, 2)
	wantDense(t, st, "lobby", 4)
}

func editBehindDel(t *testing.T, s Implementation) {
	st := s.fresh(t)
	appendAll(t, st, draft("lobby", "p"), about("lobby", "d", wire.EventDel, 1), edited("lobby", "e", 1, "too late"))
	if got := after(t, st, "lobby", 2, 1)[0]; got.Text != "" || got.Kind != wire.EventEdit {
		t.Errorf("stored is %+v, want it without its text", got)
	}
	if found := read[[]chat.Event](t)(st.Search(t.Context(), "lobby", []string{"late"}, math.MaxInt64, 9)); len(found) > 0 {
		t.Errorf("found %+v", found)
	}
}

func search(t *testing.T, s chat.Store, room, typed string) []int64 {
	t.Helper()
	return seqsOf(read[[]chat.Event](t)(s.Search(t.Context(), room, chat.Query(typed), math.MaxInt64, 50)))
}

func searchWords(t *testing.T, s Implementation) {
	st := s.fresh(t)
	appendAll(t, st,
		said("lobby", "1", "The quick brown fox, 42 times."), said("lobby", "2", "BROWN is a colour; QUICKLY!"), said("lobby", "3", "Ёлка и Straße — ΣΊΣΥΦΟΣ"),
		said("lobby", "4", "don't say http://example.org/path?x=1"), said("lobby", "5", "日本語 です"), said("lobby", "6", `"quoted" OR NOT words:x * NEAR(`), said("lobby-2", "7", "quick brown elsewhere"))
	for typed, want := range map[string][]int64{
		"quick": {2, 1}, "QUICK brown": {2, 1}, "quickly": {2}, "brown fox": {1}, "fox brown": {1}, "4": {1}, "uick": nil, "fox colour": nil,
		"ёл": {3}, "ЁЛКА": {3}, "straß": {3}, "σίσυφος": {3}, "example": {4}, "don't": {4}, "日本": {5}, "です": {5},
		"quoted": {6}, "or not near": {6}, `") OR *`: {6, 4}, "": nil, "—": nil, "nothing of it": nil,
	} {
		if got := search(t, st, "lobby", typed); !slices.Equal(got, want) {
			t.Errorf("%q is found in %v, want %v", typed, got, want)
		}
	}
	for room, want := range map[string][]int64{"lobby-2": {1}, "2": nil, "lobb": nil, "nowhere": nil} {
		if got := search(t, st, room, "brown"); !slices.Equal(got, want) {
			t.Errorf("in %s found %v, want %v", room, got, want)
		}
	}
}

func searchLatest(t *testing.T, s Implementation) {
	st := s.fresh(t)
	appendAll(t, st, said("lobby", "1", "apples"), said("lobby", "2", "apples too"), said("lobby", "3", "apples again"))
	appendAll(t, st, edited("lobby", "e1", 1, "cherries"), edited("lobby", "e2", 1, "pears"), about("lobby", "d", wire.EventDel, 2))
	other := edited("lobby", "forged", 3, "peaches")
	other.User.ID = "u-bob"
	appendAll(t, st, other)
	for typed, want := range map[string][]int64{"apples": {3}, "cherries": nil, "pears": {1}, "too": nil, "peaches": nil} {
		if got := search(t, st, "lobby", typed); !slices.Equal(got, want) {
			t.Errorf("%q is found in %v, want %v", typed, got, want)
		}
	}
}

func searchPages(t *testing.T, s Implementation) {
	st := s.fresh(t)
	for i := range 4 {
		appendAll(t, st, said("lobby", fmt.Sprint("a", i), "even "+strings.Repeat("x", i+1)), said("lobby", fmt.Sprint("b", i), "odd"), said("den", fmt.Sprint("c", i), "even"))
	}
	for _, c := range []struct {
		before int64
		limit  int
		want   []int64
	}{
		{math.MaxInt64, 3, []int64{7, 5, 3}}, {7, 3, []int64{5, 3, 1}}, {6, 1, []int64{5}}, {3, 5, []int64{1}}, {1, 5, nil}, {0, 5, nil}, {9, 0, nil},
	} {
		found := read[[]chat.Event](t)(st.Search(t.Context(), "lobby", []string{"even"}, c.before, c.limit))
		if got := seqsOf(found); !slices.Equal(got, c.want) {
			t.Errorf("before %d are %v, want %v", c.before, got, c.want)
		}
	}
}

// expire ends the test if it fails.
func expire(t *testing.T, s chat.Store, before time.Time, keep, limit int) (voided int, upTo int64) {
	t.Helper()
	voided, upTo, err := s.Expire(t.Context(), "lobby", before, keep, limit)
	if err != nil {
		t.Fatal(err)
	}
	return voided, upTo
}

func expireKeeps(t *testing.T, s Implementation) {
	st := s.fresh(t)
	appendAll(t, st, drafts("lobby", "p", 4)...)
	appendAll(t, st, edited("lobby", "e", 1, "text of old"), reacted("lobby", "r", 4, "👍", true), draft("lobby", "q"), draft("den", "p-0"))
	all := wantDense(t, st, "lobby", 7)
	if voided, upTo := expire(t, st, time.Time{}, 2, 100); voided != 3 || upTo != 3 {
		t.Errorf("voided %d up to %d, want 3 up to 3", voided, upTo)
	}
	now := wantDense(t, s.beside(t, st), "lobby", 7)
	for i, e := range all {
		if e.Seq <= 3 {
			e = e.Void()
		}
		if now[i] != e {
			t.Errorf("stored is %+v, want %+v", now[i], e)
		}
	}
	if got := seqsOf(read[[]chat.Event](t)(st.PostsAfter(t.Context(), "lobby", 0, 10))); !slices.Equal(got, []int64{4, 7}) {
		t.Errorf("posts are %v, want 4 and 7", got)
	}
	if got := search(t, st, "lobby", "text"); !slices.Equal(got, []int64{7, 4}) {
		t.Errorf("found are %v, want 7 and 4", got)
	}
	if again := appendAll(t, st, draft("lobby", "p-0"))[0]; !again.Duplicate || again.Event.Seq != 1 {
		t.Errorf("a nonce of before is %+v, want a duplicate", again)
	}
	if voided, upTo := expire(t, st, time.Time{}, 2, 100); voided != 0 || upTo != 0 {
		t.Errorf("again: voided %d up to %d, want none", voided, upTo)
	}
	wantDense(t, st, "den", 1)
}

func expireLimits(t *testing.T, s Implementation) {
	st := s.fresh(t)
	if voided, upTo := expire(t, st, time.Now(), 1, 10); voided != 0 || upTo != 0 {
		t.Errorf("of nothing: voided %d up to %d", voided, upTo)
	}
	appendAll(t, st, drafts("lobby", "p", 6)...)
	for _, c := range []struct {
		name         string
		before       time.Time
		keep, limit  int
		voided, upTo int64
	}{
		{"none", time.Time{}, 0, 10, 0, 0},
		{"as many as there are", time.Time{}, 6, 10, 0, 0},
		{"nothing is so old", time.Now().Add(-time.Hour), 0, 10, 0, 0},
		{"a part at a time", time.Time{}, 2, 3, 3, 3},
		{"the rest", time.Time{}, 2, 3, 1, 4},
		{"everything is older", time.Now().Add(time.Hour), 5, 10, 2, 6},
	} {
		if voided, upTo := expire(t, st, c.before, c.keep, c.limit); int64(voided) != c.voided || upTo != c.upTo {
			t.Errorf("%s: voided %d up to %d, want %d up to %d", c.name, voided, upTo, c.voided, c.upTo)
		}
	}
	appendAll(t, st, draft("lobby", "new"))
	wantDense(t, st, "lobby", 7)
}

func readMarkers(t *testing.T, s Implementation) {
	st := s.fresh(t)
	put := func(s chat.Store, reads ...chat.Read) {
		t.Helper()
		if err := s.PutReads(t.Context(), reads); err != nil {
			t.Fatal(err)
		}
	}
	put(st)
	put(st, chat.Read{User: "u", Room: "lobby", Seq: 5}, chat.Read{User: "u", Room: "den", Seq: 1}, chat.Read{User: "v", Room: "lobby", Seq: 9})
	other := s.beside(t, st)
	put(other, chat.Read{User: "u", Room: "lobby", Seq: 3}, chat.Read{User: "u", Room: "den", Seq: 2}, chat.Read{User: "u", Room: "den", Seq: 1})
	putW := func(i int) {
		if err := []chat.Store{st, other}[i%2].PutReads(t.Context(), []chat.Read{{User: "w", Room: "lobby", Seq: int64(i)}}); err != nil {
			t.Error(err)
		}
	}
	if s.LosesUpdates {
		for i := range 8 {
			putW(7 - i)
		}
	} else {
		concurrently(8, putW)
	}
	for user, want := range map[string]string{"u": "map[den:2 lobby:5]", "v": "map[lobby:9]", "w": "map[lobby:7]", "nobody": "map[]"} {
		if got := fmt.Sprint(read[map[string]int64](t)(st.Reads(t.Context(), user))); got != want {
			t.Errorf("%s has read %s, want %s", user, got, want)
		}
	}
}

func endedPostContext(t *testing.T, s Implementation) {
	st := s.fresh(t)
	appendAll(t, st, draft("lobby", "p"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, before := st.PostsBefore(ctx, "lobby", 9, 9)
	_, after := st.PostsAfter(ctx, "lobby", 0, 9)
	_, about := st.About(ctx, "lobby", []int64{1})
	_, stored := st.Stored(ctx, "lobby", "u-ada", "p")
	_, search := st.Search(ctx, "lobby", []string{"text"}, 9, 9)
	_, _, expire := st.Expire(ctx, "lobby", time.Now(), 1, 1)
	_, reads := st.Reads(ctx, "u")
	for i, err := range []error{before, after, about, stored, search, expire, reads, st.PutReads(ctx, []chat.Read{{User: "u", Room: "lobby", Seq: 1}})} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%d: got %v, want context.Canceled", i, err)
		}
	}
}
