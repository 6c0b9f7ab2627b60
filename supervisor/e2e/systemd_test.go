package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/systemd/sdbox"
)

// service is the chat as `supervisor startup` makes it a service, on a machine
// that a real systemd has booted.
type service struct {
	*sdbox.Box
	t *testing.T
}

func startService(t *testing.T) *service {
	t.Helper()
	s := &service{sdbox.Boot(t, sdbox.Options{}), t}
	s.release("1", binaries.build(t, "app", "aaaa", false))
	s.Install("/opt/simpletalk/releases/1/supervisor", binaries.lean(t))
	s.current("1")
	// Short, so that the test is.
	s.Write("/etc/simpletalk/supervisor.toml", s.config(), 0o644)
	out := s.Must("/opt/simpletalk/current/supervisor", "startup")
	for _, want := range []string{"wrote    /etc/systemd/system/simpletalk.service", "kept     /etc/simpletalk/supervisor.toml", "ran      systemctl enable --now"} {
		if !strings.Contains(out, want) {
			t.Errorf("startup does not say %q:\n%s", want, out)
		}
	}
	return s
}

// config is of a chat whose builds are good within a second.
func (s *service) config() string {
	return `
[listen]
http = "127.0.0.1:3000"
[program.chat]
command = ["/opt/simpletalk/current/app", "serve"]
listen = ["http"]
env_file = ["/etc/simpletalk/env"]
bake = "1s"
`
}

// release puts a build where CI does, with the supervisor of the first.
func (s *service) release(id, app string) {
	s.t.Helper()
	s.Install("/opt/simpletalk/releases/"+id+"/app", app)
	if id != "1" {
		s.Must("ln", "/opt/simpletalk/releases/1/supervisor", "/opt/simpletalk/releases/"+id+"/supervisor")
	}
}

// current moves the release link, in one step.
func (s *service) current(id string) {
	s.t.Helper()
	s.Must("ln", "-s", "releases/"+id, "/opt/simpletalk/next")
	s.Must("mv", "-T", "/opt/simpletalk/next", "/opt/simpletalk/current")
}

// health asks the service over a fresh connection.
func (s *service) health() (h health, err error) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return s.Network.Dial(ctx, network, address)
		},
	}}
	resp, err := client.Get("http://127.0.0.1:3000/healthz")
	if err != nil {
		return h, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil {
		err = json.Unmarshal(body, &h)
	}
	return h, err
}

