package proto

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

var (
	// ErrUnsupervised says that nobody gave this process a control socket: it
	// runs alone.
	ErrUnsupervised = errors.New("not started by a supervisor")

	// ErrOrphaned says that the supervisor has gone, and that the worker has
	// drained for that reason.
	ErrOrphaned = errors.New("the supervisor has gone")
)

const (
	// helloTimeout bounds the wait for the supervisor's hello, which was sent
	// before this process was started.
	helloTimeout = 5 * time.Second

	// orphanDrain is how an orphaned worker drains: nobody tells it.
	orphanRate    = 300
	orphanTimeout = 30 * time.Second

	// hardStop is how long after a drain's time-out the process ends,
	// whatever hangs.
	hardStop = 2 * time.Second
)

// Handler is what a worker does when it is asked to. Go, Deliver, Peers and
// Stats are called from one goroutine and must not block; nil ones are skipped.
type Handler struct {
	// Go begins to accept. It is called once, if it is called at all.
	Go func()

	// Drain stops accepting at once, closes connections at the pace asked
	// for, finishes requests and returns when nothing is left. It is called
	// once, on a goroutine of its own; ctx ends at the time-out.
	Drain func(ctx context.Context, d Drain)

	// Deliver receives what another worker of the program published.
	Deliver func(data []byte)

	// Peers tells how many other workers of the program live on this host.
	Peers func(n int)

	// Stats returns the worker's figures.
	Stats func() Stats

	// Handover takes what is said of kept connections (handover.go), and Go in
	// place of the function of that name. The descriptors are its to close. nil:
	// connections of this worker do not move, and it must have joined so.
	Handover func(m Message, fds []int)
}

// Worker is a worker's side of the control socket. Its methods may be called
// concurrently.
type Worker struct {
	peer  *Peer
	hello Hello  // the supervisor's
	arena *Arena // nil: the supervisor gave none, or is not asked to keep anything
}

// Join takes the control socket from the environment and greets the
// supervisor. Its error wraps [ErrUnsupervised] when there is none, and
// [ErrNoCommonVersion] when the supervisor is too old or too new. formats are
// those of the state that travels with this worker's connections, nil if they
// do not move; package proto/ws moves them.
//
// Call it once and then [Worker.Run]. From then on the process ignores SIGPIPE:
// a write to an output that nobody reads is an error (EPIPE), not the end.
func Join(build Build, formats Formats) (*Worker, error) {
	fd, err := takeControl()
	if err != nil {
		return nil, err
	}
	nameProcess()
	signal.Ignore(syscall.SIGPIPE) // whoever read our output may be gone: that must not end us before the drain
	conn, err := NewConn(fd)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", EnvControl, err)
	}
	hello, arena, err := receiveHello(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	switch {
	case arena == nil:
		formats = nil // nowhere to note how far the streams are
	case formats == nil:
		arena.Close()
		arena = nil
	}
	w := &Worker{peer: NewPeer(conn), hello: hello, arena: arena}
	return w, w.peer.Send(Hello{Versions: Versions(), Build: build, PID: os.Getpid(), Formats: formats, Files: maxFiles()})
}

// maxFiles is how many descriptors this process may open, 0 if it cannot tell.
func maxFiles() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0
	}
	return int(min(l.Cur, math.MaxInt32))
}

// nameProcess gives this process the name that ps and top show. Started from a
// descriptor, it would be called by the descriptor's number.
func nameProcess() {
	if len(os.Args) > 0 {
		os.WriteFile("/proc/self/comm", []byte(filepath.Base(os.Args[0])), 0) // only a name
	}
}

