package supervise

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Health is how a worker is asked over HTTP whether it serves well. Workers
// that speak the protocol are also asked over their control socket, without
// being told to.
type Health struct {
	Path     string // "" for no checks
	Dial     func(ctx context.Context) (net.Conn, error)
	Every    time.Duration // 0 means 10 s
	Timeout  time.Duration // of one check; 0 means 2 s
	Failures int           // in a row that make a worker unfit; 0 means 3
}

func (h Health) withDefaults() Health {
	if h.Every <= 0 {
		h.Every = 10 * time.Second
	}
	if h.Timeout <= 0 {
		h.Timeout = 2 * time.Second
	}
	if h.Failures <= 0 {
		h.Failures = 3
	}
	return h
}

// pause is how long to wait between checks of a worker that is on trial for
// bake: a bad one must be found before the trial is over.
func (h Health) pause(bake time.Duration) time.Duration {
	if bake <= 0 {
		return h.Every
	}
	return min(h.Every, bake/time.Duration(2*h.Failures))
}

// check asks once. Any status of 2xx or 3xx will do.
func (h Health) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	client := http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return h.Dial(ctx) },
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+h.Path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, 4<<10) // politeness: its status has been said
	if resp.StatusCode/100 != 2 && resp.StatusCode/100 != 3 {
		return fmt.Errorf("%s answers %s", h.Path, resp.Status)
	}
	return nil
}

// checks are the health checks of the serving worker.
type checks struct {
	of      *generation
	end     context.CancelFunc
	failed  int  // in a row
	overdue bool // the bake is over, and waits for a check that succeeds
}

// watch begins the checks of g, if its plan has any.
func (in *Instance) watch(g *generation) {
	h := g.plan.Health
	if h.Path == "" {
		return
	}
	ctx, end := context.WithCancel(context.Background())
	c := &checks{of: g, end: end}
	in.checks = c
	in.tasks.Go(func() { in.checkUntil(ctx, c, h, g.plan.Bake) })
}

// unwatch ends the checks of the worker that serves no more.
func (in *Instance) unwatch() {
	if in.checks != nil {
		in.checks.end()
		in.checks = nil
	}
}

func (in *Instance) checkUntil(ctx context.Context, c *checks, h Health, bake time.Duration) {
	began := time.Now()
	for {
		pause := h.Every
		if time.Since(began) <= bake {
			pause = h.pause(bake)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		err := h.check(ctx)
		if ctx.Err() != nil || !in.post(func() { in.checked(c, err) }) {
			return
		}
	}
}

// checked takes the outcome of a check.
func (in *Instance) checked(c *checks, err error) {
	if in.checks != c {
		return
	}
	if err == nil {
		c.failed = 0
		if t := in.trial; c.overdue && t != nil {
			in.unlessSwapping(func() { in.baked(t) })
		}
		return
	}
	c.failed++
	in.log.Warn("health check failed", "gen", c.of.number, "failed", c.failed, "err", err)
	if n := c.of.plan.Health.Failures; c.failed >= n {
		why := fmt.Sprintf("unhealthy: %d checks in a row failed, the last: %v", c.failed, err)
		in.unlessSwapping(func() { in.unfit(c.of, why) })
	}
}
