package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// site is a supervisor with the chat under it, as an operator has it: a
// release link that names the build, a state and a data directory.
type site struct {
	t       testing.TB
	dir     string
	addr    string // host:port of the chat
	process *exec.Cmd
	ended   chan struct{} // closed when the supervisor has ended
	err     error         // of its end
	output  *output
}

// open starts a site on a build. It is stopped with the test.
func open(t testing.TB, build string, flags ...string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), ended: make(chan struct{}), output: new(output)}
	s.install(build)
	s.start(flags, filepath.Join(s.dir, "current"), "serve", "--data", filepath.Join(s.dir, "data"))
	return s
}

// openCommand starts a site of another program than the chat.
func openCommand(t testing.TB, command ...string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), ended: make(chan struct{}), output: new(output)}
	s.start(nil, command...)
	return s
}

// start runs a supervisor with a command until the test ends.
func (s *site) start(flags []string, command ...string) {
	s.t.Helper()
	args := append([]string{"run", "--state", s.state(), "--listen", "http=127.0.0.1:0", "--bake", "0s"}, flags...)
	args = append(append(args, "--"), command...)
	s.serve(exec.Command(binaries.supervisor(s.t), args...))
}

// serve launches a supervisor on a state directory of its own, and returns when
// its worker serves.
func (s *site) serve(c *exec.Cmd) {
	s.t.Helper()
	if err := os.MkdirAll(s.state(), 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.launch(c)
	s.eventually("the first worker serves", func() bool {
		st, err := s.status()
		if err != nil || len(st.Listen) == 0 || len(st.Programs) == 0 || len(st.Programs[0].Instances) == 0 {
			return false
		}
		s.addr = st.Listen[0].Address
		return st.Programs[0].Instances[0].State == "running"
	})
}

// launch starts the process of a supervisor, which ends with the test.
func (s *site) launch(c *exec.Cmd) {
	s.t.Helper()
	s.process = c
	c.Dir = s.dir
	c.Stdout, c.Stderr = s.output, s.output
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal: SIGHUP deploys
	c.Env = append(c.Environ(), "GORACE=halt_on_error=1 atexit_sleep_ms=0")
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		s.err = c.Wait()
		close(s.ended)
	}()
	s.t.Cleanup(s.close)
}

func (s *site) state() string { return filepath.Join(s.dir, "state") }
func (s *site) url() string   { return "http://" + s.addr }

// install puts a build in place as a deploy does: the release link is replaced
// in one step.
func (s *site) install(build string) {
	s.t.Helper()
	link := filepath.Join(s.dir, "current")
	os.Remove(link + ".new")
	if err := os.Symlink(build, link+".new"); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		s.t.Fatal(err)
	}
}

// close stops the supervisor; by then it must still be there, and nothing of
// what it started may be left afterwards.
func (s *site) close() {
	workers := s.workers()
	s.process.Process.Signal(syscall.SIGTERM) // it may have ended: then its error tells
	select {
	case <-s.ended:
		if s.err != nil {
			s.t.Errorf("the supervisor ended with %v", s.err)
		}
	case <-time.After(patience):
		s.t.Error("the supervisor did not stop")
		s.process.Process.Kill()
		<-s.ended
	}
	for _, pid := range workers {
		if syscall.Kill(pid, 0) == nil {
			s.t.Errorf("worker %d outlived its supervisor", pid)
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if log := s.output.String(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") {
		s.t.Error("a race or a panic in the output")
	}
	if s.t.Failed() {
		s.t.Logf("output of the site:\n%s", s.output.last(100))
	}
}

// workers returns the pids of every worker there is.
func (s *site) workers() []int {
	st, err := s.status()
	if err != nil {
		return nil
	}
	var pids []int
	for _, p := range st.Programs {
		if pid := p.Instances[0].PID; pid != 0 {
			pids = append(pids, pid)
		}
		for _, d := range p.Instances[0].Draining {
			pids = append(pids, d.PID)
		}
	}
	return pids
}

// kill ends the supervisor by kill -9, on purpose.
func (s *site) kill() {
	s.process.Process.Kill()
	<-s.ended
	s.err = nil
}

func (s *site) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		s.t.Errorf("signal the supervisor: %v", err)
	}
}

