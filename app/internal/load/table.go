package load

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// Clean is the verdict of a run that found nothing wrong.
const Clean = "every message is stored once and reached every member once and in order, nobody was disconnected, no request failed"

// WriteTable writes the report for a person.
func (r Report) WriteTable(w io.Writer) error {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("clients", "%d: %d disconnects, %d broken in mid-message, %d reconnects", r.Clients, r.Disconnects, r.Broken, r.Reconnects)
	row("messages", "%d sent, %d acknowledged in %v", r.Sent, r.Acked, r.Posting.Round(100*time.Millisecond))
	row("copies", "%d received: %d lost, %d duplicated, %d reordered", r.Received, r.Lost, r.Duplicated, r.Reordered)
	row("HTTP", "%d ok, %d failed, %d retried", r.HTTPOK, r.HTTPFailed, r.HTTPRetried)
	row("latency", "p50 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, max %.1f ms", r.LatencyMS.P50, r.LatencyMS.P99, r.LatencyMS.P999, r.LatencyMS.Max)
	row("longest silence", "%.0f ms", r.LongestSilenceMS)
	for _, s := range r.Timeline {
		row("at "+(time.Duration(s.AtMS)*time.Millisecond).Round(10*time.Millisecond).String(),
			"generation %d, pid %d: silence p99 %.0f ms, max %.0f ms", s.Gen, s.PID, s.SilenceP99MS, s.SilenceMaxMS)
	}
	for _, remark := range r.Remarks {
		row("seen", "%s", remark)
	}
	verdict := r.Verdict()
	if verdict == "" {
		verdict = Clean
	}
	row("verdict", "%s", verdict)
	t.Flush() // to a buffer: it cannot fail
	_, err := w.Write(b.Bytes())
	return err
}

// clearLine goes back to the begin of a terminal's line and empties it.
const clearLine = "\r\x1b[K"

// progress writes a line a second until ctx ends, then takes it away.
func (r *run) progress(ctx context.Context) {
	if r.Progress == nil {
		return
	}
	for sleep(ctx, time.Second) {
		fmt.Fprint(r.Progress, clearLine+r.state())
	}
	fmt.Fprint(r.Progress, clearLine)
}

// state says in a line how far the run is.
func (r *run) state() string {
	var connected int
	var received, sent, acked int64
	for _, c := range r.clients {
		received += c.received()
		if c.isConnected() {
			connected++
		}
	}
	for _, room := range r.rooms {
		for _, l := range room.ledgers {
			w, a := l.totals()
			sent += w
			acked += a
		}
	}
	var http probes
	for _, p := range r.probers {
		n := p.total()
		http.ok += n.ok
		http.failed += n.failed
	}
	r.mu.Lock()
	ended := len(r.endings)
	r.mu.Unlock()
	return fmt.Sprintf("%v  %d/%d connected  %d sent  %d acknowledged  %d copies  %d connections ended  HTTP %d ok %d failed",
		r.clock().Round(time.Second), connected, r.Clients, sent, acked, received, ended, http.ok, http.failed)
}
