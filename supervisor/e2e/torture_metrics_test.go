package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// scrape reads the metrics as Prometheus does: counters do not go back.
func (x *torture) scrape() {
	x.t.Helper()
	dial := func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", x.file("metrics.sock"))
	}
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	r, err := c.Get("http://supervisor/metrics")
	if err != nil {
		x.t.Error(err)
		return
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		x.t.Errorf("metrics: %s, %v: %.300s", r.Status, err, text)
	}
	x.note("scrape")
	told := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			told[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	for name, before := range x.totals {
		if told[name] < before {
			x.t.Errorf("%s is %v, was %v", name, told[name], before)
		}
	}
	for name, value := range told {
		if strings.HasPrefix(name, "supervisor_deploys_total") || strings.HasPrefix(name, "supervisor_swap_seconds_count") {
			x.totals[name] = value
		}
	}
	if told["process_open_fds"] == 0 || told["supervisor_start_time_seconds"] == 0 {
		x.t.Errorf("metrics lack the descriptors or the supervisor's age:\n%s", text)
	}
}

// checkRenewed waits until a worker that takes too much memory has been renewed, and
// another by its schedule, and looks whether both are counted.
func (x *torture) checkRenewed() {
	x.t.Helper()
	if !x.extra {
		x.reconfigure()
	}
	for _, name := range []string{"extra", "chat"} {
		x.call([]int{0}, "start", name)
		x.want[name] = runs
	}
	x.time()
	x.eventually("a worker has been renewed that took too much memory", func() bool {
		return strings.Contains(x.output.String(), "worker takes too much memory")
	})
	x.eventually("a renewal by schedule is accepted", func() bool {
		st, err := x.status()
		return err == nil && slices.ContainsFunc(st.Deploys, func(d deploy) bool {
			return d.Program == "chat" && d.By == "cron: @every 3s" && d.Verdict == "accepted"
		})
	})
	x.scrape()
	if n := x.totals[`supervisor_deploys_total{program="chat",verdict="accepted"}`]; n < 2 {
		x.t.Errorf("%v accepted deploys of the chat are counted", n)
	}
}
