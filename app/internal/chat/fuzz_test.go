package chat

import (
	"testing"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// FuzzHear: whatever comes over the bus, from whatever build, the hub lives on,
// and nobody is told of events that the store does not have.
func FuzzHear(f *testing.F) {
	for _, s := range []string{
		`{"heads":{"lobby":3}}`, `{"heads":{"lobby":-1,"other":9223372036854775807}}`,
		`{"here":{"lobby":[{"id":"u","name":"Bob"},{"id":"","name":""}]}}`, `{"typing":{"lobby":[{"id":"u","name":"Bob"}]}}`,
		`{"read":[{"u":"id-Ann","r":"lobby","s":2},{"u":"","r":"","s":-5}]}`, `{"later":[1]}`, `[]`, `{`, "\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bubble(t, func(t *testing.T) {
			h := run(t, Options{Store: filled(t, 2)})
			ann := meet(t, h, "Ann", map[string]int64{"lobby": 0})
			defer ann.Close()
			soon(h.o.PresenceEvery)
			h.hear(data)
			soon(h.o.PresenceEvery)
			if _, err := ann.post("lobby", "n", "still here"); err != nil {
				t.Fatal(err)
			}
			soon(h.o.PresenceEvery)
			if told := taken[*wire.Event](ann); len(told) != 3 || told[2].Text != "still here" {
				t.Errorf("told %d events, want 3", len(told))
			}
		})
	})
}
