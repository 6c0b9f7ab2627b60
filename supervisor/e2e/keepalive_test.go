package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// A connection that stays open between requests is the hard case of a deploy:
// whoever closes it first may do so under the next request. None fails, GET or
// POST, straight to the workers or through nginx with its connections kept
// open.
func TestKeepAliveRequestsSurviveDeploys(t *testing.T) {
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	for name, front := range map[string]func(*testing.T, *site) string{
		"direct": func(_ *testing.T, s *site) string { return s.addr },
		"through nginx": func(t *testing.T, s *site) string {
			// Here it is about connections: people sign in less often than that.
			return newProxy(t, sitePlain, s.addr, change{"rate=2r/s", "rate=100r/s"}).plain
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, builds[0])
			addr := front(t, s)
			ctx, stop := context.WithCancel(t.Context())
			clients := make([]*keepAlive, 10)
			var asking sync.WaitGroup
			for i := range clients {
				clients[i] = &keepAlive{addr: addr, from: net.IPv4(127, 1, 0, byte(1+i)), post: i%2 == 0}
				asking.Go(func() { clients[i].run(ctx, 20*time.Millisecond) })
			}
			for i := range 6 {
				time.Sleep(300 * time.Millisecond) // every connection is in use by then
				s.install(builds[(i+1)%2])
				if d := s.hangup(); d.Verdict != "accepted" {
					t.Errorf("deploy %d: %+v", i, d)
				}
			}
			stop()
			asking.Wait()
			answered, connections := 0, 0
			for i, c := range clients {
				for _, err := range c.failures {
					t.Errorf("client %d: %v", i, err)
				}
				answered += c.answered
				connections += c.connections
			}
			if answered < 100*len(clients)/2 {
				t.Errorf("only %d requests were answered", answered)
			}
			t.Logf("%d requests answered over %d connections", answered, connections)
		})
	}
}

// keepAlive asks again and again over one connection, until the server says
// that it closes it (RFC 9112 section 9.6). It repeats nothing.
type keepAlive struct {
	addr string
	from net.IP // its own, so that no limit per address holds it back
	post bool

	answered    int
	connections int
	failures    []error
}

func (k *keepAlive) run(ctx context.Context, pause time.Duration) {
	for ctx.Err() == nil {
		k.connections++
		if err := k.converse(ctx, pause); err != nil {
			k.failures = append(k.failures, err)
		}
	}
}

// converse uses one connection as long as it may.
func (k *keepAlive) converse(ctx context.Context, pause time.Duration) error {
	dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: k.from}}
	c, err := dialer.DialContext(ctx, "tcp", k.addr)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * patience))
	answers := bufio.NewReader(c)
	for n := 1; ctx.Err() == nil; n++ {
		closes, err := k.ask(c, answers)
		if err != nil {
			return fmt.Errorf("request %d of a connection: %w", n, err)
		}
		k.answered++
		if closes {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

func (k *keepAlive) ask(c net.Conn, answers *bufio.Reader) (closes bool, err error) {
	request := "GET /healthz HTTP/1.1\r\nHost: chat\r\n\r\n"
	if k.post {
		const body = `{"name":"Keeper"}`
		request = fmt.Sprintf("POST /api/session HTTP/1.1\r\nHost: chat\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	if _, err := io.Copy(c, strings.NewReader(request)); err != nil {
		return false, err
	}
	resp, err := http.ReadResponse(answers, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return false, err
	}
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("answered %s", resp.Status)
	}
	return resp.Close, nil
}
