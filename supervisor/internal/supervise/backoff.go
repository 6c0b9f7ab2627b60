package supervise

import (
	"math/rand/v2"
	"time"
)

// Restart says how soon a crashed worker is started again.
type Restart struct {
	Min        time.Duration // the first wait after a restart that did not help; 0 means 100 ms
	Max        time.Duration // the longest wait; 0 means 30 s
	ResetAfter time.Duration // a worker that lived so long was stable; 0 means 60 s
}

func (r Restart) withDefaults() Restart {
	if r.Min <= 0 {
		r.Min = 100 * time.Millisecond
	}
	if r.Max <= 0 {
		r.Max = 30 * time.Second
	}
	r.Max = max(r.Max, r.Min)
	if r.ResetAfter <= 0 {
		r.ResetAfter = 60 * time.Second
	}
	return r
}

// backoff counts failures in a row. Waits grow twofold from Min to Max, each
// drawn at random below its bound ("full jitter": M. Brooker, Exponential
// Backoff And Jitter, AWS Architecture Blog, 2015), but never below Min, so
// that a crash loop cannot spin.
type backoff struct {
	restart  Restart
	failures int
}

// next returns how long to wait after a worker that had served for uptime, 0
// if it never did, has ended: nothing after the first failure.
func (b *backoff) next(uptime time.Duration) time.Duration {
	if uptime >= b.restart.ResetAfter {
		b.failures = 0
	}
	b.failures++
	if b.failures == 1 {
		return 0
	}
	bound := b.bound()
	return b.restart.Min + rand.N(bound-b.restart.Min+1)
}

// bound is the longest wait after the present number of failures.
func (b *backoff) bound() time.Duration {
	bound := b.restart.Min
	for i := 2; i < b.failures && bound < b.restart.Max; i++ {
		bound *= 2
	}
	return min(bound, b.restart.Max)
}

// reset forgets the failures: an operator chose another build.
func (b *backoff) reset() { b.failures = 0 }
