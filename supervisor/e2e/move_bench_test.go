package e2e

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto/ws"
)

// What a reload costs the clients of an echo server: of the example in proto/ws
// under our supervisor, and of a plain tableflip server that closes with 1012.
// Each client asks again and again; its pause is the longest that it waited for
// an answer around a reload, coming back included.
func BenchmarkMove(b *testing.B) {
	for _, n := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("supervisor/%d", n), func(b *testing.B) { benchmarkMove(b, n, supervisedEcho(b)) })
		b.Run(fmt.Sprintf("tableflip/%d", n), func(b *testing.B) { benchmarkMove(b, n, plainEcho(b)) })
	}
}

// server is an echo server that can be reloaded.
type server struct {
	addr   string
	reload func()
	pid    func() int
}

// supervisedEcho runs the example of proto/ws under a supervisor.
func supervisedEcho(b *testing.B) server {
	binary := filepath.Join(b.TempDir(), "server")
	if out, err := exec.Command("go", "test", "-c", "-o", binary, module+"/proto/ws").CombinedOutput(); err != nil {
		b.Fatalf("build the example: %v: %s", err, out)
	}
	s := openCommand(b, binary, "example-server")
	return server{s.addr, func() {
		if d := s.hangup(); d.Verdict != "accepted" {
			b.Errorf("%+v", d)
		}
	}, s.worker}
}

// plainEcho runs servePlain.
func plainEcho(b *testing.B) server {
	addr := freeAddress(b)
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), envPlain+"="+addr)
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	c.Stdout, c.Stderr = w, os.Stderr
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	w.Close()
	pids := make(chan int, 64)
	go func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			pid, _ := strconv.Atoi(strings.TrimPrefix(lines.Text(), "pid "))
			pids <- pid
		}
	}()
	pid := <-pids
	b.Cleanup(func() {
		syscall.Kill(pid, syscall.SIGKILL)
		c.Wait()
		r.Close()
	})
	return server{addr, func() {
		syscall.Kill(pid, syscall.SIGHUP)
		pid = <-pids
	}, func() int { return pid }}
}

// asker is a client that asks and waits.
type asker struct {
	url     string
	longest atomic.Int64 // nanoseconds
	drops   atomic.Int64
}

// run asks every interval until ctx ends.
func (a *asker) run(ctx context.Context, interval time.Duration, there func()) {
	var conn *ws.Client
	defer func() {
		if conn != nil {
			conn.CloseNow()
		}
	}()
	for first := true; ctx.Err() == nil; {
		began := time.Now()
		for ctx.Err() == nil {
			if conn == nil {
				c, _, err := ws.Dial(ctx, a.url, ws.DialOptions{HTTP: dialer})
				if err != nil {
					time.Sleep(rand.N(100 * time.Millisecond))
					continue
				}
				conn = c
			}
			if a.ask(ctx, conn) == nil {
				break
			}
			if ctx.Err() == nil {
				a.drops.Add(1)
				conn.CloseNow()
				conn = nil
				time.Sleep(rand.N(time.Second)) // as clients are told, lest they all come at once
			}
		}
		if first {
			first = false
			there()
			time.Sleep(rand.N(interval))
			continue
		}
		if took := int64(time.Since(began)); took > a.longest.Load() {
			a.longest.Store(took)
		}
		time.Sleep(interval)
	}
}

// dialer connects without a pool: each client is one connection.
var dialer = &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: patience}).DialContext, DisableKeepAlives: true}}

func (a *asker) ask(ctx context.Context, c *ws.Client) error {
	if err := c.Write(ctx, ws.Text, []byte("hello")); err != nil {
		return err
	}
	_, err := c.Read(ctx)
	return err
}

func benchmarkMove(b *testing.B, clients int, s server) {
	empty := resident(b, s.pid())
	ctx, stop := context.WithCancel(context.Background())
	var running, arriving sync.WaitGroup
	askers := make([]*asker, clients)
	atOnce := make(chan struct{}, 50)
	for i := range askers {
		askers[i] = &asker{url: "ws://" + s.addr}
		arriving.Add(1)
		atOnce <- struct{}{}
		running.Go(func() { // 2500 questions a second of all of them
			askers[i].run(ctx, time.Duration(clients)*400*time.Microsecond, func() { <-atOnce; arriving.Done() })
		})
	}
	arriving.Wait()
	each := float64(resident(b, s.pid())-empty) / float64(clients)
	var pauses []time.Duration
	drops := int64(0)
	var took time.Duration
	for b.Loop() {
		for _, a := range askers {
			a.longest.Store(0)
			a.drops.Store(0)
		}
		began := time.Now()
		s.reload()
		took += time.Since(began)
		time.Sleep(4 * time.Second) // everybody asks, and who was dropped is back
		for _, a := range askers {
			pauses = append(pauses, time.Duration(a.longest.Load()))
			drops += a.drops.Load()
		}
	}
	stop()
	running.Wait()
	slices.Sort(pauses)
	at := func(q float64) float64 {
		return float64(pauses[min(int(q*float64(len(pauses))), len(pauses)-1)].Microseconds()) / 1e3
	}
	b.ReportMetric(at(0.5), "pause-p50-ms")
	b.ReportMetric(at(0.99), "pause-p99-ms")
	b.ReportMetric(at(1), "pause-max-ms")
	b.ReportMetric(float64(drops)/float64(b.N), "dropped/op")
	b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "reload-ms")
	b.ReportMetric(each/1024, "KiB/conn")
	b.ReportMetric(0, "ns/op") // the waiting is not worth telling
}
