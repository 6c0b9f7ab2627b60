package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// loadReport is what `app load --json` prints. The type is written out here
// because it is a contract with programs outside.
type loadReport struct {
	Clients     int   `json:"clients"`
	Disconnects int   `json:"disconnects"`
	Broken      int   `json:"broken"`
	Reconnects  int64 `json:"reconnects"`
	Sent        int64 `json:"sent"`
	Acked       int64 `json:"acked"`
	Received    int64 `json:"received"`
	Lost        int64 `json:"lost"`
	Duplicated  int64 `json:"duplicated"`
	Reordered   int64 `json:"reordered"`
	HTTPOK      int64 `json:"http_ok"`
	HTTPFailed  int64 `json:"http_failed"`
	HTTPRetried int64 `json:"http_retried"`
	LatencyMS   struct {
		P50  float64 `json:"p50"`
		P99  float64 `json:"p99"`
		P999 float64 `json:"p999"`
		Max  float64 `json:"max"`
	} `json:"latency_ms"`
	LongestSilenceMS float64 `json:"longest_silence_ms"`
	Timeline         []struct {
		AtMS         float64 `json:"at_ms"`
		Gen          int     `json:"gen"`
		PID          int     `json:"pid"`
		SilenceP99MS float64 `json:"silence_p99_ms"`
		SilenceMaxMS float64 `json:"silence_max_ms"`
	} `json:"timeline"`
	HTTPFailures []struct {
		At     time.Time `json:"at"`
		TookMS float64   `json:"took_ms"`
		Method string    `json:"method"`
		Error  string    `json:"error"`
	} `json:"http_failures"`
}

// unkilled is how many requests failed that were not under way at a kill: a
// plain request inside a worker that is killed dies with it, and a POST cannot
// be repeated.
func (r loadReport) unkilled(kills []span) int64 {
	failed := r.HTTPFailed
	for _, f := range r.HTTPFailures {
		asked := span{f.At, f.At.Add(time.Duration(f.TookMS * float64(time.Millisecond)))}
		if slices.ContainsFunc(kills, asked.overlaps) {
			failed--
		}
	}
	return failed
}

// run300 is the load of these tests: 300 clients in 5 rooms, 20 of them talk.
var run300 = []string{"--clients", "300", "--chatters", "20", "--rate", "100", "--rooms", "5"}

// load starts `app load` against the site. The returned function waits for it
// and tells what it reported, and its exit code.
func (s *site) load(build string, args ...string) (process *os.Process, wait func() (loadReport, int)) {
	s.t.Helper()
	return startLoad(s.t, exec.Command(build, append([]string{"load", "--json", "--url", s.url()}, args...)...))
}

// startLoad starts `app load`, see [site.load].
func startLoad(t testing.TB, c *exec.Cmd) (process *os.Process, wait func() (loadReport, int)) {
	t.Helper()
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	c.Env = append(os.Environ(), "GORACE=halt_on_error=1 atexit_sleep_ms=0")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	var ended error
	join := func() { once.Do(func() { ended = c.Wait() }) }
	t.Cleanup(func() {
		c.Process.Kill() // it has ended, unless the test gave up
		join()
	})
	return c.Process, func() (r loadReport, code int) {
		t.Helper()
		join()
		var exit *exec.ExitError
		if ended != nil && !errors.As(ended, &exit) {
			t.Fatal(ended)
		}
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatalf("app load: %v: %q: %s", err, out.String(), errOut.String())
		}
		t.Logf("app load: %s%s", out.String(), errOut.String())
		return r, c.ProcessState.ExitCode()
	}
}

// talk is load by [run300] until it is stopped, once everybody is connected.
func (s *site) talk(build string) (stop func() (loadReport, int)) {
	s.t.Helper()
	process, wait := s.load(build, append(run300, "--plain", "--for", "10m")...)
	s.eventually("everybody is connected", func() bool {
		st, err := s.status()
		return err == nil && len(st.Programs) > 0 && st.Programs[0].Instances[0].Conns >= 300
	})
	return func() (loadReport, int) {
		s.t.Helper()
		process.Signal(os.Interrupt)
		return wait()
	}
}

