package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// Limits of the HTTP server.
const (
	headerTimeout  = 10 * time.Second // from the connection to the whole header
	requestTimeout = 30 * time.Second // from there to the whole body
	answerTimeout  = 60 * time.Second // from the header to the end of the answer
	maxHeader      = 16 << 10
	// idleTimeout exceeds the keep-alive of a proxy before us, so that it is
	// never we who close an idle connection under its next request.
	idleTimeout = 75 * time.Second
)

// spareFiles are the descriptors kept for everything but WebSockets: the
// store, listeners, plain requests, logs.
const spareFiles = 128

// sparePlain are those of the spare ones that requests may take beside what
// WebSockets leave.
const sparePlain = spareFiles / 2

// maxPerClient is how many WebSockets one address has, and how many other
// connections: many people may share one. The nginx site allows 200 of the first.
const maxPerClient = 256

// minCalls is how many other connections it has at least: a browser opens six.
const minCalls = 16

// Build tells which program this is.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Gen     int    `json:"gen"` // 0 without a supervisor
	PID     int    `json:"pid"`
}

// Options of a [Server]. Hub, Store and Auth must be given.
type Options struct {
	Hub   *chat.Hub
	Store chat.Store
	Auth  *auth.Auth
	Build Build
	Log   *slog.Logger // nil: nothing is logged

	Meter Meter // nil: nothing is counted

	Limits *Limits // shared with the hub's peers if it is its Ledger too; nil: this process's own

	Keeper Keeper // who lets WebSockets outlive this process; nil: nobody

	Origins []string       // scheme://host[:port] that may open a WebSocket; none: the request's own
	Trusted []netip.Prefix // proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; nil: loopback

	MaxConns      int           // WebSockets at once; 0: the descriptor limit less a reserve
	MaxPerClient  int           // WebSockets of one address at once, and other connections; 0: 256
	WriteTimeout  time.Duration // how long the client of a WebSocket may not read; 0: 10 s
	AnswerTimeout time.Duration // from a request's header to the end of its answer; 0: 60 s
	HelloTimeout  time.Duration // 0: [wire.HelloTimeout]
	PingEvery     time.Duration // 0: [wire.PingEvery]
	SilenceLimit  time.Duration // 0: [wire.SilenceLimit]

	// StrandedAfter is how long the store may be away from this host alone until its
	// clients are sent to others; 0: 15 s.
	StrandedAfter time.Duration
}

func (o Options) withDefaults() Options {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Meter == nil {
		o.Meter = unmetered{}
	}
	if o.Keeper == nil {
		o.Keeper = alone{}
	}
	if o.Limits == nil {
		o.Limits = NewLimits()
	}
	o.MaxConns = cmp.Or(o.MaxConns, maxConns())
	o.MaxPerClient = cmp.Or(o.MaxPerClient, maxPerClient)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 10*time.Second)
	o.AnswerTimeout = cmp.Or(o.AnswerTimeout, answerTimeout)
	o.HelloTimeout = cmp.Or(o.HelloTimeout, wire.HelloTimeout)
	o.PingEvery = cmp.Or(o.PingEvery, wire.PingEvery)
	o.SilenceLimit = cmp.Or(o.SilenceLimit, wire.SilenceLimit)
	o.StrandedAfter = cmp.Or(o.StrandedAfter, 15*time.Second)
	if o.Trusted == nil {
		o.Trusted = Loopback()
	}
	return o
}

// Loopback is this machine.
func Loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

// maxConns is what the descriptor limit leaves for WebSockets.
func maxConns() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1024 - spareFiles
	}
	return max(16, int(min(l.Cur, 1<<20))-spareFiles)
}

// Server serves the chat. Make it with [New], then call Run.
type Server struct {
	o        Options
	page     *page
	http     *http.Server
	origins  origins
	born     time.Time
	accepted chan struct{} // closed when nothing is accepted any more, and all that was is known
	drained  chan struct{} // closed when Drain is over
	over     chan struct{} // closed when phaseOver begins
	changed  chan struct{} // has the watcher look at once
	checks   atomic.Int64  // counts the changes that connections were looked at for
	arrived  atomic.Bool   // connections have come that no change was seen to for

	mu        sync.Mutex
	phase     phase
	replaced  bool // draining because another process serves
	listeners []net.Listener
	conns     map[*ws.Conn]*conn
	upgrades  int                         // connections that are becoming one of conns
	places    int                         // WebSockets, and those that are just coming
	clients   map[client]int              // the same, of each client
	callers   map[client]int              // other connections of each that no proxy stands before
	plain     map[net.Conn]http.ConnState // connections that are no WebSockets
	serving   sync.WaitGroup              // whoever Run waits for; Add only under mu, before phaseOver
}

// phase is how far a Server's life has gone.
type phase uint8

const (
	phaseServing phase = iota
	phaseDraining
	phaseOver
)

