package load

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"
)

// Report is what a run found. Its JSON is a contract with programs outside.
type Report struct {
	Clients          int       `json:"clients"`
	Disconnects      int       `json:"disconnects"`
	Broken           int       `json:"broken"`
	Reconnects       int64     `json:"reconnects"`
	Sent             int64     `json:"sent"`
	Acked            int64     `json:"acked"`
	Received         int64     `json:"received"` // copies, each once
	Lost             int64     `json:"lost"`
	Duplicated       int64     `json:"duplicated"`
	Reordered        int64     `json:"reordered"`
	HTTPOK           int64     `json:"http_ok"`
	HTTPFailed       int64     `json:"http_failed"`
	HTTPRetried      int64     `json:"http_retried"`
	LatencyMS        Latency   `json:"latency_ms"`
	LongestSilenceMS float64   `json:"longest_silence_ms"`
	Timeline         []Silence `json:"timeline"`                // never nil
	HTTPFailures     []Failure `json:"http_failures,omitempty"` // the first of each prober

	Remarks []string      `json:"-"` // what else happened, the most frequent first
	Posting time.Duration `json:"-"` // how long was posted
}

// Latency is how long messages took, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Silence is a change of generation or pid, in milliseconds since the posting
// began, and how long clients heard nothing around it.
type Silence struct {
	AtMS         float64 `json:"at_ms"`
	Gen          int     `json:"gen"`
	PID          int     `json:"pid"`
	SilenceP99MS float64 `json:"silence_p99_ms"`
	SilenceMaxMS float64 `json:"silence_max_ms"`
}

// Failure is an HTTP request that failed, and when it was under way: so that
// who kills workers can tell what died with one.
type Failure struct {
	At     time.Time `json:"at"`
	TookMS float64   `json:"took_ms"`
	Method string    `json:"method"`
	Error  string    `json:"error"`
}

// milliseconds rounds to a hundredth.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(10*time.Microsecond)) / 100
}

// Verdict names what went wrong, in words; "" when nothing did.
func (r Report) Verdict() string {
	var wrong []string
	for _, f := range []struct {
		n         int64
		one, many string
	}{
		{r.Lost, "copy lost", "copies lost"},
		{r.Duplicated, "duplicated", "duplicated"},
		{r.Reordered, "reordered", "reordered"},
		{r.HTTPFailed, "HTTP request failed", "HTTP requests failed"},
		{int64(r.Disconnects), "disconnect", "disconnects"},
	} {
		switch {
		case f.n == 1:
			wrong = append(wrong, "1 "+f.one)
		case f.n > 1:
			wrong = append(wrong, fmt.Sprintf("%d %s", f.n, f.many))
		}
	}
	return strings.Join(wrong, ", ")
}

// report puts together what has been found, when everything has ended. The
// posting began at begin.
func (r *run) report(ctx context.Context, begin time.Duration) (Report, error) {
	rep := Report{Clients: r.Clients, Timeline: []Silence{}}
	found, err := r.audit(ctx)
	if err != nil {
		return Report{}, err
	}
	rep.Lost, rep.Duplicated, rep.Reordered = found.lost, found.duplicated, found.reordered
	for _, room := range r.rooms {
		for _, l := range room.ledgers {
			written, acked := l.totals()
			rep.Sent += written
			rep.Acked += acked
		}
	}
	for _, c := range r.clients {
		rep.Received += c.received()
		rep.Reconnects += max(0, c.welcomes-1)
	}
	for _, p := range r.probers {
		n := p.total()
		rep.HTTPOK += n.ok
		rep.HTTPFailed += n.failed
		rep.HTTPRetried += n.retried
		rep.HTTPFailures = append(rep.HTTPFailures, p.failed()...)
	}
	for _, e := range r.endings {
		if r.timeline.isBroken(e) {
			rep.Broken++
		} else {
			rep.Disconnects++
		}
	}
	r.times(&rep, begin)
	rep.Remarks = r.remarks.list()
	return rep, nil
}

// audit holds every copy against the logs.
func (r *run) audit(ctx context.Context) (faults, error) {
	var all faults
	logs := map[*room]*roomLog{}
	for _, room := range r.rooms {
		log, err := r.readLog(ctx, room)
		if err != nil {
			return faults{}, err
		}
		all.add(log.authors())
		logs[room] = log
	}
	for _, c := range r.clients {
		for _, s := range c.seats {
			all.add(logs[s.room].member(s))
		}
	}
	return all, nil
}

// times fills in what took how long.
func (r *run) times(rep *Report, begin time.Duration) {
	rep.LatencyMS = Latency{
		P50:  milliseconds(r.latency.quantile(0.50)),
		P99:  milliseconds(r.latency.quantile(0.99)),
		P999: milliseconds(r.latency.quantile(0.999)),
		Max:  milliseconds(r.latency.longest()),
	}
	_, longest := r.silence(0, math.MaxInt64/2)
	rep.LongestSilenceMS = milliseconds(longest)
	changes, until := r.timeline.events()
	for i, c := range changes {
		p, longest := r.silence(c.lastOld, until[i])
		rep.Timeline = append(rep.Timeline, Silence{
			AtMS: milliseconds(c.firstNew - begin), Gen: c.Gen, PID: c.PID,
			SilenceP99MS: milliseconds(p), SilenceMaxMS: milliseconds(longest),
		})
	}
}

// silence returns the longest silences of the clients that overlap a time.
func (r *run) silence(from, to time.Duration) (p, longest time.Duration) {
	var all []time.Duration
	for _, c := range r.clients {
		if c.manner != mannerSlow {
			all = append(all, c.waiting.longest(from, to, r.step))
		}
	}
	return p99(all)
}
