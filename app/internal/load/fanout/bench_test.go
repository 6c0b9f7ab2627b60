// Package fanout measures how many messages a second a server delivers to rooms
// of people: ours, and as its peer one on a library that others have written. The
// clients are beside it, on the same cores.
package fanout

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

const (
	people = 1000
	window = 2 * time.Second        // in which messages are posted at one rate
	settle = 2 * time.Second        // after everybody has come
	soon   = 100 * time.Millisecond // 99 of 100 deliveries must not take longer
	fixed  = 200_000.0              // deliveries a second, for the processors' time that they take
	faster = 1.25                   // from one rate to the next
	tries  = 3                      // of a rate, before it is too much
	slice  = 2 * time.Millisecond   // posts are made in groups
)

// BenchmarkAgainstCentrifuge raises the rate at which people in rooms of 1000 and
// of 100 post until one of a hundred deliveries takes longer than 100 ms, and
// tells the most deliveries a second before that. For machines that have other
// things to do as well it also tells what processors' time each of 200,000
// deliveries a second takes, when they are asked for. Our server stores each
// message durably before anybody gets it; the library's stores none, so ours is
// measured without a store as well.
func BenchmarkAgainstCentrifuge(b *testing.B) {
	for _, size := range []int{1000, 100} {
		var most [4]float64
		for i, s := range []struct {
			name  string
			serve func(*testing.B) server
			dialect
		}{
			{"ours", serveOurs, ours},
			{"ours, storing nothing", func(b *testing.B) server { return servePlain(b, "memory") }, ours},
			{"centrifuge", func(b *testing.B) server { return servePlain(b, "centrifuge") }, theirs},
			{"centrifuge, gathering for 10ms", func(b *testing.B) server { return servePlain(b, "centrifuge", "10ms") }, theirs},
		} {
			b.Run(fmt.Sprintf("rooms of %d/%s", size, s.name), func(b *testing.B) {
				most[i] = search(b, s.serve(b), size, s.dialect)
			})
		}
		for i, of := range []string{"centrifuge", "centrifuge that gathers"} {
			if peer := most[2+i]; peer > 0 {
				b.Logf("rooms of %d: %.2f times %s, %.2f times when nothing is stored", size, most[0]/peer, of, most[1]/peer)
			}
		}
	}
}

// search returns the most deliveries a second.
func search(b *testing.B, s server, size int, d dialect) float64 {
	r := &run{begun: time.Now()}
	var all []*client
	for i := range people {
		all = append(all, r.connect(b, s.addr, fmt.Sprint("Person ", i), fmt.Sprint("room", i/size), d))
	}
	http.DefaultClient.CloseIdleConnections()
	listenAll(b, all)
	time.Sleep(settle)
	before := s.cpu(b)
	r.post(all, size, fixed/float64(size), d)
	b.ReportMetric(float64((s.cpu(b)-before).Microseconds())/float64(got(all, slowest)), "server-µs/delivery")
	var most, late float64
	for rate := 20_000.0; ; rate *= faster {
		sustained := false
		for range tries {
			deliveries, p99 := r.post(all, size, rate/float64(size), d)
			if sustained = p99 < soon; sustained {
				most, late = deliveries, float64(p99.Milliseconds())
				break
			}
		}
		if !sustained {
			b.ReportMetric(0, "ns/op") // says nothing
			b.ReportMetric(most, "deliveries/s")
			b.ReportMetric(late, "p99-ms")
			return most
		}
	}
}

// post posts so many messages a second for a while, each by another person, and
// returns how many deliveries a second there were, and which time 99 of 100 did
// not exceed.
func (r *run) post(all []*client, size int, rate float64, d dialect) (deliveries float64, p99 time.Duration) {
	for _, c := range all {
		for i := range c.got {
			c.got[i].Store(0)
		}
	}
	begun := r.now()
	r.since.Store(begun)
	sent := 0
	for elapsed := time.Duration(0); elapsed < window; elapsed = time.Duration(r.now() - begun) {
		for due := int(rate * elapsed.Seconds()); sent < due; sent++ {
			c := all[(sent*(size+1))%len(all)] // another one each time, and another room
			c.say(d.post(c.room, fmt.Sprint("n", begun, "-", sent), r.text()))
		}
		time.Sleep(slice)
	}
	took := time.Duration(r.now() - begun)
	want := int64(sent * size)
	end := time.Now().Add(2 * soon)
	for got(all, slowest) < want && time.Now().Before(end) {
		time.Sleep(slice)
	}
	total := got(all, slowest)
	p99 = time.Hour
	for ms := range slowest {
		if float64(got(all, ms)) >= 0.99*float64(want) {
			p99 = time.Duration(ms+1) * time.Millisecond
			break
		}
	}
	for end := time.Now().Add(10 * soon); got(all, slowest) < want && time.Now().Before(end); {
		time.Sleep(soon) // what is late is not to disturb the next
	}
	return float64(total) / took.Seconds(), p99
}

// got returns how many messages have taken so many milliseconds at most.
func got(all []*client, ms int) (n int64) {
	for _, c := range all {
		for i := range ms + 1 {
			n += c.got[i].Load()
		}
	}
	return n
}
