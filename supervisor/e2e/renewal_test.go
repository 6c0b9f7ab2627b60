package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// People talk while their worker is renewed by schedule and for want of memory, and
// the supervisor is replaced twice. Nobody notices, what a program writes is in
// its log file once and in order, and metrics are told by whoever supervises.
func TestNobodyNoticesRenewals(t *testing.T) {
	sup := supervisors(t)
	build := binaries.app(t, "aaaa")
	s := upgradable{&site{t: t, dir: t.TempDir(), ended: make(chan struct{}), output: new(output)}}
	s.replace(sup[0])
	s.install(build)
	config := fmt.Sprintf(`
[listen]
http = "127.0.0.1:0"
[metrics]
listen = "unix://%[1]s/metrics.sock"
[program.chat]
command = ["%[1]s/current", "serve", "--data", "%[1]s/data"]
listen = ["http"]
bake = "0s"
cron = "@every 3s"
memory_max = "1M"
[program.counter]
command = ["/bin/sh", "-c", 'i=0; while i=$((i+1)); do echo line $i; sleep 0.02; done']
ready_after = "100ms"
bake = "0s"
log = { file = "counter.log", max_size = "1M" }
`, s.dir)
	if err := os.WriteFile(filepath.Join(s.dir, "supervisor.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.launch(exec.Command(filepath.Join(s.dir, "supervisor"), "run", "--state", s.state(), "--config", "supervisor.toml"))
	s.eventually("both serve", func() bool {
		st, err := s.status()
		if err != nil || len(st.Programs) != 2 {
			return false
		}
		s.addr = st.Listen[0].Address
		return st.Programs[0].Instances[0].Gen > 0 && st.Programs[1].Instances[0].State == "running"
	})
	talking, wait := s.load(build, "--clients", "100", "--chatters", "10", "--rooms", "2", "--rate", "50", "--for", "10m")
	for i := range 2 {
		time.Sleep(5 * time.Second)
		s.replace(sup[(i+1)%2])
		if out, code, _ := s.command("reload", "--wait", "chat"); code != 0 || !strings.Contains(out, "upgrading") {
			t.Errorf("upgrade %d: exit %d\n%s", i, code, out)
		}
	}
	s.eventually("three renewals by schedule and one for want of memory", func() bool {
		out, _, _ := s.command("status", "--json")
		return strings.Count(out, `"by": "cron: @every 3s"`) >= 3 && strings.Count(out, `"by": "memory_max: `) >= 1
	})
	talking.Signal(os.Interrupt)
	report, _ := wait()
	checkMessages(t, report, 50)
	if report.Disconnects+report.Broken != 0 {
		t.Errorf("%d disconnected, %d broken: want nobody", report.Disconnects, report.Broken)
	}
	if got := s.scrape(); !strings.Contains(got, `supervisor_instance_state{instance="0",program="chat"`) || !strings.Contains(got, "supervisor_pause_seconds_count") {
		t.Errorf("metrics: %s", got)
	}
	s.checkCount(filepath.Join(s.dir, "counter.log"))
}

// scrape is what Prometheus is told.
func (s upgradable) scrape() string {
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(s.dir, "metrics.sock"))
	}}}
	r, err := c.Get("http://supervisor/metrics")
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// checkCount checks that a log file has the lines of a counter, each once.
func (s upgradable) checkCount(path string) {
	s.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if line != "line "+strconv.Itoa(n)+"\n" {
			s.t.Fatalf("line %d of the log file is %q", n, line)
		}
	}
	if n < 100 {
		s.t.Errorf("the log file has %d lines", n)
	}
}