// eventually waits until cond holds.
func (s *site) eventually(what string, cond func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(10 * time.Millisecond) {
		select {
		case <-s.ended:
			s.t.Fatalf("the supervisor ended (%v) before %s", s.err, what)
		default:
		}
		if time.Now().After(end) {
			s.t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}

// status is what these tests read of `supervisor status --json`. The type is
// written out here because it is a contract with programs outside.
type status struct {
	PID    int `json:"pid"`
	Listen []struct {
		Name    string `json:"name"`
		Address string `json:"address"`
	} `json:"listen"`
	Programs []program `json:"programs"`
	Deploys  []deploy  `json:"deploys"`
}

type program struct {
	Name    string `json:"name"`
	LogFile struct {
		Error string `json:"error"`
	} `json:"log_file"`
	Instances []struct {
		State    string `json:"state"`
		Gen      int    `json:"gen"`
		PID      int    `json:"pid"`
		Restarts int    `json:"restarts"`
		LastExit string `json:"last_exit"`
		Conns    int    `json:"conns"`
		Build    struct {
			Path   string `json:"path"`
			Commit string `json:"commit"`
		} `json:"build"`
		Draining []struct {
			PID int `json:"pid"`
		} `json:"draining"`
	} `json:"instances"`
}

type deploy struct {
	ID        string `json:"id"`
	Program   string `json:"program"`
	Verdict   string `json:"verdict"`
	Reason    string `json:"reason"`
	SwappedMS int64  `json:"swapped_ms"`
	By        string `json:"by"`
}

func (s *site) status() (st status, err error) {
	out, _, err := s.command("status", "--json")
	if err != nil {
		return st, err
	}
	err = json.Unmarshal([]byte(out), &st)
	return st, err
}

// command runs the supervisor's command line against this site.
func (s *site) command(args ...string) (stdout string, code int, err error) {
	var out, errOut bytes.Buffer
	c := exec.Command(binaries.supervisor(s.t), append([]string{"--state", s.state()}, args...)...)
	c.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	c.Stdout, c.Stderr = &out, &errOut
	err = c.Run()
	if err != nil {
		err = fmt.Errorf("supervisor %s: %w: %s", strings.Join(args, " "), err, errOut.String())
	}
	return out.String(), c.ProcessState.ExitCode(), err
}

// hangup deploys by SIGHUP, as CI does, and waits for the verdict.
func (s *site) hangup() deploy {
	s.t.Helper()
	st, err := s.status()
	if err != nil {
		s.t.Fatal(err)
	}
	before := len(st.Deploys)
	s.signal(syscall.SIGHUP)
	var d deploy
	s.eventually("a verdict", func() bool {
		st, err := s.status()
		if err != nil || len(st.Deploys) <= before {
			return false
		}
		d = st.Deploys[len(st.Deploys)-1]
		return d.Verdict != "pending"
	})
	return d
}

// health is what /healthz tells.
type health struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Gen     int    `json:"gen"`
	PID     int    `json:"pid"`
}

// health asks the serving worker over a fresh connection.
func (s *site) health() (health, error) {
	var h health
	body, err := get(s.url() + "/healthz")
	if err == nil {
		err = json.Unmarshal(body, &h)
	}
	return h, err
}

// mustHealth is health where it has to answer.
func (s *site) mustHealth() health {
	s.t.Helper()
	h, err := s.health()
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

// get fetches url over a connection of its own, with no silent retries.
func get(url string) ([]byte, error) {
	client := http.Client{
		Timeout:   patience,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: patience}).DialContext},
	}
	resp, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, resp.Status, body)
	}
	return body, err
}

// output keeps what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// last returns the last n lines.
func (o *output) last(n int) string {
	lines := strings.Split(strings.TrimSpace(o.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
