package sqlite

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// BenchmarkAppend is one durable commit of a batch; events/s is what it stores.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 16, 128} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			s := openIn(b, b.TempDir())
			defer s.Close()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := s.Append(b.Context(), posts("lobby", strconv.Itoa(i), size)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkPage reads pages of 50 all over a room of 100,000 events, or of
// BENCH_EVENTS.
func BenchmarkPage(b *testing.B) {
	n := 100_000
	if set := os.Getenv("BENCH_EVENTS"); set != "" {
		var err error
		if n, err = strconv.Atoi(set); err != nil {
			b.Fatal(err)
		}
	}
	s := openIn(b, b.TempDir())
	defer s.Close()
	const batch = 1000
	for i := range n / batch {
		if _, err := s.Append(b.Context(), posts("lobby", strconv.Itoa(i), batch)); err != nil {
			b.Fatal(err)
		}
	}
	for name, read := range map[string]func(i int) (int, error){
		"posts": func(i int) (int, error) {
			events, err := s.PostsBefore(b.Context(), "lobby", int64(50+i*7919%(n-50))+1, 50)
			return len(events), err
		},
		"after": func(i int) (int, error) {
			events, err := s.After(b.Context(), "lobby", int64(i*7919%(n-50)), 50)
			return len(events), err
		},
		"before": func(i int) (int, error) {
			events, err := s.Before(b.Context(), "lobby", int64(50+i*7919%(n-50))+1, 50)
			return len(events), err
		},
		"head":  func(int) (int, error) { _, err := s.Head(b.Context(), "lobby"); return 50, err },
		"rooms": func(int) (int, error) { _, err := s.Rooms(b.Context()); return 50, err },
		"ping":  func(int) (int, error) { return 50, s.Ping(b.Context()) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				begun := time.Now()
				if got, err := read(i); err != nil || got != 50 {
					b.Fatal(got, err)
				}
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