// receiveHello waits for the supervisor's hello. The arena that may come with
// it is for the whole life of this process.
func receiveHello(conn *Conn) (Hello, *Arena, error) {
	conn.unix.SetReadDeadline(time.Now().Add(helloTimeout))
	defer conn.unix.SetReadDeadline(time.Time{})
	packet, fds, err := conn.Recv()
	if err != nil {
		return Hello{}, nil, fmt.Errorf("wait for the supervisor's hello: %w", err)
	}
	defer CloseFDs(fds)
	m, err := Decode(packet)
	if err != nil {
		return Hello{}, nil, fmt.Errorf("wait for the supervisor's hello: %w", err)
	}
	hello, ok := m.(Hello)
	if !ok {
		return Hello{}, nil, fmt.Errorf("wait for the supervisor's hello: got %s", m.Kind())
	}
	if _, err := Negotiate(Versions(), hello.Versions); err != nil {
		return hello, nil, err
	}
	if len(fds) == 0 {
		return hello, nil, nil
	}
	arena, err := MapArena(fds[0])
	if err != nil {
		return hello, nil, fmt.Errorf("take the supervisor's arena: %w", err)
	}
	return hello, arena, nil
}

// Generation is the number of this start, unique within the supervisor's life.
func (w *Worker) Generation() int { return w.hello.Generation }

// Arena is where this worker's kept connections note how far their streams are.
// It is nil when the supervisor keeps none, or this worker joined without
// formats.
func (w *Worker) Arena() *Arena { return w.arena }

// Send tells the supervisor something; see [Peer.Send] for its descriptors and
// errors.
func (w *Worker) Send(m Message, fds ...int) error { return w.peer.Send(m, fds...) }

// Ready says that this worker could serve at once. Call it once; then accept
// nothing before [Handler] Go.
func (w *Worker) Ready() error { return w.peer.Send(Ready{}) }

// Publish hands data to the program's other workers on this host. It never
// blocks; what cannot be queued is lost ([ErrOverflow]).
func (w *Worker) Publish(data []byte) error { return w.peer.Send(Publish{Data: data}) }

// Run answers the supervisor until the worker has drained: nil when it was
// asked to or when ctx ended (then without draining), [ErrOrphaned] when the
// supervisor has gone, or what broke the conversation, after draining too.
// From the drain on the process has only its time-out to live: then Run ends
// it with status 1, whatever hangs.
func (w *Worker) Run(ctx context.Context, h Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &service{worker: w, handler: h, asked: make(chan Drain, 1)}
	conversation := make(chan error, 1)
	go func() { conversation <- w.peer.Run(ctx, s.handle) }()

	var why error
	select {
	case d := <-s.asked:
		s.drain(d)
		w.peer.Send(Drained{})
		w.peer.Send(Bye{Reason: string(d.Why)})
	case why = <-conversation:
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(why, io.EOF) {
			why = ErrOrphaned
		}
		s.drain(Drain{Why: WhyOrphaned, Rate: orphanRate, TimeoutMS: orphanTimeout.Milliseconds()})
		return why
	}
	cancel() // Peer.Run sends what is queued
	<-conversation
	return nil
}

// service handles the supervisor's messages.
type service struct {
	worker  *Worker
	handler Handler
	asked   chan Drain
	once    sync.Once
	begin   sync.Once
}

func (s *service) handle(m Message, fds []int) {
	if _, begin := m.(Go); isHandover(m.Kind()) || begin {
		if s.handler.Handover != nil {
			s.handler.Handover(m, fds)
			return
		}
	}
	CloseFDs(fds)
	switch m := m.(type) {
	case Ping:
		s.worker.peer.Send(Pong{})
		if s.handler.Stats != nil {
			s.worker.peer.Send(s.handler.Stats())
		}
	case Go:
		if s.handler.Go != nil {
			s.begin.Do(s.handler.Go)
		}
	case Drain:
		s.once.Do(func() { s.asked <- m })
	case Deliver:
		if s.handler.Deliver != nil {
			s.handler.Deliver(m.Data)
		}
	case Peers:
		if s.handler.Peers != nil {
			s.handler.Peers(m.N)
		}
	}
}

// drain runs the handler's Drain within the time-out; the conversation goes on
// meanwhile, so that pings are answered.
func (s *service) drain(d Drain) {
	if s.handler.Drain == nil {
		return
	}
	timeout := time.Duration(d.TimeoutMS) * time.Millisecond
	hard := time.AfterFunc(timeout+hardStop, func() { os.Exit(1) })
	defer hard.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	s.handler.Drain(ctx, d)
}
