package mongo

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/mongo/mongotest"
)

// benchOn runs a benchmark on FerretDB and on the server that MONGODB_TEST_URI
// names. The name of the server is in that of the benchmark: figures of FerretDB
// say what this package costs beside it, and nothing about MongoDB.
func benchOn(b *testing.B, bench func(b *testing.B, s *Store, events int)) {
	b.Run("server=FerretDB", func(b *testing.B) {
		s := openURI(b, mongotest.Start(b).URI("bench"))
		defer s.Close()
		bench(b, s, 500) // it reads a collection from one end to the other
	})
	uri := os.Getenv(testURIVariable)
	if uri == "" {
		return
	}
	b.Run("server=MongoDB", func(b *testing.B) {
		s := openURI(b, throwaway(b, uri))
		defer s.Close()
		bench(b, s, 100_000)
	})
}

// BenchmarkAppend is one durable append of a batch; events/s is what it stores.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 16, 100, 512} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			benchOn(b, func(b *testing.B, s *Store, _ int) {
				if _, err := s.Append(b.Context(), posts("lobby", "first", 1)); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, err := s.Append(b.Context(), posts("lobby", strconv.Itoa(i), size)); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		})
	}
}

// BenchmarkPage reads pages of 50 all over a room.
func BenchmarkPage(b *testing.B) {
	benchOn(b, func(b *testing.B, s *Store, n int) {
		const batch = 500
		for i := range n / batch {
			if _, err := s.Append(b.Context(), posts("lobby", strconv.Itoa(i), batch)); err != nil {
				b.Fatal(err)
			}
		}
		for name, read := range map[string]func(i int) (int, error){
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
				for i := 0; b.Loop(); i++ {
					if got, err := read(i); err != nil || got != 50 {
						b.Fatal(got, err)
					}
				}
			})
		}
	})
}
