package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// openMany starts a supervisor of n programs that do nothing.
func openMany(t testing.TB, n int) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), ended: make(chan struct{}), output: new(output)}
	if err := os.Mkdir(s.state(), 0o700); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "[program.p%02d]\ncommand = [%q, 'serve']\nbake = '0s'\n", i, binaries.tiny(t, "aaaa"))
	}
	config := filepath.Join(s.dir, "supervisor.toml")
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.launch(exec.Command(binaries.lean(t), "run", "--state", s.state(), "--config", config))
	s.eventually("all programs run", func() bool { return s.running() == n })
	return s
}

// running is how many programs run.
func (s *site) running() (n int) {
	st, err := s.status()
	if err != nil {
		return 0
	}
	for _, p := range st.Programs {
		if p.Instances[0].State == "running" {
			n++
		}
	}
	return n
}

// What the operator's command costs, and what the supervisor takes, by the
// number of programs.
func BenchmarkStatusOfMany(b *testing.B) {
	for _, n := range []int{1, 50} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := openMany(b, n)
			began := time.Now()
			for b.Loop() {
				if _, _, err := s.command("status"); err != nil {
					b.Fatal(err)
				}
			}
			took := time.Since(began) / time.Duration(b.N)
			b.ReportMetric(float64(took.Microseconds())/1e3, "ms/op")
			b.ReportMetric(float64(resident(b, s.process.Process.Pid))/1e6, "MB")
			if took > 30*time.Millisecond && !raceBuild {
				b.Errorf("a call takes %s, at most 30 ms are allowed", took)
			}
		})
	}
}

// From the request to the verdicts of all.
func BenchmarkReloadOfMany(b *testing.B) {
	for _, n := range []int{1, 50} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := openMany(b, n)
			began := time.Now()
			for b.Loop() {
				if _, _, err := s.command("reload", "--wait"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((time.Since(began) / time.Duration(b.N)).Milliseconds()), "ms/op")
			b.ReportMetric(float64(resident(b, s.process.Process.Pid))/1e6, "MB")
		})
	}
}

// Fifty programs are nothing much to a supervisor.
func TestFiftyPrograms(t *testing.T) {
	const programs = 50
	s := openMany(t, programs)
	if _, _, err := s.command("reload", "--wait"); err != nil {
		t.Error(err)
	}
	if n := s.running(); n != programs {
		t.Errorf("%d programs run, want %d", n, programs)
	}
	rss := resident(t, s.process.Process.Pid)
	if rss > 40e6 {
		t.Errorf("the supervisor takes %d bytes, at most 40 MB are allowed", rss)
	}
	fastest := time.Hour // this machine may be busy with something else
	for range 10 {
		began := time.Now()
		if _, _, err := s.command("status"); err != nil {
			t.Fatal(err)
		}
		fastest = min(fastest, time.Since(began))
	}
	if fastest > 300*time.Millisecond {
		t.Errorf("the fastest of ten calls of status took %s", fastest)
	}
	t.Logf("%.1f MB, status in %s", float64(rss)/1e6, fastest)
}
