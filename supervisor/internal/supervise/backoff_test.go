package supervise

import (
	"testing"
	"time"
)

var defaults = Restart{}.withDefaults()

func TestRestartDefaults(t *testing.T) {
	want := Restart{Min: 100 * time.Millisecond, Max: 30 * time.Second, ResetAfter: time.Minute}
	if defaults != want {
		t.Errorf("got %+v, want %+v", defaults, want)
	}
	if r := (Restart{Min: time.Minute, Max: time.Second}).withDefaults(); r.Max != time.Minute {
		t.Errorf("a minimum over the maximum: got %+v, want the minimum to win", r)
	}
}

// The n-th failure in a row waits between Min and Min·2^(n-2), at most Max.
func TestWaitsGrowWithinTheirBounds(t *testing.T) {
	for range 200 {
		b := backoff{restart: defaults}
		if wait := b.next(0); wait != 0 {
			t.Fatalf("first failure: waits %s, want 0", wait)
		}
		bound := defaults.Min
		for n := 2; n <= 40; n++ {
			wait := b.next(0)
			if wait < defaults.Min || wait > bound {
				t.Fatalf("failure %d: waits %s, want %s to %s", n, wait, defaults.Min, bound)
			}
			bound = min(2*bound, defaults.Max)
		}
		if bound != defaults.Max {
			t.Fatalf("the bound ends at %s, want %s", bound, defaults.Max)
		}
	}
}

// Supervisors whose workers crash together must not restart them together.
func TestWaitsAreSpreadOut(t *testing.T) {
	seen := map[time.Duration]bool{}
	var shortest, longest time.Duration = defaults.Max, 0
	for range 1000 {
		b := backoff{restart: defaults, failures: 20}
		wait := b.next(0)
		seen[wait] = true
		shortest, longest = min(shortest, wait), max(longest, wait)
	}
	if len(seen) < 900 || shortest > defaults.Max/10 || longest < defaults.Max*9/10 {
		t.Errorf("1000 waits: %d different ones from %s to %s", len(seen), shortest, longest)
	}
}

func TestAStableWorkerIsForgiven(t *testing.T) {
	b := backoff{restart: defaults, failures: 20}
	if wait := b.next(defaults.ResetAfter - 1); wait == 0 {
		t.Error("not stable yet: restarted at once")
	}
	if wait := b.next(defaults.ResetAfter); wait != 0 {
		t.Errorf("stable: waits %s, want 0", wait)
	}
	if wait := b.next(0); wait != defaults.Min {
		t.Errorf("the next failure waits %s, want %s", wait, defaults.Min)
	}
	b.reset()
	if wait := b.next(0); wait != 0 {
		t.Errorf("after an operator chose another build: waits %s, want 0", wait)
	}
}
