package web

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/sqlite"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// crowd is how much happens in a run.
type crowd struct{ people, requests, restarts int }

// TestTheWholeChat: whatever drops, repeats, fails, comes late and restarts, in
// the end everybody holds exactly the log, each request is in it once or was
// refused, and what people make of it is what the server makes of it.
//
// SEED repeats the choices of a run, though not how its goroutines interleave.
// SOAK=1 is ten long runs.
func TestTheWholeChat(t *testing.T) {
	of, runs := crowd{people: 6, requests: 40, restarts: 3}, 1
	if os.Getenv("SOAK") == "1" {
		of, runs = crowd{people: 12, requests: 250, restarts: 20}, 10
	}
	seed := rand.Uint64()
	if set := os.Getenv("SEED"); set != "" {
		var err error
		if seed, err = strconv.ParseUint(set, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(runs) {
		t.Run(fmt.Sprint(seed+i), func(t *testing.T) {
			t.Logf("again: SEED=%d go test -race -run TestTheWholeChat ./app/internal/web", seed+i)
			wholeChat(t, seed+i, of)
		})
	}
}

func wholeChat(t *testing.T, seed uint64, of crowd) {
	streams := uint64(0)
	stream := func() *rand.Rand { streams++; return rand.New(rand.NewPCG(seed, streams)) }
	dir := t.TempDir()
	var calm atomic.Bool
	sites := []*site{{t: t, dir: dir, rnd: stream(), calm: &calm}, {t: t, dir: dir, rnd: stream(), calm: &calm}}
	sites[0].bus, sites[1].bus = &doorbell{rnd: stream(), to: sites[1]}, &doorbell{rnd: stream(), to: sites[0]}
	ctx, cancel := context.WithCancel(context.Background())
	var running, talking sync.WaitGroup
	stop := func() { cancel(); running.Wait(); http.DefaultClient.CloseIdleConnections() }
	t.Cleanup(stop)
	for _, s := range sites {
		s.addr = freeAddr(t)
		running.Go(func() { s.run(ctx, of.restarts) })
	}
	var all []*someone
	for i := range of.people {
		p := newSomeone(t, fmt.Sprint("Person ", i), sites, stream(), of.requests)
		p.signIn()
		all = append(all, p)
	}
	for _, p := range all {
		talking.Go(p.talk)
	}
	talking.Wait()
	calm.Store(true) // what is read now is to be stored at the end, when nothing is tried twice

	store, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	log, err := store.After(t.Context(), "lobby", 0, of.people*of.requests+1)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		p.listen(int64(len(log)))
	}
	stop()
	for _, p := range all {
		p.check(log)
		if reads, err := store.Reads(t.Context(), p.user); err != nil || reads["lobby"] != int64(len(log)) {
			t.Errorf("%s has read %v, %v; said up to %d", p.name, reads, err, len(log))
		}
	}
	checkPages(t, store, log)
	kinds := map[wire.EventKind]int{}
	for _, e := range log {
		kinds[e.Kind]++
	}
	t.Log("events:", kinds)
	if len(kinds) != 4 {
		t.Errorf("the log has events %v, want all four kinds", kinds)
	}
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// checkPages compares the pages of history with the log.
func checkPages(t *testing.T, store chat.Store, log []chat.Event) {
	hub := chat.NewHub(chat.Options{Store: store})
	got := map[int64]said{}
	for before, more := int64(math.MaxInt64), true; more; {
		p, err := hub.PostsBefore(t.Context(), "lobby", before, 50)
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Posts {
			got[p.Posts[i].Seq] = saidOf(&p.Posts[i])
		}
		if more = p.More; more {
			before = p.Posts[0].Seq
		}
	}
	compare(t, "the history", got, view(log))
}
