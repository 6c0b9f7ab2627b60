package ws

import "testing"

// TestStates visits every pair of a state and an event.
func TestStates(t *testing.T) {
	table := map[state]map[event]state{
		serving:  {evFreeze: freezing, evGoodbye: serving, evClose: closed},
		freezing: {evQuiet: frozen, evGoodbye: serving, evThaw: serving, evClose: closed},
		frozen:   {evThaw: serving, evRelease: moved},
		held:     {evLoad: loaded, evResume: serving, evClose: closed},
		loaded:   {evResume: serving, evClose: closed},
		moved:    {},
		closed:   {},
	}
	for s := range states {
		for e := range events {
			got, ok := next(s, e)
			want, may := table[s][e]
			if !may {
				want = s
			}
			if got != want || ok != may {
				t.Errorf("%s, %s: got %s, %v; want %s, %v", s, e, got, ok, want, may)
			}
		}
	}
	if states.String() != "state(7)" || events.String() != "event(8)" {
		t.Errorf("got %s, %s", states, events)
	}
}
