package web

import (
	"runtime/debug"
	"runtime/metrics"
)

// A crowd that arrives, or a round of pings, leaves behind what it took, and the
// runtime keeps that for minutes. On a small machine others can use it.
const (
	tidyEvery = 5        // looks between two questions whether it is worth while
	tidySpare = 10 << 20 // bytes that the process may hold beside what it needs
)

// tidy gives memory back to the machine. The runtime answers what it holds:
// https://pkg.go.dev/runtime/metrics.
type tidy struct {
	looks   int
	samples []metrics.Sample
}

func newTidy() *tidy {
	t := &tidy{}
	for _, name := range []string{
		"/memory/classes/total:bytes", "/memory/classes/heap/released:bytes", "/gc/heap/live:bytes", "/memory/classes/heap/stacks:bytes",
	} {
		t.samples = append(t.samples, metrics.Sample{Name: name})
	}
	return t
}

// due is asked at every look.
func (t *tidy) due() bool {
	if t.looks++; t.looks%tidyEvery != 0 {
		return false
	}
	metrics.Read(t.samples)
	n := func(i int) uint64 { return t.samples[i].Value.Uint64() }
	return wasteful(n(0)-n(1), n(2)+n(3))
}

// wasteful reports whether a process that needs so many bytes holds too many.
func wasteful(holds, needs uint64) bool { return holds > needs+needs/8+tidySpare }

// giveBack returns what is free to the machine. It is a whole collection, which
// also halves stacks that are too large.
func giveBack() { debug.FreeOSMemory() }
