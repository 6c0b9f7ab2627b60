//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/mongo/mongotest"
	"github.com/simpletalk/simpletalk/app/internal/nats/natstest"
)

// TestBadNATS: each mistake has one clear line, without what is secret.
func TestBadNATS(t *testing.T) {
	const mongo = "MONGODB_URI=mongodb://127.0.0.1:1/db"
	for _, tt := range []struct {
		args []string
		env  []string
		want string
	}{
		{nil, []string{mongo, "NATS_URL=http://" + password + "@h"}, "NATS_URL: must be nats://HOST"},
		{nil, []string{mongo, "NATS_URL=nats://" + password + "%zz@h"}, "NATS_URL: cannot be read"},
		{nil, []string{"NATS_URL=nats://" + password + "@h"}, "set MONGODB_URI too"},
		{[]string{"--nats-url", "nats://" + password + "@h"}, []string{mongo}, "--nats-url: everybody on this machine can read it"},
		{[]string{"--nats-url", "h"}, []string{mongo}, "--nats-url: must be nats://HOST"},
		{[]string{"--nats-url", "nats://h", "--nats-creds", "/no/such"}, []string{mongo}, "NATS: read credentials: open /no/such"},
		{nil, []string{mongo, "NATS_URL=nats://h", "NATS_CERT=/no/such"}, "belong together"},
	} {
		cmd := app(t, append([]string{"serve", "--listen", "127.0.0.1:0"}, tt.args...)...)
		cmd.Env = append(cmd.Env, tt.env...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.Run()
		line := out.String()
		if cmd.ProcessState.ExitCode() != exitUsage || !strings.HasPrefix(line, "app: ") || strings.Count(line, "\n") != 1 || !strings.Contains(line, tt.want) {
			t.Errorf("%v %v: exit %d, %q; want one line with %q", tt.args, tt.env, cmd.ProcessState.ExitCode(), line, tt.want)
		}
		if strings.Contains(line, password) {
			t.Errorf("the secret is shown: %s", line)
		}
	}
}

// TestServeWithNATS: it starts and stops with a server, without one, and when
// one comes; nobody is shown the token.
func TestServeWithNATS(t *testing.T) {
	config := "authorization { token: \"" + password + "\" }"
	server := natstest.Start(t, config)
	cmd := app(t, "serve", "--listen", "127.0.0.1:0")
	cmd.Env = append(cmd.Env, "MONGODB_URI="+mongotest.Start(t).URI("chat"), "NATS_URL=nats://"+password+"@"+server.Addr())
	addr, log := startLogged(t, cmd)
	server.Kill()
	resp, err := http.Get("http://" + addr + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("readyz without NATS: %d, want 200: the chat goes on", resp.StatusCode)
	}
	server.Restart("authorization { token: other }") // something to complain about
	cmd.Process.Signal(syscall.SIGTERM)
	said := log()
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v, want exit code 0", err)
	}
	if strings.Contains(said, password) {
		t.Errorf("the token is shown: %s", said)
	}
}

// Two hosts on one store count what an address does at both, and a name is
// somebody's at both, in whichever room they are.
func TestTwoHosts(t *testing.T) {
	server := natstest.Start(t, "")
	s := newSite(t, []string{"MONGODB_URI=" + mongotest.Start(t).URI("chat"), "NATS_URL=" + server.URL()})
	s.tab(0, s.guest("Ann")).say(`{"t":"join","room":"elsewhere"}`)
	for end := time.Now().Add(patience); s.comes(1, "198.51.100.1", "ANN") != http.StatusConflict; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a name that is in use at one host is free at the other")
		}
	}

	const greedy = "198.51.100.2"
	used, more := 0, 0
	for used < 500 && s.comes(0, greedy, fmt.Sprint("greedy ", used)) == http.StatusOK {
		used++
	}
	time.Sleep(time.Second) // the other host is told within a quarter of it; two sign-ins become free
	for more < 500 && s.comes(1, greedy, fmt.Sprint("greedier ", more)) == http.StatusOK {
		more++
	}
	if used < 60 || used == 500 || more > 10 {
		t.Errorf("after %d sign-ins at one host %d more at the other, want 60 or a little more, and the few of a second", used, more)
	}
	if status := s.comes(1, "198.51.100.3", "Cal"); status != http.StatusOK {
		t.Errorf("from another address: %d", status)
	}
}

// comes signs somebody in, from an address that a proxy tells, and returns the
// status.
func (s *site) comes(worker int, addr, name string) int {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "POST", "http://"+s.workers[worker]+"/api/session", strings.NewReader(fmt.Sprintf(`{"name":%q}`, name)))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Forwarded-For", addr)
	resp, err := s.http.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
