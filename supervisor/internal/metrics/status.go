package metrics

import (
	"strconv"
	"time"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// What is told of the moment of a scrape.
var (
	info       = newFamily("info", "The build of the supervisor.", "commit", "version")
	startedAt  = newFamily("start_time_seconds", "When the supervisor became one, in Unix time.")
	inState    = newFamily("instance_state", "1 for the state that an instance is in.", "instance", "program", "state")
	generation = newFamily("instance_generation", "The number of the worker that serves.", "instance", "program")
	restarts   = newFamily("instance_restarts_total", "Restarts after crashes.", "instance", "program")
	kept       = newFamily("instance_connections", "Connections that the serving worker has, and the supervisor keeps.", "instance", "program")
	cpu        = newFamily("instance_cpu_ratio", "What the serving worker took of one processor lately.", "instance", "program")
	memory     = newFamily("instance_resident_memory_bytes", "Memory of the serving worker.", "instance", "program")
	workerAt   = newFamily("instance_start_time_seconds", "When the serving worker was started, in Unix time.", "instance", "program")
	draining   = newFamily("instance_draining_workers", "Workers on their way out.", "instance", "program")
	leaving    = newFamily("instance_draining_connections", "Connections of workers on their way out.", "instance", "program")
	fileBad    = newFamily("log_file_failing", "1 while the log file cannot be written.", "program")
	fileLost   = newFamily("log_file_lines_lost_total", "Lines that could not be kept until the log file could be written.", "program")
	dropped    = newFamily("output_lines_dropped_total", "Lines that the supervisor's own output did not take in time.")
)

// snapshot is what one scrape is told of status. The library forgets no series by
// itself, and a program may be gone at the next scrape.
type snapshot struct{ *victoria.Set }

func snapshotOf(status control.Status, lines uint64) snapshot {
	s := snapshot{victoria.NewSet()}
	s.gauge(1, info, status.Commit, status.Version)
	s.gauge(seconds(status.Started), startedAt)
	s.counter(lines, dropped)
	for _, p := range status.Programs {
		for _, i := range p.Instances {
			s.instance(i, strconv.Itoa(i.Index), p.Name)
		}
		if f := p.LogFile; f != nil {
			s.gauge(truth(f.Error != ""), fileBad, p.Name)
			s.counter(f.Lost, fileLost, p.Name)
		}
	}
	return s
}

// states are all that an instance can be in; each is told, so that an alert need
// not know what is missing.
var states = []string{"starting", "running", "swapping", "baking", "backoff", "stopping", "stopped"}

func (s snapshot) instance(i control.Instance, labels ...string) {
	for _, state := range states {
		s.gauge(truth(i.State == state), inState, append(labels, state)...)
	}
	s.gauge(float64(i.Gen), generation, labels...)
	s.counter(uint64(i.Restarts), restarts, labels...)
	s.gauge(float64(i.Conns), kept, labels...)
	s.gauge(i.CPU/100, cpu, labels...)
	s.gauge(float64(i.RSSBytes), memory, labels...)
	if i.StartedAt != nil {
		s.gauge(seconds(*i.StartedAt), workerAt, labels...)
	}
	conns := 0
	for _, d := range i.Draining {
		conns += d.Conns
	}
	s.gauge(float64(len(i.Draining)), draining, labels...)
	s.gauge(float64(conns), leaving, labels...)
}

func (s snapshot) gauge(v float64, f family, labels ...string) {
	s.GetOrCreateGauge(f.series(labels...), nil).Set(v)
}

func (s snapshot) counter(v uint64, f family, labels ...string) {
	s.GetOrCreateCounter(f.series(labels...)).Set(v)
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
