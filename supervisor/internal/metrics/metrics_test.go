package metrics

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto/address"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

func TestWhatIsTold(t *testing.T) {
	at := time.Unix(1000, 0)
	m := New(Sources{
		Status: func(context.Context) (control.Status, error) {
			return control.Status{Version: "v1", Started: at, Programs: []control.Program{{
				Name: "chat", LogFile: &control.LogFile{Path: "/x", Error: "full", Lost: 3},
				Instances: []control.Instance{{Index: 1, State: "baking", Gen: 8, Restarts: 2, Conns: 5000, CPU: 12.5, RSSBytes: 44e6, StartedAt: &at,
					Draining: []control.Draining{{Conns: 3}, {Conns: 4}}}},
			}}}, nil
		},
		Dropped: func() uint64 { return 7 },
	})
	m.Paused("chat", 20*time.Millisecond)
	m.Broken("chat", 2)
	m.Ended(control.Deploy{Program: "chat", Verdict: control.Returned, SwappedMS: 40})
	m.Ended(control.Deploy{Program: "chat", Verdict: control.Rejected})
	got := scrape(m)
	for _, want := range []string{
		`supervisor_info{commit="",version="v1"} 1`,
		`supervisor_start_time_seconds 1000`,
		`supervisor_instance_state{instance="1",program="chat",state="baking"} 1`,
		`supervisor_instance_state{instance="1",program="chat",state="running"} 0`,
		`supervisor_instance_generation{instance="1",program="chat"} 8`,
		`supervisor_instance_restarts_total{instance="1",program="chat"} 2`,
		`supervisor_instance_connections{instance="1",program="chat"} 5000`,
		`supervisor_instance_cpu_ratio{instance="1",program="chat"} 0.125`,
		`supervisor_instance_resident_memory_bytes{instance="1",program="chat"} 44000000`,
		`supervisor_instance_draining_workers{instance="1",program="chat"} 2`,
		`supervisor_instance_draining_connections{instance="1",program="chat"} 7`,
		`supervisor_pause_seconds_bucket{program="chat",le="0.01"} 0`,
		`supervisor_pause_seconds_bucket{program="chat",le="0.025"} 1`,
		`supervisor_swap_seconds_count{program="chat"} 1`,
		`supervisor_broken_connections_total{program="chat"} 2`,
		`supervisor_deploys_total{program="chat",verdict="returned"} 1`,
		`supervisor_deploys_total{program="chat",verdict="rejected"} 1`,
		`supervisor_log_file_failing{program="chat"} 1`,
		`supervisor_log_file_lines_lost_total{program="chat"} 3`,
		`supervisor_output_lines_dropped_total 7`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no line %s in\n%s", want, regexp.MustCompile("(?m)^(#|go_).*\n").ReplaceAllString(got, ""))
		}
	}
}

// The address is what is wanted at the moment; one that is taken is told once, and
// had as soon as it is free.
func TestMetricsAreServedWhereWanted(t *testing.T) {
	m := New(Sources{Status: func(context.Context) (control.Status, error) { return control.Status{}, nil }, Dropped: func() uint64 { return 0 }})
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) *address.Address {
		a, err := address.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return &a
	}
	path := t.TempDir() + "/metrics.sock"
	var wanted atomic.Pointer[address.Address]
	wanted.Store(at(taken.Addr().String()))
	var log lockedBuilder
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { m.Serve(ctx, wanted.Load, slog.New(slog.NewTextHandler(&log, nil))) })
	defer serving.Wait()
	defer cancel()
	time.Sleep(2500 * time.Millisecond)
	if n := strings.Count(log.String(), "metrics not served"); n != 1 {
		t.Errorf("that the address is taken is told %d times", n)
	}
	taken.Close()
	answers(t, "tcp", taken.Addr().String())
	wanted.Store(at("unix://" + path))
	answers(t, "unix", path)
	if c, err := net.Dial("tcp", taken.Addr().String()); err == nil {
		c.Close()
		t.Error("they are served at the address before, too")
	}
}

func answers(t *testing.T, network, where string) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, where)
	}}
	c := http.Client{Transport: transport}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r, err := c.Get("http://supervisor/metrics")
		if err == nil {
			text, _ := io.ReadAll(r.Body)
			r.Body.Close()
			if strings.Contains(string(text), "supervisor_info") {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%s: no metrics within 20 s: %v", where, err)
		}
	}
}

type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
