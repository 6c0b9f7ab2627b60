package proto

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
)

// supervised makes this process a worker: it returns the supervisor's end and
// what Join made of the worker's.
func supervised(t *testing.T, hello Hello) (*Conn, *Worker, error) {
	t.Helper()
	ours, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	t.Setenv(EnvControl, strconv.Itoa(theirs))
	send(t, ours, hello)
	w, err := Join(Build{Version: "1.0.0", Commit: "abc"}, nil)
	return ours, w, err
}

func send(t *testing.T, c *Conn, m Message) {
	t.Helper()
	packet, err := Encode(m)
	if err == nil {
		err = c.Send(packet)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// expect receives messages until one of the kind wanted arrives.
func expect(t *testing.T, c *Conn, want Kind) Message {
	t.Helper()
	for {
		packet, _, err := c.Recv()
		if err != nil {
			t.Fatalf("wait for %s: %v", want, err)
		}
		m, err := Decode(packet)
		if err != nil {
			t.Fatal(err)
		}
		if m.Kind() == want {
			return m
		}
	}
}

func TestALifeOfAWorker(t *testing.T) {
	sup, w, err := supervised(t, Hello{Versions: Versions(), Generation: 7})
	if err != nil {
		t.Fatal(err)
	}
	if w.Generation() != 7 {
		t.Errorf("generation %d, want 7", w.Generation())
	}
	went := make(chan struct{})
	delivered, peers := make(chan string, 1), make(chan int, 1)
	drains, drained := make(chan Drain, 2), make(chan struct{})
	done := make(chan error)
	go func() {
		done <- w.Run(t.Context(), Handler{
			Go:      func() { close(went) }, // a second call would panic
			Drain:   func(_ context.Context, d Drain) { drains <- d; <-drained },
			Deliver: func(b []byte) { delivered <- string(b) },
			Peers:   func(n int) { peers <- n },
			Stats:   func() Stats { return Stats{Conns: 3} },
		})
	}()
	hello := expect(t, sup, KindHello).(Hello)
	if hello.Build.Commit != "abc" || hello.PID == 0 {
		t.Errorf("hello %+v", hello)
	}
	w.Ready()
	expect(t, sup, KindReady)
	select {
	case <-went:
		t.Error("it went before it was told to")
	default:
	}
	send(t, sup, Go{})
	send(t, sup, Go{})
	<-went
	send(t, sup, Ping{})
	expect(t, sup, KindPong)
	if s := expect(t, sup, KindStats).(Stats); s.Conns != 3 {
		t.Errorf("stats %+v", s)
	}
	send(t, sup, Peers{N: 1})
	if n := <-peers; n != 1 {
		t.Errorf("peers %d", n)
	}
	w.Publish([]byte("ding"))
	if p := expect(t, sup, KindPublish).(Publish); string(p.Data) != "ding" {
		t.Errorf("published %q", p.Data)
	}
	send(t, sup, Deliver{Data: []byte("dong")})
	if s := <-delivered; s != "dong" {
		t.Errorf("delivered %q", s)
	}
	send(t, sup, Drain{Why: WhyDeploy, Rate: 10, TimeoutMS: 1000})
	send(t, sup, Drain{Why: WhyStop, Rate: 10, TimeoutMS: 1000}) // once is enough
	send(t, sup, Ping{})                                         // is answered while it drains
	expect(t, sup, KindPong)
	close(drained)
	if d := <-drains; d.Why != WhyDeploy || len(drains) > 0 {
		t.Errorf("drain %+v and %d more", d, len(drains))
	}
	expect(t, sup, KindDrained)
	if b := expect(t, sup, KindBye).(Bye); b.Reason != "deploy" {
		t.Errorf("bye %+v", b)
	}
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestAnOrphanDrains(t *testing.T) {
	sup, w, err := supervised(t, Hello{Versions: Versions()})
	if err != nil {
		t.Fatal(err)
	}
	sup.Close()
	var why Why
	err = w.Run(t.Context(), Handler{Drain: func(_ context.Context, d Drain) { why = d.Why }})
	if !errors.Is(err, ErrOrphaned) || why != WhyOrphaned {
		t.Errorf("Run: %v after drain %q, want ErrOrphaned after orphaned", err, why)
	}
}

func TestJoinRefuses(t *testing.T) {
	if _, err := Join(Build{}, nil); !errors.Is(err, ErrUnsupervised) {
		t.Errorf("alone: %v, want ErrUnsupervised", err)
	}
	if _, _, err := supervised(t, Hello{Versions: []int{99}}); !errors.Is(err, ErrNoCommonVersion) {
		t.Errorf("another version: %v, want ErrNoCommonVersion", err)
	}
	for _, value := range []string{"", "zero", "1", "-3", "9999"} {
		t.Setenv(EnvControl, value)
		if _, err := Join(Build{}, nil); err == nil || !strings.Contains(err.Error(), EnvControl) {
			t.Errorf("%s=%q: %v, want an error that names it", EnvControl, value, err)
		}
	}
}
