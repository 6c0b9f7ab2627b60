package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

func edit(nonce string, of int64, text string) string {
	return string(wire.AppendLine(nil, &wire.Edit{T: wire.KindEdit, Room: "lobby", Nonce: nonce, Of: of, Text: text}))
}

func del(nonce string, of int64) string {
	return string(wire.AppendLine(nil, &wire.Del{T: wire.KindDel, Room: "lobby", Nonce: nonce, Of: of}))
}

func react(nonce string, of int64, emoji string, on bool) string {
	return string(wire.AppendLine(nil, &wire.React{T: wire.KindReact, Room: "lobby", Nonce: nonce, Of: of, Emoji: emoji, On: on}))
}

// refusedAs reads up to a nak and checks its code.
func refusedAs(t *testing.T, c *talker, nonce string, code wire.Code) {
	t.Helper()
	if nak := seek[*wire.Nak](c); nak.Nonce != nonce || nak.Code != code || nak.Msg == "" || nak.RetryMS != 0 {
		t.Errorf("got %+v, want %s refused for good as %s", nak, nonce, code)
	}
}

func TestAPostIsAmended(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann, bob := h.meet(h.guest("Ann"), hello), h.meet(h.guest("Bob"), hello)
	ann.say(post("n1", "frist"))
	seek[*wire.Ack](ann)
	seek[*wire.Event](bob)

	ann.say(edit("n2", 1, "first"))
	if ack := seek[*wire.Ack](ann); ack.Nonce != "n2" || ack.Seq != 2 {
		t.Errorf("got %+v, want the edit acknowledged at 2", ack)
	}
	if ev := seek[*wire.Event](bob); ev.Kind != wire.EventEdit || ev.Of != 1 || ev.Text != "first" || ev.User.Name != "Ann" {
		t.Errorf("got %+v, want the edit", ev)
	}
	bob.say(react("b1", 1, "🎉", true))
	if ev := seek[*wire.Event](bob); ev.Kind != wire.EventReact || ev.Of != 1 || ev.Emoji != "🎉" || ev.On == nil || !*ev.On {
		t.Errorf("got %+v, want the reaction", ev)
	}
	bob.say(`{"t":"get","room":"lobby","after":0}`)
	page := seek[*wire.Page](bob)
	if len(page.Events) != 1 || page.More {
		t.Fatalf("got %+v, want one post", page)
	}
	if e := page.Events[0]; e.Text != "first" || e.Edited == 0 || e.Rev != 3 || e.Reactions["🎉"] != (wire.Reaction{N: 1, Mine: true}) {
		t.Errorf("got %+v, want the post with all that became of it", e)
	}

	ann.say(del("n3", 1))
	if ev := seek[*wire.Event](bob); ev.Kind != wire.EventDel || ev.Of != 1 {
		t.Errorf("got %+v, want the deletion", ev)
	}
	bob.say(`{"t":"get","room":"lobby","around":1}`)
	page = seek[*wire.Page](bob)
	if e := page.Events[0]; !e.Deleted || e.Text != "" || e.Rev != 4 || len(e.Reactions) > 0 {
		t.Errorf("got %+v, want a tombstone", e)
	}
}

// TestWhatIsDeletedIsNotReplayed: neither from memory nor from the store.
func TestWhatIsDeletedIsNotReplayed(t *testing.T) {
	store := chat.NewMemory()
	h := open(t, store)
	ann := h.meet(h.guest("Ann"), hello)
	ann.say(post("n1", "secret one"), post("n2", "before it"))
	ann.say(edit("n3", 1, "secret two"), del("n4", 1), post("n5", "after it"))
	for range 5 {
		seek[*wire.Ack](ann)
	}
	for _, at := range []*house{h, open(t, store)} {
		c := at.meet(h.guest("Bob "+at.addr[len(at.addr)-4:]), hello)
		for want := int64(1); want <= 5; want++ {
			ev := take[*wire.Event](c)
			if ev.Seq != want || strings.Contains(ev.Text, "secret") {
				t.Errorf("got %+v, want event %d without the secret", ev, want)
			}
		}
		if _, body := h.do("GET", "/api/rooms/lobby/events?after=0", "", nil); strings.Contains(body, "secret") {
			t.Errorf("the history holds the secret: %s", body)
		}
	}
}

