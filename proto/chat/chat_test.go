package chat

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// utterance is one line of the transcript, which the page's tests read too.
type utterance struct {
	Dir  string          `json:"dir"` // c: the client says it, s: the server
	Line json.RawMessage `json:"line"`
}

func transcript(t testing.TB) (all []utterance) {
	f, err := os.Open("testdata/transcript.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var u utterance
		if err := json.Unmarshal(lines.Bytes(), &u); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		all = append(all, u)
	}
	return all
}

// TestTranscript reads every line as its receiver does, and writes it again as
// it was.
func TestTranscript(t *testing.T) {
	seen := map[Kind]bool{}
	for _, u := range transcript(t) {
		read := ParseServer
		if u.Dir == "c" {
			read = ParseClient
		}
		m, err := read(u.Line)
		var e *Error
		if errors.As(err, &e) && e.Msg == "text must not be blank" { // the one mistake in it
			err = nil
		}
		if err != nil {
			t.Fatalf("%s: %v", u.Line, err)
		}
		if got := string(AppendLine(nil, m)); u.Dir == "s" && got != string(u.Line)+"\n" {
			t.Errorf("got  %swant %s", got, u.Line)
		}
		seen[Kind(reflect.ValueOf(m).Elem().FieldByName("T").String())] = true
	}
	for _, k := range []Kind{
		KindHello, KindJoin, KindLeave, KindPost, KindGet, KindPing, KindPong, KindWelcome, KindEvent,
		KindLive, KindReset, KindAck, KindNak, KindPage, KindPres, KindErr, KindBye, KindResync,
		KindEdit, KindDel, KindReact, KindRead, KindTyping,
	} {
		if !seen[k] {
			t.Errorf("the transcript has no %s", k)
		}
	}
}

func TestParseClientRefuses(t *testing.T) {
	rooms := map[string]int64{}
	for i := range MaxRooms + 1 {
		rooms[fmt.Sprint("r", i)] = 0
	}
	many, _ := json.Marshal(Hello{T: KindHello, Rooms: rooms})
	for _, tt := range []struct {
		line string
		want Code
	}{
		{``, CodeBadJSON},
		{`{`, CodeBadJSON},
		{`{"t":"ping"} x`, CodeBadJSON},
		{"{\"t\":\"ping\",\"x\":\"\xff\"}", CodeBadJSON},
		{strings.Repeat("[", 20000), CodeBadJSON},
		{`"ping"`, CodeBadField},
		{`{"t":5}`, CodeBadField},
		{`{}`, CodeBadField},
		{`{"t":"welcome"}`, CodeUnknown},
		{`{"t":"resync"}`, CodeUnknown},
		{`{"t":"hello","v":"1"}`, CodeBadField},
		{`{"t":"hello","v":1,"rooms":{"Lobby":0}}`, CodeBadField},
		{`{"t":"hello","v":1,"rooms":{"lobby":-2}}`, CodeBadField},
		{string(many), CodeTooMany},
		{`{"t":"join","room":"","seq":0}`, CodeBadField},
		{`{"t":"join","room":"-x","seq":0}`, CodeBadField},
		{`{"t":"join","room":"` + strings.Repeat("x", MaxRoomName+1) + `","seq":0}`, CodeBadField},
		{`{"t":"leave","room":"a b"}`, CodeBadField},
		{`{"t":"get","room":"lobby"}`, CodeBadField},
		{`{"t":"get","room":"lobby","after":1,"limit":201}`, CodeBadField},
		{`{"t":"post","room":"lobby","nonce":"","text":"x"}`, CodeBadField},
		{`{"t":"post","room":"lobby","nonce":"a b","text":"x"}`, CodeBadField},
		{`{"t":"post","room":"lobby","nonce":"` + strings.Repeat("x", MaxNonce+1) + `","text":"x"}`, CodeBadField},
		{`{"t":"post","room":"lobby","nonce":"n","text":"\u0007"}`, CodeBadField},
		{`{"t":"post","room":"lobby","nonce":"n","text":"\u202e"}`, CodeBadField},
		{`{"t":"post","room":"lobby","nonce":"n","text":"` + strings.Repeat("x", MaxText+1) + `"}`, CodeTooLong},
		{`{"t":"get","room":"lobby","after":1,"around":1}`, CodeBadField},
		{`{"t":"edit","room":"lobby","nonce":"n","of":0,"text":"x"}`, CodeBadField},
		{`{"t":"edit","room":"lobby","nonce":"n","of":1,"text":" "}`, CodeBadField},
		{`{"t":"edit","room":"lobby","nonce":"n","of":1,"text":"` + strings.Repeat("x", MaxText+1) + `"}`, CodeTooLong},
		{`{"t":"del","room":"lobby","nonce":"n"}`, CodeBadField},
		{`{"t":"del","room":"lobby","nonce":"","of":1}`, CodeBadField},
		{`{"t":"react","room":"lobby","nonce":"n","of":1,"emoji":"x","on":true}`, CodeBadField},
		{`{"t":"react","room":"lobby","nonce":"n","of":1,"emoji":"👍","on":1}`, CodeBadField},
		{`{"t":"read","room":"lobby","seq":-1}`, CodeBadField},
		{`{"t":"read","room":"","seq":1}`, CodeBadField},
		{`{"t":"typing","room":"a b"}`, CodeBadField},
	} {
		_, err := ParseClient([]byte(tt.line))
		var e *Error
		if !errors.As(err, &e) || e.Code != tt.want || e.Msg == "" || strings.Contains(e.Msg, "\n") {
			t.Errorf("%.80s: got %v, want %s in one line", tt.line, err, tt.want)
		}
	}
}

