package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A killed worker takes the requests with it that it had, and in its last moments
// still takes some. nginx repeats each GET until the next worker answers.
func TestNginxLosesNoGETToAKill(t *testing.T) {
	const kills = 6
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, sitePlain, s.addr, change{"rate=50r/s", "rate=5000r/s"}) // as fast as it goes
	ctx, stop := context.WithCancel(t.Context())
	clients := make([]*keepAlive, 20)
	var asking sync.WaitGroup
	for i := range clients {
		clients[i] = &keepAlive{addr: p.plain, from: net.IPv4(127, 1, 0, byte(1+i))}
		asking.Go(func() { clients[i].run(ctx, time.Millisecond) })
	}
	for range kills {
		time.Sleep(300 * time.Millisecond) // every connection is in use by then
		before := s.mustHealth()
		s.killAndWatch(before.PID)
		s.recovered(before)
		if d := s.hangup(); d.Verdict != "accepted" { // so that the next kill is a first one too
			t.Errorf("%+v", d)
		}
	}
	stop()
	asking.Wait()
	answered := 0
	for i, c := range clients {
		for _, err := range c.failures {
			t.Errorf("client %d: %v", i, err)
		}
		answered += c.answered
	}
	if answered < 100*kills {
		t.Errorf("only %d requests were answered", answered)
	}
	t.Logf("%d requests answered over %d kills", answered, kills)
}

// A sign-in is harmless to repeat, other changes are not.
func TestNginxRepeatsOnlyWhatIsHarmless(t *testing.T) {
	var asked atomic.Int64
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		panic(http.ErrAbortHandler) // as if the worker were killed
	}))
	defer site.Close()
	p := newProxy(t, sitePlain, site.Listener.Addr().String())
	for _, tt := range []struct {
		method, path string
		want         int64
	}{
		{"GET", "/api/session", 6}, {"POST", "/api/session", 6}, {"DELETE", "/api/session", 6},
		{"GET", "/api/rooms", 6}, {"POST", "/api/account", 1}, {"PUT", "/api/account/password", 6}, {"DELETE", "/api/account", 6},
	} {
		asked.Store(0)
		got := ask(t, p.client(1), tt.method, p.url()+tt.path, "")
		if n := asked.Load(); n != tt.want || got.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s %s: asked %d times, and answered %s, want %d times and 503", tt.method, tt.path, n, got.Status, tt.want)
		}
	}
}

// renamer takes another name over and over.
type renamer struct {
	cookie, user string
	done         int
	failures     []string
}

// rename asks for a name, and wants to stay who it is.
func (r *renamer) rename(c *http.Client, url, name string) {
	req, err := http.NewRequest("POST", url+"/api/session", strings.NewReader(`{"name":"`+name+`"}`))
	if err != nil {
		r.failures = append(r.failures, err.Error())
		return
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Cookie", r.cookie)
	resp, err := c.Do(req)
	if err != nil {
		r.failures = append(r.failures, err.Error())
		return
	}
	defer resp.Body.Close()
	var who struct{ User, Name string }
	body, _ := io.ReadAll(resp.Body)
	json.Unmarshal(body, &who)
	if resp.StatusCode != http.StatusOK || who.Name != name || r.user != "" && who.User != r.user {
		r.failures = append(r.failures, fmt.Sprintf("%s: %s", resp.Status, body))
		return
	}
	cookie := resp.Cookies()[0]
	r.user, r.cookie = who.User, cookie.Name+"="+cookie.Value
	r.done++
}

// A sign-in that a killed worker had is repeated by the next one, and whoever
// signed in is who they were, whether the first had been done or not.
func TestNginxRepeatsASignIn(t *testing.T) {
	const kills = 4
	s := open(t, binaries.app(t, "aaaa"))
	p := newProxy(t, sitePlain, s.addr, change{"rate=50r/s", "rate=5000r/s"}, change{"rate=2r/s", "rate=5000r/s"})
	ctx, stop := context.WithCancel(t.Context())
	renamers := make([]*renamer, 20)
	var asking sync.WaitGroup
	for i := range renamers {
		r, c := new(renamer), p.client(byte(1+i))
		renamers[i] = r
		asking.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				r.rename(c, p.url(), fmt.Sprintf("Person %d %d", 50+i, n%7))
			}
		})
	}
	for range kills {
		time.Sleep(300 * time.Millisecond)
		before := s.mustHealth()
		s.killAndWatch(before.PID)
		s.recovered(before)
		if d := s.hangup(); d.Verdict != "accepted" {
			t.Errorf("%+v", d)
		}
	}
	stop()
	asking.Wait()
	done := 0
	for i, r := range renamers {
		for _, failure := range r.failures {
			t.Errorf("person %d: %s", i, failure)
		}
		done += r.done
	}
	if done < 20*kills {
		t.Errorf("only %d names were taken", done)
	}
	t.Logf("%d sign-ins over %d kills", done, kills)
}
