package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

// prober asks for a page again and again, each time over a fresh connection of
// its own, and never repeats a request by itself.
type prober struct {
	addr string

	mu       sync.Mutex
	ok       int
	refused  int
	failures []failure
}

// span is a time in which something happened. A moment would not do: between
// reading the clock and acting a busy machine does other things.
type span struct{ from, to time.Time }

func (s span) String() string {
	const layout = "05.000"
	return s.from.Format(layout) + "–" + s.to.Format(layout)
}

func (s span) overlaps(o span) bool { return !s.from.After(o.to) && !o.from.After(s.to) }

// failure is a request that got no whole answer.
type failure struct {
	span
	err error
}

func (f failure) String() string { return f.span.String() + " " + f.err.Error() }

// run asks rate times a second until ctx ends; requests overlap if they are
// slow.
func (p *prober) run(ctx context.Context, rate int) {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			asking.Go(p.ask)
		}
	}
}

func (p *prober) ask() {
	from := time.Now()
	err := request(p.addr)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		p.ok++
	case errors.Is(err, syscall.ECONNREFUSED):
		p.refused++
	default:
		p.failures = append(p.failures, failure{span{from, time.Now()}, err})
	}
}

// request makes one request over one connection.
func request(addr string) error {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", addr); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// unexplained returns the failures that no kill explains: a plain request
// inside a killed worker dies with it, any other must not.
func (p *prober) unexplained(kills []span) []failure {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.failures), func(f failure) bool {
		return slices.ContainsFunc(kills, f.overlaps)
	})
}
