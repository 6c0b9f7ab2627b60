package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// farewell reads to the end and returns the bye and the close code.
func (c *talker) farewell() (bye *wire.Bye, code int, err error) {
	for {
		m, err := c.next()
		var e *ws.CloseError
		if errors.As(err, &e) {
			return bye, e.Code, nil
		}
		if err != nil {
			return bye, 0, err
		}
		if b, ok := m.(*wire.Bye); ok {
			bye = b
		}
	}
}

// slowListener takes one client and is slow to hand it over: when it is closed
// meanwhile, it hands it over after that.
type slowListener struct {
	net.Listener
	taken chan struct{} // closed when the client is taken
	shut  chan struct{} // closed by Close
	once  sync.Once
}

func (l *slowListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		close(l.taken)
		<-l.shut
		time.Sleep(5 * drainPoll)
	}
	return c, err
}

func (l *slowListener) Close() error {
	l.once.Do(func() { close(l.shut) })
	return l.Listener.Close()
}

// A connection that was taken in the moment of the drain is answered, although
// nobody else is connected.
func TestDrainWaitsForWhatIsBeingAccepted(t *testing.T) {
	store := chat.NewMemory()
	hub := chat.NewHub(chat.Options{Store: store})
	server, err := New(Options{Store: store, Hub: hub, Auth: auth.New(auth.Options{Store: store, Present: hub})})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &slowListener{Listener: inner, taken: make(chan struct{}), shut: make(chan struct{})}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	hubCtx, stopHub := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stopHub()
	running.Go(func() { hub.Run(hubCtx) })
	running.Go(func() { server.Run(ctx, l) })

	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: chat\r\nConnection: close\r\n\r\n")
	<-l.taken
	server.Drain(ctx, wire.WhyDeploy, 100)
	c.SetReadDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("the request was cut: %v", err)
	}
	resp.Body.Close()
}

func TestDrainSaysGoodbyeToEverybody(t *testing.T) {
	for _, tt := range []struct {
		why  wire.Why
		code int
	}{{wire.WhyDeploy, wire.CloseRestart}, {wire.WhyStop, wire.CloseGoingAway}} {
		t.Run(string(tt.why), func(t *testing.T) {
			store := chat.NewMemory()
			old, next := open(t, store), open(t, store)
			const n = 40
			var cookies []string
			var clients []*talker
			for i := range n {
				cookies = append(cookies, old.guest(fmt.Sprint("Guest ", i)))
				clients = append(clients, old.meet(cookies[i], hello))
			}
			clients[0].say(post("n1", "one"))
			seek[*wire.Ack](clients[0])

			old.http.CloseIdleConnections()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			began := time.Now()
			go old.server.Drain(ctx, tt.why, 200)
			for i, c := range clients {
				bye, code, err := c.farewell()
				if err != nil || code != tt.code || bye == nil || bye.Why != tt.why || bye.AfterMS < 0 {
					t.Fatalf("client %d: got %+v, %d, %v; want bye and %d", i, bye, code, err, tt.code)
				}
			}
			if took := time.Since(began); took < 150*time.Millisecond {
				t.Errorf("all were closed within %v: not paced", took)
			}
			<-old.server.drained
			if _, err := net.Dial("tcp", old.addr); err == nil {
				t.Error("the listener is still open")
			}

			for i := range clients { // the successor serves them on
				c := next.meet(cookies[i], fmt.Sprintf(`{"t":"hello","v":1,"epoch":%q,"rooms":{"lobby":1}}`, next.hub.Epoch()))
				if live := seek[*wire.Live](c); live.Seq != 1 {
					t.Errorf("client %d: live at %d, want 1", i, live.Seq)
				}
			}
		})
	}
}

func TestDrainFinishesRequests(t *testing.T) {
	store := &away{Memory: chat.NewMemory()}
	h := open(t, &slowRooms{away: store, entered: make(chan struct{}), leave: make(chan struct{})})
	slow := h.server.o.Store.(*slowRooms)
	answer := make(chan int, 1)
	go func() {
		resp, err := h.http.Get(h.url + "/api/rooms")
		if err != nil {
			answer <- 0
			return
		}
		resp.Body.Close()
		if !resp.Close {
			t.Error("an answer while draining does not close its connection")
		}
		answer <- resp.StatusCode
	}()
	<-slow.entered
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		h.server.Drain(ctx, wire.WhyStop, 100)
	}()
	for !h.server.isDraining() {
		time.Sleep(time.Millisecond)
	}
	select {
	case <-done:
		t.Error("drained with a request in flight")
	case <-time.After(100 * time.Millisecond):
	}
	close(slow.leave)
	if got := <-answer; got != http.StatusOK {
		t.Errorf("the request in flight got %d, want 200", got)
	}
	<-done
}

// slowRooms is a store whose Rooms waits.
type slowRooms struct {
	*away
	entered, leave chan struct{}
}

func (s *slowRooms) Rooms(ctx context.Context) ([]chat.RoomHead, error) {
	close(s.entered)
	<-s.leave
	return s.away.Rooms(ctx)
}

// TestDrainEndsAtItsDeadline: neither a silent client nor an idle connection
// can hold it.
func TestDrainEndsAtItsDeadline(t *testing.T) {
	h := open(t, chat.NewMemory())
	h.meet(h.guest("Ann"), hello) // does not answer the close
	idle, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	h.server.Drain(ctx, wire.WhyDeploy, 100)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestDrainingRefusesUpgrades(t *testing.T) {
	h := open(t, chat.NewMemory())
	cookie := h.guest("Ann") // leaves an idle connection, which a deploy leaves alone
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.server.Drain(ctx, wire.WhyDeploy, 100)
	}()
	for !h.server.isDraining() {
		time.Sleep(time.Millisecond)
	}
	resp, body := h.do("GET", "/ws", "", http.Header{"Cookie": {cookie}, "Origin": {h.url}})
	wantError(t, resp, body, http.StatusServiceUnavailable, kindDraining)
	select {
	case <-done: // that was the last connection, and its answer closed it
	case <-time.After(patience):
		t.Error("still draining")
	}
	cancel()
}
