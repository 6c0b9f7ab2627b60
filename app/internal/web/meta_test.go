package web

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"testing"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

var someHash = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))

func TestMetaTravels(t *testing.T) {
	want := meta{ID: "i", Name: "Zoë <🎈>", Session: bytes.Repeat([]byte{7}, 32), Greeted: true, Rooms: []string{"b", "a"}}
	b := strings.Replace(string(want.encode()), "{", `{"later":{"x":1},`, 1) // as a build after ours may write it
	got, err := parseMeta([]byte(b))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if s := got.owner(); s.User.Name != want.Name || s.User.ID != "i" || s.TokenHash[31] != 7 {
		t.Errorf("it belongs to %+v", s)
	}
}

func TestBadMetas(t *testing.T) {
	var rooms []string
	for i := range wire.MaxRooms + 1 {
		rooms = append(rooms, fmt.Sprintf(`"r%d"`, i))
	}
	for name, raw := range map[string]string{
		"nothing":        ``,
		"no JSON":        `{`,
		"no object":      `[]`,
		"nobody":         `{"session":"` + someHash + `"}`,
		"no session":     `{"id":"i"}`,
		"short session":  `{"id":"i","session":"AAAA"}`,
		"bad session":    `{"id":"i","session":"?"}`,
		"bad room":       `{"id":"i","session":"` + someHash + `","rooms":["No"]}`,
		"too many rooms": `{"id":"i","session":"` + someHash + `","rooms":[` + strings.Join(rooms, ",") + `]}`,
	} {
		if m, err := parseMeta([]byte(raw)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %+v, %v; want an error", name, m, err)
		}
	}
}

// FuzzMeta: whatever meta comes, it is refused or says whose connection it is.
func FuzzMeta(f *testing.F) {
	f.Add([]byte(`{"id":"i","name":"Ann","session":"` + someHash + `","greeted":true,"rooms":["lobby"]}`))
	f.Add([]byte(`{"id":"i","session":null}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b)
		if err != nil {
			return
		}
		if m.owner().User.ID == "" {
			t.Fatalf("%s is nobody's", b)
		}
		again, err := parseMeta(m.encode())
		if err != nil || !reflect.DeepEqual(again.owner(), m.owner()) {
			t.Fatalf("%s became %+v, %v", b, again, err)
		}
	})
}
