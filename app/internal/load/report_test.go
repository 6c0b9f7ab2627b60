package load

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// The names are a contract.
func TestReportJSON(t *testing.T) {
	r := Report{
		Clients: 1, Disconnects: 2, Broken: 3, Reconnects: 4, Sent: 5, Acked: 6, Received: 7, Lost: 8, Duplicated: 9,
		Reordered: 10, HTTPOK: 11, HTTPFailed: 12, HTTPRetried: 13, LatencyMS: Latency{1, 2, 3, 4.5}, LongestSilenceMS: 14.25,
		Timeline:     []Silence{{AtMS: 1, Gen: 2, PID: 3, SilenceP99MS: 4, SilenceMaxMS: 5}},
		HTTPFailures: []Failure{{time.Unix(0, 5e6).UTC(), 6, "POST", "EOF"}}, Remarks: []string{"x"}, Posting: 1,
	}
	const want = `{"clients":1,"disconnects":2,"broken":3,"reconnects":4,"sent":5,"acked":6,"received":7,"lost":8,` +
		`"duplicated":9,"reordered":10,"http_ok":11,"http_failed":12,"http_retried":13,` +
		`"latency_ms":{"p50":1,"p99":2,"p999":3,"max":4.5},"longest_silence_ms":14.25,` +
		`"timeline":[{"at_ms":1,"gen":2,"pid":3,"silence_p99_ms":4,"silence_max_ms":5}],` +
		`"http_failures":[{"at":"1970-01-01T00:00:00.005Z","took_ms":6,"method":"POST","error":"EOF"}]}`
	if got, err := json.Marshal(r); err != nil || string(got) != want {
		t.Errorf("got  %s %v\nwant %s", got, err, want)
	}
}

func TestVerdict(t *testing.T) {
	for want, r := range map[string]Report{
		"":                       {Broken: 3, HTTPRetried: 2, Reconnects: 3},
		"1 disconnect":           {Disconnects: 1},
		"2 copies lost":          {Lost: 2},
		"1 duplicated":           {Duplicated: 1},
		"4 reordered":            {Reordered: 4},
		"2 HTTP requests failed": {HTTPFailed: 2},
		"1 copy lost, 1 duplicated, 1 reordered, 1 HTTP request failed, 2 disconnects": {1, 2, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1, 0, Latency{}, 0, nil, nil, nil, 0},
	} {
		if got := r.Verdict(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTable(t *testing.T) {
	r := Report{Clients: 3, Sent: 7, LatencyMS: Latency{P50: 1.25}, Remarks: []string{"2× connection: EOF"},
		Timeline: []Silence{{AtMS: 2310, Gen: 8, PID: 99, SilenceP99MS: 12.4, SilenceMaxMS: 20}}}
	for _, tt := range []struct {
		lost int64
		want []string
	}{
		{0, []string{"3: 0 disconnects", "7 sent", "at 2.31s", "generation 8, pid 99: silence p99 12 ms, max 20 ms", "seen", "2× connection: EOF", "verdict", Clean}},
		{1, []string{"1 copy lost"}},
	} {
		r.Lost = tt.lost
		var b bytes.Buffer
		if err := r.WriteTable(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			if !strings.Contains(b.String(), want) {
				t.Errorf("no %q in\n%s", want, &b)
			}
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	if h.quantile(0.99) != 0 {
		t.Error("an empty one knows something")
	}
	for µs := range int64(100000) {
		h.record(µs)
	}
	for q, want := range map[float64]float64{0.5: 50000, 0.99: 99000, 0.999: 99900} {
		if got := float64(h.quantile(q).Microseconds()); got < want || got > want*33/32 {
			t.Errorf("quantile %v is %v, want %v or a little more", q, got, want)
		}
	}
	if h.quantile(1) != h.longest() || h.longest() != 99999*time.Microsecond {
		t.Errorf("the longest is %v and %v", h.quantile(1), h.longest())
	}
	for µs := int64(0); µs < 1<<40; µs = µs*9/8 + 1 {
		if b := bucketOf(µs); endOf(b) < µs || b > 0 && endOf(b-1) >= µs {
			t.Fatalf("%d is in bucket %d, from %d to %d", µs, b, endOf(b-1), endOf(b))
		}
	}
	h.record(1 << 50) // longer than any run
}

func TestSilences(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	var w silences
	w.add(1*s, 1100*ms, -5*ms, s)
	w.add(2*s, 5*s, 2900*ms, s)
	w.add(5*s, 5500*ms, 400*ms, s)
	for _, tt := range []struct{ from, to, want time.Duration }{
		{0, 1900 * ms, 0}, {0, 100 * s, 2900 * ms}, {3 * s, 3 * s, 2900 * ms}, {6 * s, 9 * s, 0},
	} {
		if got := w.longest(tt.from, tt.to, s); got != tt.want {
			t.Errorf("from %v to %v: %v, want %v", tt.from, tt.to, got, tt.want)
		}
	}
	var all []time.Duration
	for i := range 200 {
		all = append(all, time.Duration(200-i))
	}
	if p, longest := p99(all); p != 198 || longest != 200 {
		t.Errorf("p99 of 1 to 200 is %d, the longest %d", p, longest)
	}
	if p, longest := p99([]time.Duration{7}); p != 7 || longest != 7 {
		t.Errorf("p99 of one is %d, the longest %d", p, longest)
	}
}

func TestTimeline(t *testing.T) {
	zero := time.Now()
	at := func(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }
	in := func(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }
	tl := newTimeline(zero)
	tl.saw(health{1, 10}, at(0), at(1))
	tl.saw(health{1, 10}, at(5000), at(5001))
	tl.saw(health{2, 20}, at(5050), at(5100)) // nobody said goodbye
	tl.saw(health{1, 10}, at(5200), at(5201)) // an older one that still ends
	tl.saw(health{2, 20}, at(20000), at(20001))
	tl.saw(health{3, 30}, at(20050), at(20060))
	tl.goodbye(at(20500))

	changes, until := tl.events()
	want := []change{{health{2, 20}, in(5000), in(5100)}, {health{3, 30}, in(20000), in(20060)}}
	if len(changes) != 2 || changes[0] != want[0] || changes[1] != want[1] {
		t.Errorf("got %+v, want %+v", changes, want)
	}
	if until[0] != in(7100) || until[1] != in(22060) {
		t.Errorf("silences count until %v", until)
	}
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		e    ending
		want bool
	}{
		"before":                         {ending{at: 3999 * ms}, false},
		"at the begin of the time":       {ending{at: 4000 * ms}, true},
		"between the two":                {ending{at: 5050 * ms}, true},
		"at the end of the time":         {ending{at: 7100 * ms}, true},
		"after":                          {ending{at: 7101 * ms}, false},
		"around a change with a goodbye": {ending{at: 20050 * ms}, false},
		"by a close frame":               {ending{at: 5050 * ms, closed: true}, false},
		"with nothing under way":         {ending{at: 5050 * ms, underWay: never}, false},
		"with a message from before":     {ending{at: 6000 * ms, underWay: 5100 * ms}, true},
		"with a message to the new pid":  {ending{at: 6000 * ms, underWay: 5101 * ms}, false},
		"after a resync by the old pid":  {ending{at: 5050 * ms, resynced: 5000 * ms}, true},
		"after a resync because it died": {ending{at: 6000 * ms, resynced: 5080 * ms}, false},
	} {
		if got := tl.isBroken(tt.e); got != tt.want {
			t.Errorf("an end %s is broken: %t, want %t", name, got, tt.want)
		}
	}
}
