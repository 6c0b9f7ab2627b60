package chat

import (
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// TestLimits: cursors of any age go on, and nobody is told what was erased.
func TestLimits(t *testing.T) {
	for name, limits := range map[string]Limits{
		"posts": {Posts: 3},
		"age":   {Age: time.Hour},
		"both":  {Posts: 3, Age: 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				store := filled(t, 7)
				time.Sleep(2 * time.Hour)
				h := run(t, Options{Store: store, Limits: limits, ExpireEvery: time.Minute})
				ann := meet(t, h, "Ann", map[string]int64{"lobby": 7})
				for i := range 3 {
					if _, err := ann.post("lobby", string(rune('a'+i)), "kept"); err != nil {
						t.Fatal(err)
					}
				}
				soon(61 * time.Second)
				late := meet(t, h, "Late", map[string]int64{"lobby": 4})
				soon(time.Second)
				events := taken[*wire.Event](late)
				if len(events) != 6 {
					t.Fatalf("told %d events, want 6", len(events))
				}
				for _, e := range events {
					if old := e.Seq <= 7; old != (e.Kind == wire.EventVoid) || old != (e.Text == "") || old != (e.User.Name == "") {
						t.Errorf("told %+v", e)
					}
				}
				p, err := h.PostsBefore(t.Context(), "lobby", 100, 50)
				if err != nil || len(p.Posts) != 3 || p.More {
					t.Errorf("posts are %+v, %v, want 3", p, err)
				}
			})
		})
	}
}
