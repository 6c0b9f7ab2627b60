package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// From SIGHUP to the verdict; swapped-ms is the part until the new build
// serves.
func BenchmarkReload(b *testing.B) {
	s := open(b, binaries.app(b, "aaaa"))
	var swapped time.Duration
	for b.Loop() {
		d := s.hangup()
		if d.Verdict != "accepted" {
			b.Fatalf("%+v", d)
		}
		swapped += time.Duration(d.SwappedMS) * time.Millisecond
	}
	b.ReportMetric(float64(swapped.Milliseconds())/float64(b.N), "swapped-ms")
}

// From the spawn of a worker until it is ready: its own start, the store opened
// and the first pages read.
func BenchmarkStartToReady(b *testing.B) {
	s := open(b, binaries.app(b, "aaaa"))
	var took time.Duration
	for b.Loop() {
		steps := s.steps()
		took += steps["ready"].Sub(steps["spawned"])
	}
	b.ReportMetric(float64(took.Microseconds())/1e3/float64(b.N), "ready-ms")
}

// steps deploys and returns when each step of it was.
func (s *site) steps() map[string]time.Time {
	s.t.Helper()
	out, _, err := s.command("reload", "--wait", "--json")
	if err != nil {
		s.t.Fatal(err)
	}
	at := map[string]time.Time{}
	for line := range strings.Lines(out) {
		var step struct {
			At   time.Time `json:"at"`
			Step string    `json:"step"`
		}
		if err := json.Unmarshal([]byte(line), &step); err != nil {
			s.t.Fatal(err)
		}
		at[step.Step] = step.At
	}
	return at
}

// From kill -9 of the serving worker to the first answer of its successor, as
// a client without patience sees it.
func BenchmarkCrashToFirstAnswer(b *testing.B) {
	s := open(b, binaries.app(b, "aaaa"))
	h := s.mustHealth()
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		time.Sleep(200 * time.Millisecond) // a reload in between resets the backoff
		if d := s.hangup(); d.Verdict != "accepted" {
			b.Fatalf("%+v", d)
		}
		h = s.mustHealth()
		b.StartTimer()
		kill(h.PID)
		for {
			if now, err := s.health(); err == nil && now.Gen > h.Gen {
				break
			}
		}
	}
}

// What the operator's command costs.
func BenchmarkStatusCommand(b *testing.B) {
	s := open(b, binaries.app(b, "aaaa"))
	for b.Loop() {
		if _, _, err := s.command("status", "--json"); err != nil {
			b.Fatal(err)
		}
	}
}