// checkMessages holds what must be true of every run: each message is stored
// once and reached each of the members of its room once and in order, and no
// request failed.
func checkMessages(t *testing.T, r loadReport, members int64) {
	t.Helper()
	if r.Lost+r.Duplicated+r.Reordered+r.HTTPFailed != 0 {
		t.Errorf("%d lost, %d duplicated, %d reordered, %d requests failed, want none", r.Lost, r.Duplicated, r.Reordered, r.HTTPFailed)
	}
	if r.Sent == 0 || r.Acked != r.Sent || r.Received != members*r.Acked || r.HTTPOK == 0 {
		t.Errorf("%d sent, %d acknowledged, %d copies, %d requests: want all acknowledged, and %d copies of each", r.Sent, r.Acked, r.Received, r.HTTPOK, members)
	}
}

func TestLoadFindsNothingWrongWithAQuietSite(t *testing.T) {
	build := binaries.app(t, "aaaa")
	s := open(t, build)
	_, wait := s.load(build, append(run300, "--for", "5s")...)
	r, code := wait()
	checkMessages(t, r, 60)
	if code != 0 || r.Clients != 300 || r.Disconnects+r.Broken != 0 || r.Reconnects+r.HTTPRetried != 0 || len(r.Timeline) != 0 {
		t.Errorf("exit %d of %+v, want 0 and nobody disconnected", code, r)
	}
}

// Without handover everybody is disconnected at each deploy, which the tool
// must not overlook; beside that nothing may go wrong.
func TestLoadSeesADrainAndNothingElse(t *testing.T) {
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	s := open(t, builds[0], "--handover=false")
	_, wait := s.load(builds[0], append(run300, "--for", "10s")...)
	s.eventually("everybody is connected", func() bool {
		st, err := s.status()
		return err == nil && st.Programs[0].Instances[0].Conns >= 300
	})
	for i := range 2 {
		time.Sleep(1500 * time.Millisecond) // people talk for a while
		s.install(builds[(i+1)%2])
		if d := s.hangup(); d.Verdict != "accepted" {
			t.Errorf("reload %d: %+v", i, d)
		}
	}
	r, code := wait()
	checkMessages(t, r, 60)
	if code != 1 || r.Disconnects < 300 || r.Broken != 0 || r.Reconnects < 300 {
		t.Errorf("exit %d of %+v, want 1 and everybody disconnected and back", code, r)
	}
	if len(r.Timeline) != 2 || r.Timeline[0].Gen >= r.Timeline[1].Gen || r.Timeline[0].PID == r.Timeline[1].PID {
		t.Errorf("timeline %+v, want the two deploys", r.Timeline)
	}
}

// An interrupt ends the posting; what was posted is checked and reported.
func TestLoadInterruptedStillReports(t *testing.T) {
	build := binaries.app(t, "aaaa")
	s := open(t, build)
	process, wait := s.load(build, "--clients", "20", "--rate", "40", "--for", "1h")
	s.eventually("somebody has posted", func() bool {
		body, err := get(s.url() + "/api/rooms")
		return err == nil && strings.Contains(string(body), `"room":"load-`) && strings.Count(string(body), `"head":0`) <= 1
	})
	if err := process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	r, code := wait()
	checkMessages(t, r, 4)
	if code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
}

// The limit is the process's own: nobody is let in halfway.
func TestLoadRefusesMoreClientsThanDescriptors(t *testing.T) {
	build := binaries.app(t, "aaaa")
	c := exec.Command("sh", "-c", `ulimit -n 200 && exec "$0" load --clients 300`, build)
	out, err := c.CombinedOutput()
	if err == nil || c.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "RLIMIT_NOFILE is 200") || !strings.Contains(string(out), "at most 168 clients") {
		t.Errorf("%v: %s, want exit 2 and the numbers", err, out)
	}
}
