package metrics

import (
	"context"
	"time"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// Sources are what is read at each scrape. All must be given.
type Sources struct {
	Status  func(ctx context.Context) (control.Status, error)
	Dropped func() uint64 // lines that nobody read from the supervisor's own output
}

// Metrics counts and tells. Its methods may be called concurrently.
type Metrics struct {
	sources Sources
	counted *victoria.Set
}

// New returns metrics of those sources.
func New(s Sources) *Metrics {
	victoria.ExposeMetadata(true) // for all of the process: without it no family has a type
	return &Metrics{sources: s, counted: victoria.NewSet()}
}

// What is counted as it happens.
var (
	pauses   = newFamily("pause_seconds", "How long the connections of an instance stood still while they moved to another worker.", "program")
	swaps    = newFamily("swap_seconds", "From the request of a deploy until its build served.", "program")
	broken   = newFamily("broken_connections_total", "Connections that a crash cut in the middle of a message.", "program")
	verdicts = newFamily("deploys_total", "Deploys by verdict: accepted, rejected or returned.", "program", "verdict")
)

// The upper bounds of the buckets, in seconds.
var (
	pauseBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}
	swapBounds  = []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

// Paused notes how long the connections of a program stood still.
func (m *Metrics) Paused(program string, d time.Duration) {
	m.counted.GetOrCreatePrometheusHistogramExt(pauses.series(program), pauseBounds).Update(d.Seconds())
}

// Broken notes connections that a crash has cut.
func (m *Metrics) Broken(program string, n int) {
	m.counted.GetOrCreateCounter(broken.series(program)).Add(n)
}

// Ended notes a deploy with its verdict.
func (m *Metrics) Ended(d control.Deploy) {
	m.counted.GetOrCreateCounter(verdicts.series(d.Program, string(d.Verdict))).Inc()
	if d.SwappedMS > 0 {
		m.counted.GetOrCreatePrometheusHistogramExt(swaps.series(d.Program), swapBounds).Update(float64(d.SwappedMS) / 1000)
	}
}