func (s *service) mustHealth() health {
	s.t.Helper()
	h, err := s.health()
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

// left lists what of ours runs in the box.
func (s *service) left() string {
	out, _ := s.Run("pgrep", "-u", "simpletalk", "-l")
	return out
}

func (s *service) eventually(what string, cond func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// An operator's and a CI's day: install, deploy, fail to deploy, hang up, restart,
// reboot, stop, remove; under the full hardening of the unit.
func TestTheServiceUnderSystemd(t *testing.T) {
	s := startService(t)
	first := s.mustHealth()
	if first.Commit != "aaaa" {
		t.Fatalf("%+v serves", first)
	}
	if out := s.Must("systemctl", "status", "simpletalk"); !strings.Contains(out, `Status: "chat running aaaa`) {
		t.Errorf("systemctl status says no status:\n%s", out)
	}
	if out := s.Must("/opt/simpletalk/current/supervisor", "startup"); strings.Contains(out, "wrote") {
		t.Errorf("a second startup changes something:\n%s", out)
	}

	s.release("2", binaries.build(t, "app", "bbbb", false))
	s.current("2")
	s.Must("systemctl", "reload", "simpletalk")
	if h := s.mustHealth(); h.Commit != "bbbb" {
		t.Errorf("after a reload serves %+v", h)
	}

	s.Write("/opt/simpletalk/releases/3/app", "#!/bin/sh\necho no such table >&2\nexit 7\n", 0o755)
	s.Must("ln", "/opt/simpletalk/releases/1/supervisor", "/opt/simpletalk/releases/3/supervisor")
	s.current("3")
	if out, code := s.Run("systemctl", "reload", "simpletalk"); code == 0 {
		t.Errorf("a reload of a bad build: exit code %d, %s", code, out)
	}
	if h := s.mustHealth(); h.Commit != "bbbb" {
		t.Errorf("after a bad build serves %+v", h)
	}
	if log := s.Journal("-u", "simpletalk"); !strings.Contains(log, "no such table") {
		t.Error("the bad build's last words are not in the journal")
	}
	if log := s.Journal("-u", "simpletalk", "-p", "err"); !strings.Contains(log, "worker failed") || strings.Contains(log, "worker ready") {
		t.Errorf("errors, and only those, should have their priority:\n%s", log)
	}

	s.current("1")
	for _, hangup := range [][]string{
		{"systemctl", "kill", "-s", "HUP", "--kill-whom=main", "simpletalk"},
		{"sh", "-c", "kill -HUP $(cat /run/simpletalk/supervisor.pid)"},
	} {
		before := s.mustHealth()
		s.Must(hangup...)
		s.eventually("the hangup deploys", func() bool {
			h, err := s.health()
			return err == nil && h.Gen > before.Gen && h.Commit == "aaaa"
		})
	}

	refused := s.whileAsking(func() { s.Must("systemctl", "restart", "simpletalk") })
	if refused > 0 {
		t.Errorf("%d connections were refused during a restart", refused)
	}
	s.Reboot()
	s.eventually("the chat is back after a reboot", func() bool {
		h, err := s.health()
		return err == nil && h.Commit == "aaaa"
	})

	s.Must("systemctl", "stop", "simpletalk.socket", "simpletalk.service")
	if left := s.left(); left != "" {
		t.Errorf("a stop leaves\n%s", left)
	}
	s.Must("systemctl", "start", "simpletalk")
	s.mustHealth()
	out := s.Must("/opt/simpletalk/current/supervisor", "unstartup")
	for _, want := range []string{"removed  /etc/systemd/system/simpletalk.service", "left     /etc/simpletalk/supervisor.toml: it was changed", "left     /var/lib/simpletalk"} {
		if !strings.Contains(out, want) {
			t.Errorf("unstartup does not say %q:\n%s", want, out)
		}
	}
	if _, err := s.health(); err == nil {
		t.Error("somebody serves after unstartup")
	}
	if out, code := s.Run("systemctl", "cat", "simpletalk"); code == 0 {
		t.Errorf("the unit is still there:\n%s", out)
	}
}

// whileAsking does something while connections are made again and again, and
// returns how many were refused.
func (s *service) whileAsking(do func()) int64 {
	var refused atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	asking.Go(func() {
		for ctx.Err() == nil {
			c, err := s.Network.Dial(ctx, "tcp", "127.0.0.1:3000")
			if err != nil && ctx.Err() == nil {
				refused.Add(1)
			}
			if c != nil {
				c.Close()
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	do()
	stop()
	asking.Wait()
	return refused.Load()
}

// A supervisor that is killed is started again and goes on with its worker; nobody
// is refused.
func TestAKilledSupervisorIsStartedAgain(t *testing.T) {
	s := startService(t)
	before := s.mustHealth()
	for range 3 {
		st := s.settled()
		refused := s.whileAsking(func() {
			s.Must("systemctl", "kill", "-s", "KILL", "--kill-whom=main", "simpletalk")
			s.eventually("another supervisor is up", func() bool {
				now, err := s.status()
				return err == nil && now.PID != st.PID
			})
		})
		if refused > 0 {
			t.Errorf("%d connections were refused", refused)
		}
		if now := s.mustHealth(); now != before {
			t.Errorf("%+v serves, %+v before", now, before)
		}
	}
	s.Must("systemctl", "stop", "simpletalk.socket", "simpletalk.service")
	if left := s.left(); left != "" {
		t.Errorf("a stop leaves\n%s", left)
	}
	s.Must("systemctl", "start", "simpletalk")
	if now := s.mustHealth(); now.PID == before.PID || now.Gen != 1 {
		t.Errorf("a stop left something to go on with: %+v", now)
	}
}

// A worker that hangs is found by the next supervisor as by the one before.
func TestAHungWorkerWhoseSupervisorIsKilled(t *testing.T) {
	s := startService(t)
	st := s.settled()
	worker := st.Programs[0].Instances[0].PID
	s.Must("/bin/kill", "-STOP", strconv.Itoa(worker))
	s.Must("systemctl", "kill", "-s", "KILL", "--kill-whom=main", "simpletalk")
	s.eventually("another supervisor is up", func() bool {
		now, err := s.status()
		return err == nil && now.PID != st.PID
	})
	s.eventually("the hung worker has been replaced", func() bool {
		now, err := s.status()
		return err == nil && now.Programs[0].Instances[0].PID != worker && now.Programs[0].Instances[0].State == "running"
	})
	s.mustHealth()
}

// A supervisor that hangs is stopped all the same, with everything it started: its
// worker ends by itself once nobody holds its control socket, a plain program by
// its keeper.
func TestAHungSupervisorIsStopped(t *testing.T) {
	s := startService(t)
	s.Write("/etc/simpletalk/supervisor.toml", s.config()+`
[program.plain]
command = ["/opt/plain", "serve"]
`, 0o644)
	s.Install("/opt/plain", binaries.tiny(t, "one"))
	s.Must("mkdir", "-p", "/etc/systemd/system/simpletalk.service.d")
	s.Write("/etc/systemd/system/simpletalk.service.d/short.conf", "[Service]\nTimeoutStopSec=2s\n", 0o644)
	s.Must("systemctl", "daemon-reload")
	s.Must("systemctl", "reload", "simpletalk")
	st := s.settled()
	if len(st.Programs) != 2 {
		t.Fatalf("%+v", st.Programs)
	}
	time.Sleep(time.Second) // its keeper is there
	s.Must("/bin/kill", "-STOP", strconv.Itoa(st.PID))
	s.Run("systemctl", "stop", "simpletalk.socket", "simpletalk.service")
	s.eventually("nothing is left", func() bool { return s.left() == "" })
}
