package load

import (
	"slices"
	"time"
)

// silences is how long a client had to wait for its rooms' events beyond what
// their schedule explains, over time: silences[i] is the longest, in
// microseconds, of those that overlap the i-th step of the run.
type silences []uint32

// minStep bounds the memory of a short run, steps that of a long one.
const (
	minStep = 250 * time.Millisecond
	steps   = 1200
)

// stepOf returns the width of a step in a run of length d.
func stepOf(d time.Duration) time.Duration { return max(minStep, d/steps) }

// add notes a silence that lasted from one time of the run to another.
func (s *silences) add(from, to, beyond, step time.Duration) {
	if beyond <= 0 {
		return
	}
	first, last := int(max(from, 0)/step), int(max(to, 0)/step)
	if n := last + 1 - len(*s); n > 0 {
		*s = append(*s, make(silences, n)...)
	}
	µs := uint32(min(beyond.Microseconds(), 1<<32-1))
	for i := first; i <= last; i++ {
		(*s)[i] = max((*s)[i], µs)
	}
}

// longest returns the longest that overlaps the time from from to to.
func (s silences) longest(from, to, step time.Duration) time.Duration {
	first, last := int(max(from, 0)/step), int(max(to, 0)/step)
	var µs uint32
	for i := first; i <= last && i < len(s); i++ {
		µs = max(µs, s[i])
	}
	return time.Duration(µs) * time.Microsecond
}

// p99 returns what 99 of 100 do not exceed, and the longest of all.
func p99(all []time.Duration) (p, longest time.Duration) {
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[(len(all)*99+99)/100-1], all[len(all)-1]
}
