package e2e

import (
	"testing"
	"time"
)

// From the spawn of the app to the supervisor's knowing that it is ready, as
// every deploy pays it.
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
