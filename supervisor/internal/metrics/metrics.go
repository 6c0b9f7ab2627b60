package metrics

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// Sources are what is read at each scrape. All must be given.
type Sources struct {
	Status  func(ctx context.Context) (control.Status, error)
	Dropped func() uint64 // lines that nobody read from the supervisor's own output
}

// Metrics counts and tells. Its methods may be called concurrently.
type Metrics struct {
	registry *prometheus.Registry
	pauses   *prometheus.HistogramVec
	swaps    *prometheus.HistogramVec
	broken   *prometheus.CounterVec
	verdicts *prometheus.CounterVec
}

// New returns metrics of those sources.
func New(s Sources) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		pauses: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "supervisor_pause_seconds",
			Help:    "How long the connections of an instance stood still while they moved to another worker.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}, []string{"program"}),
		swaps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "supervisor_swap_seconds",
			Help:    "From the request of a deploy until its build served.",
			Buckets: []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"program"}),
		broken: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "supervisor_broken_connections_total",
			Help: "Connections that a crash cut in the middle of a message.",
		}, []string{"program"}),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "supervisor_deploys_total",
			Help: "Deploys by verdict: accepted, rejected or returned.",
		}, []string{"program", "verdict"}),
	}
	dropped := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "supervisor_output_lines_dropped_total",
		Help: "Lines that the supervisor's own output did not take in time.",
	}, func() float64 { return float64(s.Dropped()) })
	m.registry.MustRegister(m.pauses, m.swaps, m.broken, m.verdicts, dropped, state{s},
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector())
	return m
}

// Paused notes how long the connections of a program stood still.
func (m *Metrics) Paused(program string, d time.Duration) {
	m.pauses.WithLabelValues(program).Observe(d.Seconds())
}

// Broken notes connections that a crash has cut.
func (m *Metrics) Broken(program string, n int) { m.broken.WithLabelValues(program).Add(float64(n)) }

// Ended notes a deploy with its verdict.
func (m *Metrics) Ended(d control.Deploy) {
	m.verdicts.WithLabelValues(d.Program, string(d.Verdict)).Inc()
	if d.SwappedMS > 0 {
		m.swaps.WithLabelValues(d.Program).Observe(float64(d.SwappedMS) / 1000)
	}
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: scrapeTime})
}

// scrapeTime bounds one scrape.
const scrapeTime = 5 * time.Second

// state tells what status does.
type state struct{ Sources }

func of(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("supervisor_"+name, help, labels, nil)
}

// What is told of the status, by name.
var (
	info       = of("info", "The build of the supervisor.", "version", "commit")
	startedAt  = of("start_time_seconds", "When the supervisor became one, in Unix time.")
	inState    = of("instance_state", "1 for the state that an instance is in.", "program", "instance", "state")
	generation = of("instance_generation", "The number of the worker that serves.", "program", "instance")
	restarts   = of("instance_restarts_total", "Restarts after crashes.", "program", "instance")
	kept       = of("instance_connections", "Connections that the serving worker has, and the supervisor keeps.", "program", "instance")
	cpu        = of("instance_cpu_ratio", "What the serving worker took of one processor lately.", "program", "instance")
	memory     = of("instance_resident_memory_bytes", "Memory of the serving worker.", "program", "instance")
	workerAt   = of("instance_start_time_seconds", "When the serving worker was started, in Unix time.", "program", "instance")
	draining   = of("instance_draining_workers", "Workers on their way out.", "program", "instance")
	leaving    = of("instance_draining_connections", "Connections of workers on their way out.", "program", "instance")
	fileBad    = of("log_file_failing", "1 while the log file cannot be written.", "program")
	fileLost   = of("log_file_lines_lost_total", "Lines that could not be kept until the log file could be written.", "program")
)

// Describe implements [prometheus.Collector].
func (s state) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{info, startedAt, inState, generation, restarts, kept, cpu, memory, workerAt, draining, leaving, fileBad, fileLost} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (s state) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	status, err := s.Status(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(info, err)
		return
	}
	gauge(to, info, 1, status.Version, status.Commit)
	gauge(to, startedAt, seconds(status.Started))
	for _, p := range status.Programs {
		for _, i := range p.Instances {
			instance(to, i, p.Name, strconv.Itoa(i.Index))
		}
		if f := p.LogFile; f != nil {
			gauge(to, fileBad, truth(f.Error != ""), p.Name)
			counter(to, fileLost, float64(f.Lost), p.Name)
		}
	}
}

// states are all that an instance can be in; each is told, so that an alert need
// not know what is missing.
var states = []string{"starting", "running", "swapping", "baking", "backoff", "stopping", "stopped"}

func instance(to chan<- prometheus.Metric, i control.Instance, labels ...string) {
	for _, s := range states {
		gauge(to, inState, truth(i.State == s), append(labels, s)...)
	}
	gauge(to, generation, float64(i.Gen), labels...)
	counter(to, restarts, float64(i.Restarts), labels...)
	gauge(to, kept, float64(i.Conns), labels...)
	gauge(to, cpu, i.CPU/100, labels...)
	gauge(to, memory, float64(i.RSSBytes), labels...)
	if i.StartedAt != nil {
		gauge(to, workerAt, seconds(*i.StartedAt), labels...)
	}
	conns := 0
	for _, d := range i.Draining {
		conns += d.Conns
	}
	gauge(to, draining, float64(len(i.Draining)), labels...)
	gauge(to, leaving, float64(conns), labels...)
}

func gauge(to chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func counter(to chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
