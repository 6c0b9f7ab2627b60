package load

import (
	"testing"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

func TestMessageRoundTrip(t *testing.T) {
	for _, m := range []message{{}, {1, 2, 3}, {4999, 123456, 1 << 50}} {
		if got, ok := parseMessage([]byte(m.text("beef")), "beef"); !ok || got != m {
			t.Errorf("got %+v %t, want %+v", got, ok, m)
		}
		if err := wire.ValidNonce(m.nonce("beef")); err != nil {
			t.Error(err)
		}
		if err := wire.ValidText(m.text("beef")); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "hello", "load", "load beef", "load beef 1 2", "load beef 1 2 3 4", "load beef 1 2 x", "load cafe 1 2 3", "load beef  1 2 3", "load beef -1 2 3"} {
		if m, ok := parseMessage([]byte(s), "beef"); ok {
			t.Errorf("%q is taken for %+v", s, m)
		}
	}
}

// The fast way to read an event is used for what the server writes.
func TestScanEvent(t *testing.T) {
	line := wire.AppendLine(nil, wire.Event{
		T: wire.KindEvent, Room: "r-1", Seq: 42, TS: 1700000000000, Kind: wire.EventPost,
		User: wire.User{ID: "x", Name: "load beef 1"}, Nonce: "beef.1.2", Text: "load beef 1 2 3",
	})
	e, ok := scanEvent(line[:len(line)-1])
	if !ok || string(e.room) != "r-1" || e.seq != 42 || string(e.text) != "load beef 1 2 3" {
		t.Errorf("got %+v %t", e, ok)
	}
}

// What a server writes is understood the same in the fast way and in the right
// way; what is written otherwise is left to the right way or is no event.
func FuzzScanEvent(f *testing.F) {
	f.Add([]byte(`{"t":"ev","room":"r","seq":1,"ts":2,"kind":"post","user":{"id":"i","name":"n"},"nonce":"x","text":"y"}`))
	f.Add([]byte(`{"t":"ev","room":"r","seq":1,"ts":2,"text":"a","text":"b"}`))
	f.Add([]byte(`{"t":"ev","room":"r\"","seq":01,"ts":2,"text":"a"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		got, ok := scanEvent(line)
		m, err := wire.ParseServer(line)
		e, isEvent := m.(*wire.Event)
		if !ok || err != nil || !isEvent || string(wire.AppendLine(nil, e)) != string(line)+"\n" {
			return
		}
		if e.Seq != got.seq || string(got.text) != e.Text || e.Room != string(got.room) {
			t.Errorf("got %+v of %s", got, line)
		}
	})
}

func TestKindOf(t *testing.T) {
	for line, want := range map[string]wire.Kind{
		`{"t":"pres","n":1}`: "pres", `{"t":"resync"}`: "resync", `{"a":1}`: "", `{"t":"x`: "", ``: "",
	} {
		if got := kindOf([]byte(line)); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}
