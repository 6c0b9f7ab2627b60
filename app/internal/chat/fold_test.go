package chat

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

func TestFold(t *testing.T) {
	at := func(seq int64) time.Time { return time.UnixMilli(1000 * seq).UTC() }
	ann, bob := User{"a", "Ann"}, User{"b", "Bob"}
	post := Event{Seq: 1, At: at(1), Kind: wire.EventPost, User: ann, Text: "one"}
	edit := func(seq int64, u User, text string) Event {
		return Event{Seq: seq, At: at(seq), Kind: wire.EventEdit, User: u, Of: 1, Text: text}
	}
	react := func(seq int64, u User, emoji string, on bool) Event {
		return Event{Seq: seq, At: at(seq), Kind: wire.EventReact, User: u, Of: 1, Emoji: emoji, On: on}
	}
	del := func(seq int64) Event { return Event{Seq: seq, At: at(seq), Kind: wire.EventDel, User: bob, Of: 1} }
	for _, tt := range []struct {
		name  string
		about []Event
		want  string // text, seconds of the last edit, deleted, reactions
		rev   int64
	}{
		{"nothing", nil, "one 0 false map[]", 1},
		{"the last edit counts", []Event{edit(2, ann, "two"), edit(3, ann, "three")}, "three 3 false map[]", 3},
		{"of somebody else none", []Event{edit(2, bob, "two")}, "one 0 false map[]", 2},
		{"reactions are counted once a user", []Event{react(2, ann, "x", true), react(3, ann, "x", true), react(4, bob, "x", true), react(5, bob, "y", true)}, "one 0 false map[x:[a b] y:[b]]", 5},
		{"and taken away", []Event{react(2, ann, "x", true), react(3, bob, "x", true), react(4, ann, "x", false)}, "one 0 false map[x:[b]]", 4},
		{"the last one too", []Event{react(2, ann, "x", true), react(3, ann, "x", false), react(4, ann, "x", false)}, "one 0 false map[]", 4},
		{"a del takes all", []Event{edit(2, ann, "two"), react(3, bob, "x", true), del(4)}, " 0 true map[]", 4},
		{"and nothing comes behind it", []Event{del(2), edit(3, ann, "two"), react(4, bob, "x", true), del(5)}, " 0 true map[]", 5},
		{"what is about another post", []Event{{Seq: 2, Kind: wire.EventDel, Of: 9}}, "one 0 false map[]", 1},
		{"a kind of a later build", []Event{{Seq: 2, Kind: "pin", Of: 1}}, "one 0 false map[]", 2},
	} {
		p := Fold([]Event{post}, tt.about)[0]
		var edited int64
		if !p.Edited.IsZero() {
			edited = p.Edited.Unix()
		}
		if got := fmt.Sprint(p.Text, " ", edited, " ", p.Deleted, " ", p.Reactions); got != tt.want || p.Rev != tt.rev {
			t.Errorf("%s: got %s at %d, want %s at %d", tt.name, got, p.Rev, tt.want, tt.rev)
		}
	}
}

// TestFoldGoesOn: who folds a part and then live events comes to the same, with
// repeats of what is folded in.
func TestFoldGoesOn(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var log []Event
		for seq := int64(2); seq < 12; seq++ {
			e := Event{Seq: seq, User: User{ID: fmt.Sprint("u", rnd.IntN(3))}, Of: 1}
			switch rnd.IntN(8) {
			case 0:
				e.Kind = wire.EventDel
			case 1, 2:
				e.Kind, e.Text = wire.EventEdit, fmt.Sprint("text ", seq)
			default:
				e.Kind, e.Emoji, e.On = wire.EventReact, fmt.Sprint("e", rnd.IntN(2)), rnd.IntN(2) == 0
			}
			log = append(log, e)
		}
		post := []Event{{Seq: 1, Kind: wire.EventPost, User: User{ID: "u0"}, Text: "text"}}
		want := Fold(slices.Clone(post), log)[0]
		cut := rnd.IntN(len(log) + 1)
		got := Fold(slices.Clone(post), log[:cut])[0]
		for i := range log[:rnd.IntN(len(log)+1)] {
			got.fold(&log[i])
		}
		for i := range log {
			got.fold(&log[i])
		}
		if len(got.Reactions) == 0 && len(want.Reactions) == 0 {
			got.Reactions, want.Reactions = nil, nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"": "[]", " — !": "[]", "One two ONE": "[one two]", "don't": "[don t]", "x1 2y": "[x1 2y]", "日本語 です": "[日本語 です]", "ΣΊΣΥΦΟΣ": "[σίσυφοσ]",
	} {
		if got := fmt.Sprint(Words(text)); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	if n := len(Query("a b c d e f g h i j k l")); n != maxWords {
		t.Errorf("a query has %d words, want %d", n, maxWords)
	}
}

// FuzzMatches: every word of a text finds it, and so does its beginning.
func FuzzMatches(f *testing.F) {
	f.Add("The quick, brown föx: ſtraße Σ")
	f.Fuzz(func(t *testing.T, text string) {
		for _, w := range Words(text) {
			if !Matches(text, []string{w}) || !Matches(text, []string{string([]rune(w)[:1])}) {
				t.Errorf("%q is not found by %q", text, w)
			}
		}
	})
}
