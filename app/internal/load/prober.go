package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"time"
)

const (
	probeEvery = 50 * time.Millisecond // a fresh connection each time
	keepers    = 10                    // connections that are kept, each from its own address
	keepEvery  = time.Second           // on each of them: no limit per address should mind
	postEvery  = 10                    // each so-many-th request is a POST
	probeFrom  = 1000                  // addresses that the fresh connections come from in turn
)

// probes counts the requests of a prober.
type probes struct{ ok, failed, retried int64 }

// maxFailures is how many failed requests a prober remembers.
const maxFailures = 100

// prober asks for pages on connections of its own.
type prober struct {
	target  *target
	remarks *remarks
	health  *timeline // told by the answers of /healthz; nil: nobody
	keep    bool      // the connection is kept
	name    string    // of its user
	source  int
	delay   time.Duration // before the first request
	every   time.Duration

	conn   *wireConn // nil without keep
	cookie string
	asked  int

	mu       sync.Mutex
	counts   probes
	failures []Failure
}

// newProbers returns one that takes a fresh connection for each request, and
// those that keep theirs.
func newProbers(r *run) []*prober {
	all := []*prober{{target: r.target, remarks: &r.remarks, health: r.timeline, every: probeEvery, source: firstProbe}}
	for i := range keepers {
		all = append(all, &prober{
			target: r.target, remarks: &r.remarks, keep: true, every: keepEvery, source: firstProbe + probeFrom + i,
			delay: keepEvery * time.Duration(i) / keepers, asked: i, // not all at once, nor all POSTs
		})
	}
	for i, p := range all {
		p.name = fmt.Sprintf("probe %s %d", r.tag, i)
	}
	return all
}

// from is the source of the next connection.
func (p *prober) from() int {
	if p.keep {
		return p.source
	}
	return p.source + p.asked%probeFrom
}

// run asks until ctx ends. A request under way is finished.
func (p *prober) run(ctx context.Context) {
	if !sleep(ctx, p.delay) {
		return
	}
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	defer p.drop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.ask(context.WithoutCancel(ctx))
		}
	}
}

// ask makes one request and counts it.
func (p *prober) ask(ctx context.Context) {
	p.asked++
	r := request{method: "GET", path: "/healthz"}
	if p.asked%postEvery == 0 {
		r = p.target.signIn(p.name, p.cookie)
	}
	began := time.Now()
	a, err := p.try(ctx, r)
	if err != nil && r.method == "GET" && errors.Is(err, errUnanswered) {
		p.count(func(c *probes) { c.retried++ })
		p.drop()
		began = time.Now()
		a, err = p.try(ctx, r)
	}
	if err == nil {
		err = a.isOK()
	}
	if err != nil {
		p.drop()
		p.remarks.add("http", err)
		p.fail(Failure{At: began, TookMS: milliseconds(time.Since(began)), Method: r.method, Error: innermost(err).Error()})
		return
	}
	p.count(func(c *probes) { c.ok++ })
	p.learn(r, a, began)
}

// learn takes what the next requests and the timeline need from an answer.
func (p *prober) learn(r request, a answer, began time.Time) {
	if r.method == "POST" {
		p.cookie, _ = cookieOf(a) // without one the next POST makes another user
		return
	}
	var h health
	if p.health != nil && json.Unmarshal(a.body, &h) == nil && h.PID != 0 {
		p.health.saw(h, began, time.Now())
	}
}

// try makes a request once.
func (p *prober) try(ctx context.Context, r request) (answer, error) {
	if p.conn != nil && hasEnded(p.conn) {
		p.drop()
	}
	if p.conn == nil {
		c, err := p.target.connect(ctx, p.from())
		if err != nil {
			return answer{}, err
		}
		p.conn = c
	}
	if !p.keep {
		if r.header == nil {
			r.header = http.Header{}
		}
		r.header.Set("Connection", "close")
	}
	a, err := p.target.do(p.conn, r)
	if err != nil || a.last || !p.keep {
		p.drop()
	}
	return a, err
}

func (p *prober) drop() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

func (p *prober) count(f func(*probes)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.counts)
}

func (p *prober) fail(f Failure) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.failed++
	if len(p.failures) < maxFailures {
		p.failures = append(p.failures, f)
	}
}

func (p *prober) failed() []Failure {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failures
}

func (p *prober) total() probes {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// hasEnded reports whether the server has closed an idle connection, which it
// may do while nothing is asked.
func hasEnded(c *wireConn) bool {
	raw, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false // under TLS: a request will tell
	}
	rc, err := raw.SyscallConn()
	if err != nil {
		return true
	}
	ended := false
	err = rc.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		ended = err != syscall.EAGAIN && n <= 0
		return true
	})
	return ended || err != nil
}