// New returns a server. Its error says which option is wrong.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	allowed, err := parseOrigins(o.Origins)
	if err != nil {
		return nil, err
	}
	page, err := newPage()
	if err != nil {
		return nil, err
	}
	s := &Server{
		o:        o,
		page:     page,
		origins:  allowed,
		born:     time.Now(),
		accepted: make(chan struct{}),
		drained:  make(chan struct{}),
		over:     make(chan struct{}),
		changed:  make(chan struct{}, 1),
		conns:    map[*ws.Conn]*conn{},
		clients:  map[client]int{},
		callers:  map[client]int{},
		plain:    map[net.Conn]http.ConnState{},
	}
	handler, err := s.routes()
	if err != nil {
		return nil, err
	}
	s.http = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      o.AnswerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnState:         s.connState,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Run serves the listeners, which it owns, until Drain is over, ctx ends (then
// everything is closed at once) or a listener fails, and returns when all its
// goroutines have ended.
func (s *Server) Run(ctx context.Context, listeners ...net.Listener) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var accepting, loops sync.WaitGroup
	listeners = s.open(listeners)
	for _, l := range listeners {
		accepting.Go(func() {
			if err := s.http.Serve(l); s.isUnexpected(err) {
				stop(fmt.Errorf("accept on %s: %w", l.Addr(), err))
			}
		})
	}
	loops.Go(func() {
		accepting.Wait() // Serve tells connState of what it accepted before it returns
		close(s.accepted)
	})
	loops.Go(func() { s.sweep(ctx) })
	loops.Go(func() { s.watch(ctx) })

	select {
	case <-s.drained:
	case <-ctx.Done():
	}
	s.closeAll()
	err := context.Cause(ctx)
	stop(nil)
	loops.Wait()
	s.serving.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// open hands the listeners to stopAccepting, behind the keeper's gates, or
// closes them if it was before us.
func (s *Server) open(listeners []net.Listener) (gated []net.Listener) {
	for _, l := range listeners {
		gated = append(gated, s.o.Keeper.Gate(l))
	}
	s.mu.Lock()
	s.listeners = gated
	phase := s.phase
	s.mu.Unlock()
	if phase != phaseServing {
		closeListeners(gated)
	}
	return gated
}

// closeListeners closes this process's descriptors only: the sockets are not shut
// down.
func closeListeners(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// isUnexpected reports whether a listener ended although nobody closed it.
func (s *Server) isUnexpected(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == phaseServing && !errors.Is(err, http.ErrServerClosed)
}

// closeAll ends what is left, without a word. What stands still is left to
// whoever keeps it.
func (s *Server) closeAll() {
	s.mu.Lock()
	if s.phase != phaseOver {
		s.phase = phaseOver
		close(s.over)
	}
	s.mu.Unlock()
	s.http.Close()
	for _, c := range s.snapshot(nil) {
		c.ws.CloseNow()
		c.ws.Release() // which does nothing unless it stands still
	}
}

// pause waits, and reports false when everything is closed first.
func (s *Server) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.over:
		return false
	}
}

// now is the time by this server's clock.
func (s *Server) now() time.Duration { return time.Since(s.born) }

// connState follows the connections that are no WebSockets (yet), and closes new
// ones of which there are too many.
func (s *Server) connState(c net.Conn, state http.ConnState) {
	if s.follow(c, state) {
		return
	}
	s.o.Log.Debug("connection refused, there are too many", "addr", c.RemoteAddr().String())
	c.Close()
}

// follow reports whether a connection may go on.
func (s *Server) follow(c net.Conn, state http.ConnState) bool {
	var from client
	if remote := c.RemoteAddr().String(); !s.isTrusted(remote) {
		from = clientOf(peerOf(remote))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.plain[c]
	switch {
	case state == http.StateClosed, state == http.StateHijacked:
		if known {
			delete(s.plain, c)
			addTo(s.callers, from, -1)
		}
		return true
	case !known:
		addTo(s.callers, from, 1)
	}
	s.plain[c] = state
	full := len(s.plain)+len(s.conns) > s.o.MaxConns+sparePlain || s.callers[from] > max(s.o.MaxPerClient, minCalls)
	return known || !full
}

// reserve takes a place for one more WebSocket of a client, which release gives
// back, or tells by an *[apiError] why there is none.
func (s *Server) reserve(of client) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.mayAdd():
		return &apiError{kind: kindDraining, msg: "this server is being replaced, connect again"}
	case s.places >= s.o.MaxConns:
		return &apiError{kind: kindFull, msg: "too many connections, try again in a few seconds"}
	case of.counts() && s.clients[of] >= s.o.MaxPerClient:
		return &apiError{kind: kindFull, msg: "too many connections from your address, close some"}
	}
	s.takePlace(of)
	return nil
}

// takePlace is reserve for a WebSocket that is there already. mu is held.
func (s *Server) takePlace(of client) {
	s.places++
	addTo(s.clients, of, 1)
}

// release gives a place back. mu is held.
func (s *Server) release(of client) {
	s.places--
	addTo(s.clients, of, -1)
}

// unreserve is release of a place that no connection has taken.
func (s *Server) unreserve(of client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(of)
}

// mayAdd reports whether there can be new connections. On a server that has
// been replaced they can if they move on. mu is held.
func (s *Server) mayAdd() bool {
	return s.phase == phaseServing || s.phase == phaseDraining && s.replaced && s.o.Keeper.Moves()
}

// hold makes Run wait until serving.Done, unless it is over already.
func (s *Server) hold() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == phaseOver {
		return false
	}
	s.serving.Add(1)
	return true
}

// add counts a connection that has its place in, for the goroutine that serves it; ok is false
// when it came too late. late tells that the drain does not know of it.
func (s *Server) add(c *conn) (late, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mayAdd() {
		return false, false
	}
	s.conns[c.ws] = c
	s.serving.Add(1)
	return s.phase != phaseServing, true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c.ws)
	s.release(c.client)
	s.serving.Done()
}

// addTo counts what a client has, if it is to be counted.
func addTo(counts map[client]int, of client, n int) {
	if !of.counts() {
		return
	}
	if counts[of] += n; counts[of] <= 0 {
		delete(counts, of)
	}
}

// snapshot appends the connections to list.
func (s *Server) snapshot(list []*conn) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		list = append(list, c)
	}
	return list
}

// Conns returns the number of WebSockets, without those that are still another
// process's.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.conns {
		if c.ours.Load() {
			n++
		}
	}
	return n
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase != phaseServing
}