func TestWhoMayAmend(t *testing.T) {
	var admin string
	h := open(t, chat.NewMemory(), func(_ *Options, o *chat.Options) { o.Admin = func(user string) bool { return user == admin } })
	ann, bob := h.meet(h.guest("Ann"), hello), h.meet(h.guest("Bob"), hello)
	ann.say(post("n1", "mine"))
	seek[*wire.Ack](ann)
	bob.say(edit("b1", 1, "not mine"))
	refusedAs(t, bob, "b1", wire.CodeForbidden)
	bob.say(del("b2", 1))
	refusedAs(t, bob, "b2", wire.CodeForbidden)
	bob.say(react("b3", 9, "👍", true))
	refusedAs(t, bob, "b3", wire.CodeGone)
	bob.say(react("b4", 1, "👍", true))
	if ack := seek[*wire.Ack](bob); ack.Seq != 2 {
		t.Errorf("got %+v, want the reaction at 2", ack)
	}
	ann.say(edit("n2", 2, "a reaction has no text"))
	refusedAs(t, ann, "n2", wire.CodeGone)
	ann.say(edit("n3", 1, strings.Repeat("x", wire.MaxText+1)))
	refusedAs(t, ann, "n3", wire.CodeTooLong)
	ann.say(`{"t":"edit","room":"den","nonce":"n4","of":1,"text":"x"}`)
	refusedAs(t, ann, "n4", wire.CodeNotJoined)

	session := h.guest("Boss")
	_, body := h.do("GET", "/api/session", "", http.Header{"Cookie": {session}})
	var who struct {
		User string `json:"user"`
	}
	if err := json.Unmarshal([]byte(body), &who); err != nil {
		t.Fatal(err)
	}
	admin = who.User
	root := h.meet(session, hello)
	root.say(edit("r1", 1, "not even an admin"))
	refusedAs(t, root, "r1", wire.CodeForbidden)
	root.say(del("r2", 1))
	if ack := seek[*wire.Ack](root); ack.Nonce != "r2" {
		t.Errorf("got %+v, want the deletion", ack)
	}
	for i, line := range []string{edit("n5", 1, "too late"), react("n6", 1, "👍", true), del("n7", 1)} {
		ann.say(line)
		refusedAs(t, ann, fmt.Sprint("n", 5+i), wire.CodeGone)
	}
}

// TestAnAmendmentIsRepeated: what is stored is acknowledged for ever, also when it
// would be refused by now.
func TestAnAmendmentIsRepeated(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann := h.meet(h.guest("Ann"), hello)
	ann.say(post("n1", "one"))
	ann.say(edit("n2", 1, "two"))
	ann.say(del("n3", 1))
	for range 3 {
		seek[*wire.Ack](ann)
	}
	for want, line := range []string{post("n1", "one"), edit("n2", 1, "two"), del("n3", 1)} {
		ann.say(line)
		if ack := seek[*wire.Ack](ann); ack.Seq != int64(want)+1 {
			t.Errorf("got %+v, want seq %d again", ack, want+1)
		}
	}
	if head, err := h.hub.Head(t.Context(), "lobby"); head != 3 || err != nil {
		t.Errorf("the log has %d events, %v, want 3", head, err)
	}
}

func TestAPostTakesSoMuch(t *testing.T) {
	store := chat.NewMemory()
	drafts := []chat.Draft{{Room: "lobby", Kind: wire.EventPost, User: chat.User{ID: "u", Name: "U"}, Nonce: "p", Text: "x"}}
	for i := range wire.MaxAmendments {
		drafts = append(drafts, chat.Draft{Room: "lobby", Kind: wire.EventReact, User: chat.User{ID: "u", Name: "U"}, Nonce: fmt.Sprint(i), Of: 1, Emoji: "👍", On: i%2 == 0})
	}
	if _, err := store.Append(t.Context(), drafts); err != nil {
		t.Fatal(err)
	}
	h := open(t, store, func(_ *Options, o *chat.Options) { o.Admin = func(string) bool { return true } })
	c := h.meet(h.guest("Ann"), `{"t":"hello","v":1,"rooms":{"lobby":-1}}`)
	c.say(react("n1", 1, "👍", true))
	refusedAs(t, c, "n1", wire.CodeTooMany)
	c.say(del("n2", 1))
	if ack := seek[*wire.Ack](c); ack.Nonce != "n2" {
		t.Errorf("got %+v, want the deletion", ack)
	}
}

