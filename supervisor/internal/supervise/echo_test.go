package supervise

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// echoName is argv[0] of this test binary as a worker: a server of WebSockets
// that survive it. What else it does says a file, read when it starts, so that
// each generation can have a manner of its own.
const echoName = "echo"

// Manners of an echo server, each followed by one of the steps below.
const (
	diesAt  = "dies"  // by SIGKILL
	stopsAt = "stops" // by SIGSTOP
)

// Steps of a worker's life.
const (
	atAdopt   = "adopt"
	atSave    = "save"
	atSaveAll = "saveall"
	atLoadAll = "loadall"
	atLoad    = "load"
	atRecover = "recover"
	atLive    = "live"
)

// server counts the messages of each connection: the count travels with it, so
// that a message handled twice, or by two workers, is found out.
type server struct {
	worker *proto.Worker
	keeper *ws.Keeper
	manner string
	step   string

	mu      sync.Mutex
	counts  map[*ws.Conn]count
	serving sync.WaitGroup
}

// count is the number of the last message of a connection.
type count struct {
	n        int // -1: not known since a crash
	repeated int // since then the client may say again what it had no answer to
}

func echo(mannerFile, text string) {
	manner, err := os.ReadFile(mannerFile)
	if err != nil {
		panic(err)
	}
	s := &server{counts: map[*ws.Conn]count{}}
	s.manner, s.step, _ = strings.Cut(strings.TrimSpace(string(manner)), " ")
	formats := ws.Formats(1)
	if s.manner == "speaks" { // formats that nobody else does
		formats = ws.Formats(99)
	}
	listeners, err := proto.Listeners()
	if err != nil {
		panic(err)
	}
	if s.worker, err = proto.Join(proto.Build{Version: text}, formats); err != nil {
		panic(err)
	}
	s.keeper = ws.NewKeeper(s.worker, s.service())
	var h http.Server
	h.Handler = http.HandlerFunc(s.open)
	l := s.keeper.Gate(listeners["http"])
	go h.Serve(l)
	if err := s.worker.Ready(); err != nil {
		panic(err)
	}
	err = s.keeper.Run(context.Background(), proto.Handler{Drain: func(ctx context.Context, d proto.Drain) {
		l.Close()
		s.mu.Lock()
		for c := range s.counts {
			go c.Close(1012, "drained")
		}
		s.mu.Unlock()
		s.serving.Wait()
		h.Shutdown(ctx)
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
	}
}

func (s *server) service() ws.Service {
	return ws.Service{
		Versions: []int{1},
		Adopt: func(c *ws.Conn, meta []byte) error {
			s.pass(atAdopt)
			if string(meta) != "echo" {
				return fmt.Errorf("meta %q", meta)
			}
			s.serve(c, count{n: -1})
			return nil
		},
		Save: func(_ int, c *ws.Conn) ([]byte, error) {
			s.pass(atSave)
			s.mu.Lock()
			defer s.mu.Unlock()
			return fmt.Appendf(nil, "%d %d", s.counts[c].n, s.counts[c].repeated), nil
		},
		SaveAll: func(int) ([]byte, error) {
			s.pass(atSaveAll)
			return []byte("all"), nil
		},
		LoadAll: func(_ int, b []byte) error {
			s.pass(atLoadAll)
			if string(b) != "all" {
				return fmt.Errorf("state %q", b)
			}
			return nil
		},
		Load: func(_ int, c *ws.Conn, b []byte) error {
			s.pass(atLoad)
			var n count
			_, err := fmt.Sscan(string(b), &n.n, &n.repeated)
			s.mu.Lock()
			s.counts[c] = n
			s.mu.Unlock()
			return err
		},
		Recover: func(c *ws.Conn) []byte {
			s.pass(atRecover)
			time.Sleep(2 * time.Millisecond) // nothing is handled meanwhile
			s.mu.Lock()
			s.counts[c] = count{n: -1, repeated: 1}
			s.mu.Unlock()
			return []byte("resync")
		},
		Live: func() { s.pass(atLive) },
	}
}

// pass is where a server may end.
func (s *server) pass(step string) {
	if step != s.step {
		return
	}
	switch s.manner {
	case diesAt:
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case stopsAt:
		s.step = "" // once
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		time.Sleep(50 * time.Millisecond) // another thread may be the first to stop
	}
}

func (s *server) open(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/ws" {
		fmt.Fprintln(w, s.worker.Generation())
		return
	}
	if c, err := s.keeper.Accept(w, r, ws.Options{}, []byte("echo")); err == nil {
		s.serve(c, count{})
	}
}

func (s *server) serve(c *ws.Conn, n count) {
	s.mu.Lock()
	s.counts[c] = n
	s.mu.Unlock()
	s.serving.Go(func() {
		c.Serve(func(_ ws.Type, m []byte) { s.answer(c, string(m)) })
		s.mu.Lock()
		delete(s.counts, c)
		s.mu.Unlock()
	})
}

// answer takes "N" or "N slow" or "N deadly".
func (s *server) answer(c *ws.Conn, m string) {
	number, how, _ := strings.Cut(m, " ")
	n, err := strconv.Atoi(number)
	s.mu.Lock()
	before := s.counts[c]
	if before.n >= 0 && n != before.n+1 && (before.repeated == 0 || n != before.n) {
		err = fmt.Errorf("it is number %d after %d", n, before.n)
	}
	if before == (count{n: -1}) {
		err = errors.New("it is handled before its connection was loaded or recovered")
	}
	s.counts[c] = count{n, before.repeated}
	s.mu.Unlock()
	switch how {
	case "slow":
		time.Sleep(700 * time.Millisecond)
	case "deadly":
		panic("a deadly message")
	}
	if err != nil {
		c.Write(fmt.Appendf(nil, "error: generation %d, message %q: %v", s.worker.Generation(), m, err))
		return
	}
	c.Write(fmt.Appendf(nil, "%d %s", n, s.manner))
}
