package verify

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// Result is what a trial showed.
type Result struct{ Reload, Kill Act }

// Act is one thing done to the site, and what the load found meanwhile.
type Act struct {
	Deploy control.Deploy // of the reload
	Took   time.Duration  // until the next worker served
	Load   Load
}

// Wrong names the promises that were broken, "" if none was. A plain request
// inside a worker that is killed dies with it, and a message half read or
// written breaks its connection, so the kill is not judged by those.
func (r Result) Wrong() string {
	var wrong []string
	if d := r.Reload.Deploy; d.Verdict != control.Accepted {
		wrong = append(wrong, fmt.Sprintf("the reload was %s: %s", d.Verdict, d.Reason))
	}
	for _, promise := range []struct {
		n    int64
		what string
	}{
		{r.Reload.Load.Lost + r.Kill.Load.Lost, "messages lost"},
		{r.Reload.Load.Duplicated + r.Kill.Load.Duplicated, "messages doubled"},
		{r.Reload.Load.Reordered + r.Kill.Load.Reordered, "messages out of order"},
		{r.Reload.Load.HTTPFailed, "HTTP requests failed on the reload"},
		{int64(r.Reload.Load.Disconnects + r.Kill.Load.Disconnects), "clients disconnected"},
	} {
		if promise.n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s", promise.n, promise.what))
		}
	}
	return strings.Join(wrong, ", ")
}

// Print writes the table that a sceptic wants to see.
func (r Result) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	row := func(what string, cell func(Act) string) {
		fmt.Fprintf(t, "%s\t%s\t%s\n", what, cell(r.Reload), cell(r.Kill))
	}
	count := func(n func(Load) int64) func(Act) string {
		return func(a Act) string { return fmt.Sprint(n(a.Load)) }
	}
	fmt.Fprintln(t, "\treload\tkill -9")
	row("next worker served", func(a Act) string { return fmt.Sprintf("after %d ms", a.Took.Milliseconds()) })
	row("messages posted", count(func(l Load) int64 { return l.Sent }))
	row("copies delivered", count(func(l Load) int64 { return l.Received }))
	row("  lost", count(func(l Load) int64 { return l.Lost }))
	row("  doubled", count(func(l Load) int64 { return l.Duplicated }))
	row("  out of order", count(func(l Load) int64 { return l.Reordered }))
	row("HTTP requests answered", count(func(l Load) int64 { return l.HTTPOK }))
	row("  failed", count(func(l Load) int64 { return l.HTTPFailed }))
	row("clients disconnected", count(func(l Load) int64 { return int64(l.Disconnects) }))
	row("  in mid-message, resumed", count(func(l Load) int64 { return int64(l.Broken) }))
	row("delivery p50, p99", func(a Act) string {
		return fmt.Sprintf("%.1f, %.1f ms", a.Load.LatencyMS.P50, a.Load.LatencyMS.P99)
	})
	row("longest gap p99, max", Act.gap)
	t.Flush()
	_, err := fmt.Fprintf(w, "\n%s\n", cmp.Or(r.Wrong(), "every promise kept"))
	return err
}

// gap is how long clients heard nothing around the change of workers.
func (a Act) gap() string {
	if len(a.Load.Timeline) == 0 {
		return "not seen"
	}
	change := a.Load.Timeline[0]
	return fmt.Sprintf("%.0f, %.0f ms", change.SilenceP99MS, change.SilenceMaxMS)
}