func TestParseClientIgnoresUnknownFields(t *testing.T) {
	m, err := ParseClient([]byte(`{"t":"join","room":"lobby","seq":3,"later":{"x":1}}`))
	if j, ok := m.(*Join); err != nil || !ok || j.Seq != 3 {
		t.Errorf("got %+v, %v; want the join", m, err)
	}
}

func TestValidName(t *testing.T) {
	for name, ok := range map[string]bool{
		"Ann": true, "Zoë B": true, "李雷": true, strings.Repeat("x", MaxNameCode): true, "🎈": true,
		"": false, " Ann": false, "Ann ": false, "A  B": false, "A\nB": false, "A\tB": false, "A\u202eB": false,
		"A\u00a0B": false, "A\u200bB": false, strings.Repeat("x", MaxNameCode+1): false, "\xff": false,
	} {
		if got := ValidName(name) == nil; got != ok {
			t.Errorf("%q: got %v, want %v", name, got, ok)
		}
	}
}

func TestValidEmoji(t *testing.T) {
	for _, s := range append(QuickReactions(), "❤", "👍🏽", "👩‍👩‍👧‍👦", "👩🏽‍💻", "🏳️‍🌈", "🇩🇪", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "1️⃣", "🫠", "©️", "☕") {
		if err := ValidEmoji(s); err != nil {
			t.Errorf("%s %+q: %v", s, s, err)
		}
	}
	for _, s := range []string{
		"", "a", "1", "👍👍", "👍 ", "\u200d", "👍\u200d", "\u200d👍", "🇩", "🇩🇪🇫🇷", "👍\ufe0f\ufe0f", "\ufe0f", "🏽",
		"\xff", "é", "👍\u202e", "1\ufe0f", strings.Repeat("👩‍", 20) + "👩",
	} {
		if ValidEmoji(s) == nil {
			t.Errorf("%s %+q passes for one emoji", s, s)
		}
	}
}

func TestLines(t *testing.T) {
	for frame, want := range map[string]int{"": 0, "\n\n": 0, "a": 1, "a\nb": 2, "a\r\n\n b \n": 2} {
		if got := Lines([]byte(frame)); len(got) != want {
			t.Errorf("%q: got %q, want %d lines", frame, got, want)
		}
	}
}

// FuzzParseClient: whatever comes, there is a message that keeps the limits or
// an error that can be shown, and a message reads the same when it is written.
func FuzzParseClient(f *testing.F) {
	for _, u := range transcript(f) {
		f.Add([]byte(u.Line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := ParseClient(line)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code == "" || e.Msg == "" || !utf8.ValidString(e.Msg) {
				t.Fatalf("error %#v", err)
			}
			return
		}
		again, err := ParseClient(bytes.TrimSpace(AppendLine(nil, m)))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v reads as %+v, %v", m, again, err)
		}
	})
}

// FuzzParseServer: a client must survive any server.
func FuzzParseServer(f *testing.F) {
	for _, u := range transcript(f) {
		f.Add([]byte(u.Line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if m, err := ParseServer(line); (m == nil) == (err == nil) {
			t.Fatalf("got %+v and %v", m, err)
		}
	})
}
