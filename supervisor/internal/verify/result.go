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
type Result struct {
	Clients  int
	Deploy   control.Deploy
	Recovery time.Duration // from kill -9 to the next answer
	Load     Load
}

// Wrong names the promises that were broken, "" if none was.
func (r Result) Wrong() string {
	var wrong []string
	if r.Deploy.Verdict != control.Accepted {
		wrong = append(wrong, fmt.Sprintf("the reload was %s: %s", r.Deploy.Verdict, r.Deploy.Reason))
	}
	for _, promise := range []struct {
		n    int64
		what string
	}{
		{r.Load.Lost, "messages lost"},
		{r.Load.Duplicated, "messages doubled"},
		{r.Load.Reordered, "messages out of order"},
		{r.Load.HTTPFailed, "HTTP requests failed"},
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
	row := func(what, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	row("reload", "%s, the new build served after %d ms", r.Deploy.Verdict, r.Deploy.SwappedMS)
	row("kill -9", "the next worker answered after %d ms", r.Recovery.Milliseconds())
	row("messages", "%d posted, %d copies delivered", r.Load.Sent, r.Load.Received)
	row("  lost", "%d", r.Load.Lost)
	row("  doubled", "%d", r.Load.Duplicated)
	row("  out of order", "%d", r.Load.Reordered)
	row("HTTP requests", "%d answered, %d failed", r.Load.HTTPOK, r.Load.HTTPFailed)
	row("disconnected", "%d times, %d clients; each came back and went on where it was", r.Load.Disconnects+r.Load.Broken, r.Clients)
	row("delivery", "p50 %.1f ms, p99 %.1f ms", r.Load.LatencyMS.P50, r.Load.LatencyMS.P99)
	for _, change := range r.Load.Timeline {
		row(fmt.Sprintf("longest gap, generation %d", change.Gen), "p99 %.0f ms, max %.0f ms", change.SilenceP99MS, change.SilenceMaxMS)
	}
	row("verdict", "%s", cmp.Or(r.Wrong(), "every promise kept"))
	return t.Flush()
}