// TestAResetShowsPosts: among many reactions the last page still has posts.
func TestAResetShowsPosts(t *testing.T) {
	store := chat.NewMemory()
	ada := chat.User{ID: "u", Name: "U"}
	for i := range 100 {
		_, err := store.Append(t.Context(), []chat.Draft{
			{Room: "lobby", Kind: wire.EventPost, User: ada, Nonce: fmt.Sprint("p", i), Text: "x"},
			{Room: "lobby", Kind: wire.EventReact, User: ada, Nonce: fmt.Sprint("r", i), Of: 1, Emoji: "👍", On: true},
			{Room: "lobby", Kind: wire.EventReact, User: ada, Nonce: fmt.Sprint("s", i), Of: 1, Emoji: "👍"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	h := open(t, store)
	c := h.meet(h.guest("Ann"), `{"t":"hello","v":1,"rooms":{"lobby":-1}}`)
	if r := take[*wire.Reset](c); r.After != 150 || r.Head != 300 {
		t.Errorf("got %+v, want after 150 of 300", r)
	}
	for want := int64(151); want <= 300; want++ {
		if ev := take[*wire.Event](c); ev.Seq != want {
			t.Fatalf("got seq %d, want %d", ev.Seq, want)
		}
	}
}

func TestAroundAPost(t *testing.T) {
	h := open(t, filled(t, 100))
	c := h.meet(h.guest("Ann"), `{"t":"hello","v":1,"rooms":{"lobby":100}}`)
	for _, tt := range []struct {
		around      int64
		limit       int
		first, last int64
		more, after bool
	}{
		{50, 10, 45, 54, true, true}, {1, 10, 1, 5, false, true}, {100, 10, 95, 100, true, false}, {500, 4, 98, 100, true, false}, {50, 200, 1, 100, false, false}, {50, 1, 50, 50, true, true},
	} {
		c.say(fmt.Sprintf(`{"t":"get","room":"lobby","around":%d,"limit":%d}`, tt.around, tt.limit))
		p := seek[*wire.Page](c)
		if n := len(p.Events); n == 0 || p.Events[0].Seq != tt.first || p.Events[n-1].Seq != tt.last || p.More != tt.more || p.MoreAfter != tt.after {
			t.Errorf("around %d of %d: got %d to %d, %v and %v", tt.around, tt.limit, p.Events[0].Seq, p.Events[n-1].Seq, p.More, p.MoreAfter)
		}
	}
}

func TestSearch(t *testing.T) {
	h := open(t, chat.NewMemory())
	cookie := h.guest("Ann")
	ann := h.meet(cookie, hello)
	ann.say(post("n1", "the quick fox"), post("n2", "the lazy dog"), post("n3", "a QUICK one"))
	ann.say(edit("n4", 1, "the slow fox"), react("n5", 3, "👍", true))
	for range 5 {
		seek[*wire.Ack](ann)
	}
	get := func(query string) (events []wire.Event, more bool) {
		t.Helper()
		resp, body := h.do("GET", "/api/rooms/lobby/search?"+query, "", http.Header{"Cookie": {cookie}})
		var found struct {
			Events []wire.Event
			More   bool
		}
		if err := json.Unmarshal([]byte(body), &found); err != nil || resp.StatusCode != http.StatusOK || found.Events == nil {
			t.Fatalf("%s: %d %s", query, resp.StatusCode, body)
		}
		return found.Events, found.More
	}
	if e, more := get("q=quick"); len(e) != 1 || more || e[0].Seq != 3 || e[0].Reactions["👍"] != (wire.Reaction{N: 1, Mine: true}) || e[0].Rev != 5 {
		t.Errorf("got %+v, %v, want post 3 folded", e, more)
	}
	if e, more := get("q=the&limit=1"); len(e) != 1 || !more || e[0].Seq != 2 {
		t.Errorf("got %+v, %v, want post 2 and more", e, more)
	}
	if e, more := get("q=the&limit=1&before=2"); len(e) != 1 || more || e[0].Seq != 1 || e[0].Text != "the slow fox" {
		t.Errorf("got %+v, %v, want post 1 and no more", e, more)
	}
	for path, want := range map[string]int{
		"lobby/search": 400, "lobby/search?q=%20": 400, "lobby/search?q=x&after=1": 400, "lobby/search?q=x&limit=0": 400, "Bad/search?q=x": 400, "lobby/search?q=" + strings.Repeat("x", maxQuery+1): 400,
		"nowhere/search?q=x": 200,
	} {
		if resp, body := h.do("GET", "/api/rooms/"+path, "", http.Header{"Cookie": {cookie}}); resp.StatusCode != want {
			t.Errorf("%.60s: got %d %s, want %d", path, resp.StatusCode, body, want)
		}
	}
	if resp, _ := h.do("GET", "/api/rooms/lobby/search?q=the", "", nil); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a session: got %d, want 401", resp.StatusCode)
	}
}

func TestReadMarkers(t *testing.T) {
	store := chat.NewMemory()
	h := open(t, store)
	cookie := h.guest("Ann")
	phone, desk := h.meet(cookie, hello), h.meet(cookie, hello)
	phone.say(post("n1", "one"), post("n2", "two"))
	seek[*wire.Ack](phone)
	seek[*wire.Ack](phone)
	phone.say(`{"t":"read","room":"lobby","seq":1}`)
	if r := seek[*wire.Read](desk); r.Room != "lobby" || r.Seq != 1 {
		t.Errorf("got %+v, want read up to 1", r)
	}
	phone.say(`{"t":"read","room":"lobby","seq":99}`) // as far as there is anything
	if r := seek[*wire.Read](desk); r.Seq != 2 {
		t.Errorf("got %+v, want read up to 2", r)
	}
	phone.say(`{"t":"read","room":"den","seq":1}`)
	if e := seek[*wire.Err](phone); e.Code != wire.CodeNotJoined {
		t.Errorf("got %+v, want not_joined", e)
	}
	again := h.dial(cookie)
	again.say(hello)
	if w := seek[*wire.Welcome](again); fmt.Sprint(w.Reads) != "map[lobby:2]" {
		t.Errorf("welcome tells %v, want lobby at 2", w.Reads)
	}
	if _, body := h.do("GET", "/api/rooms", "", http.Header{"Cookie": {cookie}}); !strings.Contains(body, `"head":2,"members":1,"read":2`) {
		t.Errorf("rooms are %s", body)
	}
	if _, body := h.do("GET", "/api/rooms", "", nil); strings.Contains(body, "read") {
		t.Errorf("rooms without a session are %s", body)
	}
	_, body := h.do("GET", "/api/session", "", http.Header{"Cookie": {cookie}})
	var who struct {
		User string `json:"user"`
	}
	json.Unmarshal([]byte(body), &who)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		stored, err := store.Reads(t.Context(), who.User)
		if err == nil && stored["lobby"] == 2 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("stored is %v, %v, want lobby at 2", stored, err)
		}
	}
}

func TestTyping(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann, bob := h.meet(h.guest("Ann"), hello), h.meet(h.guest("Bob"), hello)
	begun := time.Now()
	ann.say(`{"t":"typing","room":"lobby"}`)
	if w := seek[*wire.Typists](bob); fmt.Sprint(w.Users) != "[Ann]" {
		t.Errorf("got %v, want Ann", w.Users)
	}
	bob.say(`{"t":"typing","room":"lobby"}`)
	if w := seek[*wire.Typists](bob); fmt.Sprint(w.Users) != "[Ann Bob]" {
		t.Errorf("got %v, want both", w.Users)
	}
	if late := time.Since(begun); late < 900*time.Millisecond {
		t.Errorf("two lines within %v, want a second between them", late)
	}
	late := h.meet(h.guest("Carol"), hello)
	if w := seek[*wire.Typists](late); fmt.Sprint(w.Users) != "[Ann Bob]" {
		t.Errorf("who comes is told %v, want both", w.Users)
	}
	ann.say(post("n1", "said"))
	if w := seek[*wire.Typists](bob); fmt.Sprint(w.Users) != "[Bob]" {
		t.Errorf("got %v, want Bob", w.Users)
	}
	if w := seek[*wire.Typists](bob); len(w.Users) != 0 || w.Users == nil {
		t.Errorf("got %v, want an empty list", w.Users)
	}
	if quiet := time.Since(begun); quiet < wire.TypingLimit {
		t.Errorf("Bob was forgotten after %v", quiet)
	}
}
