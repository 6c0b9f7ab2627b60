// Package metrics counts what the chat does, for Prometheus. It is the only
// importer of its client library; the chat knows the Meter interfaces of its own
// packages.
//
// Nothing here says who talks, where, or what: rooms and users are no labels.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/web"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// buckets reach from what memory takes to the time after which a client gives
// up, in seconds.
func buckets() []float64 {
	return []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

// Metrics counts. It is a [chat.Meter] and a [web.Meter]; its methods may be
// called concurrently.
type Metrics struct {
	registry *prometheus.Registry

	appends    prometheus.Histogram
	groups     prometheus.Histogram
	delivery   prometheus.Histogram
	drafts     prometheus.Counter
	duplicates prometheus.Counter
	unstored   prometheus.Counter
	resumed    *prometheus.CounterVec
	replayed   prometheus.Counter
	repaired   prometheus.Counter
	refused    *prometheus.CounterVec
	slow       prometheus.Counter
	moves      *prometheus.CounterVec
	shed       prometheus.Counter
	store      *prometheus.HistogramVec
	errors     *prometheus.CounterVec
}

var (
	_ chat.Meter = (*Metrics)(nil)
	_ web.Meter  = (*Metrics)(nil)
)

// New returns metrics in which everything is 0. build tells what runs.
func New(build web.Build) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.appends = m.histogram("append_seconds", "Time that a group of requests took to be committed.", buckets())
	m.groups = m.histogram("append_group_size", "Requests that share a commit.", prometheus.ExponentialBuckets(1, 2, 10))
	m.delivery = m.histogram("delivery_seconds", "Time from an event's arrival in this process to its frame's being sent, of some frames.", buckets())
	m.drafts = m.counter("requests_total", "Posts, edits, deletions and reactions that were appended.")
	m.duplicates = m.counter("duplicate_nonces_total", "Requests that were stored before: somebody repeated them.")
	m.unstored = m.counter("requests_not_stored_total", "Requests whose append failed.")
	m.resumed = m.counters("resumes_total", "Rooms that connections began in, by how.", "outcome")
	m.replayed = m.counter("replayed_events_total", "Events that connections had missed when they began.")
	m.repaired = m.counter("repaired_events_total", "Events read from the store because no doorbell told of them in time.")
	m.refused = m.counters("naks_total", "Requests that were refused, by code.", "code")
	m.slow = m.counter("slow_clients_total", "Clients that were closed because they did not read.")
	m.moves = m.counters("handover_connections_total", "Connections that another process had, by what became of them.", "outcome")
	m.shed = m.counter("password_checks_shed_total", "Password checks that were refused because too many were under way.")
	m.store = m.histograms("store_seconds", "Time that calls of the store took.", "op")
	m.errors = m.counters("store_errors_total", "Calls of the store that failed.", "op")
	m.start(build)
	return m
}

// start makes every label value that is known show from the beginning: what was
// never counted can be told from what does not exist.
func (m *Metrics) start(build web.Build) {
	for _, how := range []chat.Resumption{chat.ResumedWhole, chat.ResumedReset, chat.ResumedNew} {
		m.resumed.WithLabelValues(string(how))
	}
	for _, outcome := range []string{moved, failed, recovered} {
		m.moves.WithLabelValues(outcome)
	}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info", Help: "What runs: always 1."}, []string{"version", "commit"})
	info.WithLabelValues(build.Version, build.Commit).Set(1)
	m.registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

const namespace = "simpletalk"

func (m *Metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
	m.registry.MustRegister(h)
	return h
}

func (m *Metrics) histograms(name, help, label string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets()}, []string{label})
	m.registry.MustRegister(h)
	return h
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) counters(name, help, label string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, []string{label})
	m.registry.MustRegister(c)
	return c
}

// Connections tells whom to ask how many connections there are. Call it once.
func (m *Metrics) Connections(census func() web.Census) {
	for state, count := range map[string]func(web.Census) int{
		"waiting": func(c web.Census) int { return c.Waiting },
		"talking": func(c web.Census) int { return c.Talking },
		"held":    func(c web.Census) int { return c.Held },
	} {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Name: "connections", Help: "WebSockets, by state.",
			ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 { return float64(count(census())) }))
	}
}

// Handler answers with all metrics in the format of Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Committed is [chat.Meter]'s.
func (m *Metrics) Committed(drafts, duplicates int, took time.Duration, err error) {
	if err != nil {
		m.unstored.Add(float64(drafts))
		return
	}
	m.appends.Observe(took.Seconds())
	m.groups.Observe(float64(drafts))
	m.drafts.Add(float64(drafts))
	m.duplicates.Add(float64(duplicates))
}

// Resumed is [chat.Meter]'s.
func (m *Metrics) Resumed(how chat.Resumption, missed int64) {
	m.resumed.WithLabelValues(string(how)).Inc()
	m.replayed.Add(float64(missed))
}

// Delivered is [chat.Meter]'s.
func (m *Metrics) Delivered(after time.Duration) { m.delivery.Observe(after.Seconds()) }

// Repaired is [chat.Meter]'s.
func (m *Metrics) Repaired(events int) { m.repaired.Add(float64(events)) }

// Refused is [web.Meter]'s.
func (m *Metrics) Refused(code wire.Code) { m.refused.WithLabelValues(string(code)).Inc() }

// Slow is [web.Meter]'s.
func (m *Metrics) Slow() { m.slow.Inc() }

// What became of a connection that another process had.
const (
	moved     = "moved"
	failed    = "failed"
	recovered = "recovered"
)

// Moved is [web.Meter]'s.
func (m *Metrics) Moved() { m.moves.WithLabelValues(moved).Inc() }

// NotMoved is [web.Meter]'s.
func (m *Metrics) NotMoved() { m.moves.WithLabelValues(failed).Inc() }

// Recovered is [web.Meter]'s.
func (m *Metrics) Recovered() { m.moves.WithLabelValues(recovered).Inc() }

// PasswordShed counts a password check that was refused because too many were
// under way.
func (m *Metrics) PasswordShed() { m.shed.Inc() }
