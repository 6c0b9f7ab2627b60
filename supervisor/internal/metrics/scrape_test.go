package metrics

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

func scrape(m *Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// odd is a program's name with all that a label must escape.
const odd = "a\"b\\c\nd"

// everything returns metrics with a series of each family, twice.
func everything() *Metrics {
	at := time.Unix(1000, 0)
	status := control.Status{Version: "v1", Started: at}
	m := New(Sources{
		Status:  func(context.Context) (control.Status, error) { return status, nil },
		Dropped: func() uint64 { return 7 },
	})
	for _, name := range []string{"chat", odd} {
		status.Programs = append(status.Programs, control.Program{
			Name: name, LogFile: &control.LogFile{Path: "/x"}, Instances: []control.Instance{{StartedAt: &at}},
		})
		m.Paused(name, time.Second)
		m.Broken(name, 1)
		m.Ended(control.Deploy{Program: name, Verdict: control.Accepted, SwappedMS: 40})
	}
	return m
}

// Prometheus's own parser takes the text, in which each family stands together
// and is of one type, and its linter has nothing to say of the families of ours:
// all have their help, for one thing.
func TestPrometheusReadsTheText(t *testing.T) {
	w := httptest.NewRecorder()
	everything().Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if got := w.Header().Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("the format is told as %q", got)
	}
	text := w.Body.String()
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "supervisor_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, want := range []string{
		`supervisor_instance_generation{instance="0",program="a\"b\\c\nd"} 0`,
		`supervisor_pause_seconds_bucket{program="a\"b\\c\nd",le="+Inf"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
}

// What dashboards and alerts know, ours by type and of a process by name.
func TestTheContractWithDashboards(t *testing.T) {
	types := map[string]string{}
	series := map[string]bool{}
	for line := range strings.Lines(scrape(everything())) {
		if f := strings.Fields(line); f[0] == "#" && f[1] == "TYPE" {
			types[f[2]] = f[3]
		} else if f[0] != "#" {
			series[f[0]] = true
		}
	}
	for _, want := range []string{
		"go_gc_duration_seconds_count", "go_goroutines", "go_memstats_alloc_bytes", "go_memstats_heap_inuse_bytes", "go_threads",
		"process_cpu_seconds_total", "process_max_fds", "process_open_fds", "process_resident_memory_bytes",
		"process_start_time_seconds", "process_virtual_memory_bytes",
	} {
		if !series[want] {
			t.Errorf("no %s", want)
		}
	}
	maps.DeleteFunc(types, func(name, _ string) bool { return !strings.HasPrefix(name, "supervisor_") })
	want := map[string]string{
		"supervisor_broken_connections_total":       "counter",
		"supervisor_deploys_total":                  "counter",
		"supervisor_info":                           "gauge",
		"supervisor_instance_connections":           "gauge",
		"supervisor_instance_cpu_ratio":             "gauge",
		"supervisor_instance_draining_connections":  "gauge",
		"supervisor_instance_draining_workers":      "gauge",
		"supervisor_instance_generation":            "gauge",
		"supervisor_instance_resident_memory_bytes": "gauge",
		"supervisor_instance_restarts_total":        "counter",
		"supervisor_instance_start_time_seconds":    "gauge",
		"supervisor_instance_state":                 "gauge",
		"supervisor_log_file_failing":               "gauge",
		"supervisor_log_file_lines_lost_total":      "counter",
		"supervisor_output_lines_dropped_total":     "counter",
		"supervisor_pause_seconds":                  "histogram",
		"supervisor_start_time_seconds":             "gauge",
		"supervisor_swap_seconds":                   "histogram",
	}
	if !maps.Equal(types, want) {
		t.Errorf("got %v, want %v", types, want)
	}
	if len(help) != len(want) {
		t.Errorf("there is help for %v", slices.Sorted(maps.Keys(help)))
	}
}

// A program that is gone is no longer told; what was counted of it is.
func TestAProgramThatIsGone(t *testing.T) {
	programs := []control.Program{{Name: "chat", Instances: []control.Instance{{}}}}
	m := New(Sources{
		Status:  func(context.Context) (control.Status, error) { return control.Status{Programs: programs}, nil },
		Dropped: func() uint64 { return 0 },
	})
	m.Broken("chat", 1)
	before := scrape(m)
	programs = nil
	after := scrape(m)
	for series, wanted := range map[string]bool{"supervisor_instance_generation{": false, "supervisor_broken_connections_total{": true} {
		if !strings.Contains(before, series) || strings.Contains(after, series) != wanted {
			t.Errorf("%s: told before: %t, after: %t", series, strings.Contains(before, series), strings.Contains(after, series))
		}
	}
}

func TestAStatusThatFails(t *testing.T) {
	m := New(Sources{Status: func(context.Context) (control.Status, error) { return control.Status{}, errors.New("stopping") }, Dropped: func() uint64 { return 0 }})
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "stopping") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

// A status that does not come takes a scrape its time and, with others of the
// kind, no more than the room of all scrapes.
func TestAStatusThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		comes := make(chan struct{})
		h := New(Sources{
			Status:  func(context.Context) (control.Status, error) { <-comes; return control.Status{}, nil },
			Dropped: func() uint64 { return 0 },
		}).Handler()
		ask := func() (int, time.Duration) {
			began := time.Now()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			return w.Code, time.Since(began)
		}
		var asking sync.WaitGroup
		for range scrapesAtOnce {
			asking.Go(func() {
				if code, took := ask(); code != http.StatusServiceUnavailable || took != scrapeTime {
					t.Errorf("%d after %v", code, took)
				}
			})
		}
		synctest.Wait()
		if code, took := ask(); code != http.StatusServiceUnavailable || took != 0 {
			t.Errorf("one too many: %d after %v", code, took)
		}
		asking.Wait()
		if code, took := ask(); code != http.StatusServiceUnavailable || took != 0 {
			t.Errorf("while all the room is taken still: %d after %v", code, took)
		}
		close(comes)
		synctest.Wait()
		if code, took := ask(); code != http.StatusOK || took != 0 {
			t.Errorf("once there is room: %d after %v", code, took)
		}
	})
}
