package mongo

import (
	"testing"
	"time"
)

func TestCourtesy(t *testing.T) {
	const ms = time.Millisecond
	now := time.Now()
	for name, c := range map[string]struct {
		met, rested, done time.Duration // ago
		took              time.Duration
		want              time.Duration
	}{
		"alone":                       {time.Hour, 49 * ms, ms, 3 * ms, 0},
		"alone, without a gap so far": {time.Hour, 50 * ms, ms, 3 * ms, 8 * ms},
		"alone, idle":                 {time.Hour, time.Hour, time.Minute, 3 * ms, 0},
		"met, just inserted":          {10 * ms, 0, 0, 3 * ms, 9 * ms},
		"met, inserted a while ago":   {10 * ms, 0, 4 * ms, 3 * ms, 5 * ms},
		"met, inserted long ago":      {900 * ms, 0, 900 * ms, 3 * ms, 0},
		"met, on a slow server":       {10 * ms, 0, 0, 4 * time.Second, courtesyMax},
		"met a while ago, not again":  {time.Second, 0, 0, 3 * ms, 0},
		"met, the last moment counts": {time.Second - 1, 0, 0, 3 * ms, 9 * ms},
	} {
		k := courtesy{met: now.Add(-c.met), rested: now.Add(-c.rested), done: now.Add(-c.done), took: c.took}
		if got := k.wait(now); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	if got := (&courtesy{}).wait(now); got != 0 {
		t.Errorf("the zero value waits %v", got)
	}
}

// Who inserts again and again has a gap every 50 ms; who has gaps anyway makes
// none.
func TestCourtesyOverTime(t *testing.T) {
	for idle, wantGaps := range map[time.Duration]int{0: 18, 10 * time.Millisecond: 1} {
		var c courtesy
		gaps := 0
		begin := time.Now()
		for now := begin; now.Sub(begin) < time.Second; now = now.Add(idle) {
			if d := c.wait(now); d > 0 {
				gaps++
				now = now.Add(d)
			}
			c.inserted(now, now.Add(2*time.Millisecond))
			now = now.Add(2 * time.Millisecond)
		}
		if gaps > wantGaps+2 || gaps < wantGaps-2 {
			t.Errorf("with %v between inserts: %d gaps in a second, want about %d", idle, gaps, wantGaps)
		}
	}
}
