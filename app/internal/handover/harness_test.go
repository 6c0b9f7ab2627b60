package handover

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/web"
	"github.com/simpletalk/simpletalk/proto"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/leaktest"
	"github.com/simpletalk/simpletalk/proto/ws"
	"golang.org/x/sys/unix"
)

// idleVar makes the test binary a worker for TestKeptMemory.
const idleVar = "HANDOVER_TEST_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(idleVar) == "" {
		leaktest.Main(m)
	}
	os.Exit(m.Run())
}

// patience is how long a test waits for anything.
const patience = 10 * time.Second

// boss is a supervisor that does what a test says, with workers in this
// process.
type boss struct {
	t        testing.TB
	arena    int
	listener *net.TCPListener
	addr     string
	forgets  bool // it keeps nothing
	gen      int
	swap     uint32

	mu   sync.Mutex
	kept map[uint64]*kept
	late chan proto.Late
}

// kept is a connection as the boss holds it.
type kept struct {
	fd   int
	meta []byte
}

func newBoss(t testing.TB, records int) *boss {
	t.Helper()
	arena, err := proto.MakeArena(records)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &boss{
		t: t, arena: arena, listener: l.(*net.TCPListener), addr: l.Addr().String(),
		kept: map[uint64]*kept{}, late: make(chan proto.Late, 100),
	}
	t.Cleanup(func() {
		l.Close()
		unix.Close(arena)
		for _, k := range b.kept {
			unix.Close(k.fd)
		}
	})
	return b
}

// worker is one generation of the chat.
type worker struct {
	*boss
	gen    int
	conn   *proto.Conn
	hub    *chat.Hub
	server *web.Server
	keeper *Keeper
	news   chan proto.Message
	fds    chan int // that came with a Frozen
	ended  chan struct{}
}

// start starts a worker on a store; nobody has told it to serve.
func (b *boss) start(store chat.Store, change ...func(*web.Options)) *worker {
	b.t.Helper()
	ours, theirs, err := proto.Pair()
	if err != nil {
		b.t.Fatal(err)
	}
	b.gen++
	w := &worker{boss: b, gen: b.gen, conn: ours, news: make(chan proto.Message, 1000), fds: make(chan int, 1), ended: make(chan struct{})}
	os.Setenv(proto.EnvControl, strconv.Itoa(theirs))
	w.say(proto.Hello{Versions: proto.Versions(), Generation: w.gen}, b.arena)
	joined, err := proto.Join(proto.Build{}, ws.Formats(Versions()...))
	if err != nil {
		b.t.Fatal(err)
	}
	w.hub = chat.NewHub(chat.Options{Store: store, Bus: bus{joined}})
	w.keeper = New(joined, w.hub)
	o := web.Options{Hub: w.hub, Store: store, Auth: auth.New(auth.Options{Store: store, Present: w.hub}), Keeper: w.keeper}
	for _, f := range change {
		f(&o)
	}
	if w.server, err = web.New(o); err != nil {
		b.t.Fatal(err)
	}
	w.keeper.Serve(w.server)
	w.run()
	return w
}

type bus struct{ worker *proto.Worker }

func (b bus) Publish(data []byte) { b.worker.Publish(data) }

// run runs the worker until it has drained, or the test ends.
func (w *worker) run() {
	f, err := w.listener.File()
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	hubCtx, stopHub := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.hub.Run(hubCtx) })
	running.Go(func() {
		defer stopHub()
		if err := w.server.Run(ctx, l); err != nil {
			w.t.Errorf("run: %v", err)
		}
	})
	running.Go(func() {
		w.keeper.Run(ctx, proto.Handler{
			Deliver: w.hub.Deliver,
			Peers:   w.hub.Peers,
			Drain: func(ctx context.Context, d proto.Drain) {
				why := wire.WhyStop
				if d.Why == proto.WhyDeploy {
					why = wire.WhyDeploy
				}
				w.server.Drain(ctx, why, d.Rate)
			},
		})
	})
	go func() {
		running.Wait()
		close(w.ended)
	}()
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		w.listen()
	}()
	w.t.Cleanup(func() {
		cancel()
		w.conn.Close()
		<-listening
		<-w.ended
	})
}

func (w *worker) say(m proto.Message, fds ...int) {
	packet, err := proto.Encode(m)
	if err == nil {
		err = w.conn.Send(packet, fds...)
	}
	if err != nil {
		w.t.Errorf("worker %d: %v", w.gen, err)
	}
}

// listen hears what the worker says.
func (w *worker) listen() {
	for {
		packet, fds, err := w.conn.Recv()
		if err != nil {
			return
		}
		m, err := proto.Decode(packet)
		if err != nil {
			w.t.Error(err)
			return
		}
		w.hear(m, fds)
	}
}

func (w *worker) hear(m proto.Message, fds []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch m := m.(type) {
	case proto.Keep:
		for i, c := range m.Conns {
			if w.forgets {
				unix.Close(fds[i])
				continue
			}
			w.kept[c.ID] = &kept{fd: fds[i], meta: c.Meta}
		}
	case proto.Note:
		for _, c := range m.Conns {
			if k := w.kept[c.ID]; k != nil {
				k.meta = c.Meta
			}
		}
	case proto.Drop:
		for _, id := range m.IDs {
			if k := w.kept[id]; k != nil {
				unix.Close(k.fd)
				delete(w.kept, id)
			}
		}
	case proto.Late:
		w.late <- m
	default:
		if len(fds) == 1 {
			w.fds <- fds[0]
		}
		select {
		case w.news <- m:
		default: // doorbells that nobody looks at
		}
	}
}

// await waits for a message of type M.
func await[M proto.Message](w *worker) M {
	w.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case m := <-w.news:
			if m, ok := m.(M); ok {
				return m
			}
			if r, ok := m.(proto.Refused); ok {
				w.t.Fatalf("worker %d refused: %s", w.gen, r.Why)
			}
		case <-limit:
			var want M
			w.t.Fatalf("worker %d does not say %s", w.gen, want.Kind())
		}
	}
}

// owner reads the ownership word.
func (b *boss) owner() proto.Owner {
	o, err := proto.ReadOwner(b.arena)
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

// adopt gives a worker what is kept; the descriptors stay the boss's.
func (w *worker) adopt(ids ...uint64) {
	w.t.Helper()
	w.mu.Lock()
	if len(ids) == 0 {
		ids = slices.Collect(maps.Keys(w.kept))
	}
	n := 0
	for some := range slices.Chunk(ids, 100) {
		a := proto.Adopt{Swap: w.swap}
		var fds []int
		for _, id := range some {
			a.Conns = append(a.Conns, proto.Kept{ID: id, Meta: w.kept[id].meta})
			fds = append(fds, w.kept[id].fd)
		}
		w.say(a, fds...)
		n++
	}
	w.mu.Unlock()
	for range n {
		await[proto.Built](w)
	}
}

// settle waits until everybody has been told of everybody.
func settle(all ...*talker) {
	time.Sleep(700 * time.Millisecond)
	for _, c := range all {
		c.quiet()
	}
}

// takeOver lets a worker serve when nobody does, or the one who did is dead.
func (w *worker) takeOver() proto.Live {
	w.t.Helper()
	w.swap++
	w.adopt()
	w.say(proto.Recover{Swap: w.swap, From: w.owner()})
	return await[proto.Live](w)
}

// formats are agreed for every swap, in the newest version of the chat's.
func formats(version int) map[string]int {
	return map[string]int{"ws": ws.CargoVersion, "app": version}
}

// freeze lets w stand still for a swap, and gives its state to next.
func (w *worker) freeze(next *worker, version int) proto.Frozen {
	w.t.Helper()
	w.swap++
	next.adopt()
	w.say(proto.Freeze{Swap: w.swap, Formats: formats(version), DeadlineMS: 100})
	frozen := await[proto.Frozen](w)
	fd := <-w.fds
	next.say(proto.Load{Swap: w.swap, Formats: formats(version)}, fd)
	unix.Close(fd)
	await[proto.Loaded](next)
	return frozen
}

// moveTo moves everything to next.
func (w *worker) moveTo(next *worker) (frozen proto.Frozen) {
	w.t.Helper()
	frozen = w.freeze(next, versionTimed)
	w.proceed(next)
	return frozen
}

// proceed says go, and release.
func (w *worker) proceed(next *worker) {
	w.t.Helper()
	next.say(proto.Go{Swap: w.swap, From: w.owner()})
	await[proto.Live](next)
	w.say(proto.Release{Swap: w.swap})
}

// follow moves the next straggler to a worker.
func (w *worker) follow(old *worker) {
	w.t.Helper()
	select {
	case late := <-w.late:
		w.adopt(late.ID)
		w.say(late)
		old.say(proto.Release{Swap: late.Swap, IDs: []uint64{late.ID}})
	case <-time.After(patience):
		w.t.Fatal("no straggler comes")
	}
}

// drain asks a worker to end.
func (w *worker) drain(why proto.Why) {
	w.say(proto.Drain{Why: why, Rate: 1000, TimeoutMS: patience.Milliseconds()})
}

// hasEnded waits for a worker's end.
func (w *worker) hasEnded() {
	w.t.Helper()
	select {
	case <-w.ended:
	case <-time.After(patience):
		w.t.Fatalf("worker %d does not end", w.gen)
	}
}

// keeps waits until the boss keeps n connections.
func (b *boss) keeps(n int) {
	b.t.Helper()
	for end := time.Now().Add(patience); len(b.metas()) != n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("the boss keeps %d connections, not %d", len(b.metas()), n)
		}
	}
}

// metas returns what the boss knows of the connections.
func (b *boss) metas() (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.kept {
		all = append(all, string(k.meta))
	}
	return all
}

// guest signs somebody in and returns the cookie.
func (b *boss) guest(name string) string {
	b.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Post("http://"+b.addr+"/api/session", "application/json", strings.NewReader(`{"name":"`+name+`"}`))
	if err != nil {
		b.t.Fatal(err)
	}
	resp.Body.Close()
	c := resp.Cookies()[0]
	return c.Name + "=" + c.Value
}

// talker is a client of the wire.
type talker struct {
	t    testing.TB
	name string
	ws   *ws.Client
	got  []any // lines read and not yet taken
}

func (b *boss) dial(name string) *talker {
	b.t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	b.t.Cleanup(client.CloseIdleConnections)
	return b.dialOver(client, name, b.guest(name))
}

// dialOver connects over a connection that the client has, if it has one.
func (b *boss) dialOver(client *http.Client, name, cookie string) *talker {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	url := "http://" + b.addr
	c, _, err := ws.Dial(ctx, url+"/ws", ws.DialOptions{Header: http.Header{"Cookie": {cookie}, "Origin": {url}}, HTTP: client})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.CloseNow() })
	return &talker{t: b.t, name: name, ws: c}
}

const hello = `{"t":"hello","v":1,"rooms":{"lobby":0}}`

// meet dials, says hello and waits until everything is told.
func (b *boss) meet(name string) *talker {
	b.t.Helper()
	c := b.dial(name)
	c.say(hello)
	seek[*wire.Live](c)
	return c
}

func (c *talker) say(lines ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.ws.Write(ctx, ws.Text, []byte(strings.Join(lines, "\n"))); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next line.
func (c *talker) next() (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for len(c.got) == 0 {
		frame, err := c.ws.Read(ctx)
		if err != nil {
			return nil, err
		}
		for _, line := range wire.Lines(frame) {
			m, err := wire.ParseServer(line)
			if err != nil {
				return nil, err
			}
			c.got = append(c.got, m)
		}
	}
	m := c.got[0]
	c.got = c.got[1:]
	return m, nil
}

// seek reads until a line of kind M comes.
func seek[M any](c *talker) M {
	c.t.Helper()
	for {
		m, err := c.next()
		if err != nil {
			var want M
			c.t.Fatalf("%s, waiting for a %T: %v", c.name, want, err)
		}
		if m, ok := m.(M); ok {
			return m
		}
	}
}

// quiet says ping and returns what came before the pong.
func (c *talker) quiet() (lines []any) {
	c.t.Helper()
	c.say(`{"t":"ping"}`)
	for {
		m, err := c.next()
		if err != nil {
			c.t.Fatalf("%s, waiting for a pong: %v", c.name, err)
		}
		if _, ok := m.(*wire.Pong); ok {
			return lines
		}
		lines = append(lines, m)
	}
}

// closed reads to the end and returns the close code.
func (c *talker) closed() (lines []any, code int) {
	c.t.Helper()
	for {
		m, err := c.next()
		var e *ws.CloseError
		switch {
		case errors.As(err, &e):
			return lines, e.Code
		case err != nil:
			c.t.Fatalf("%s, waiting for a close: %v", c.name, err)
		}
		lines = append(lines, m)
	}
}

func post(nonce string) string {
	return fmt.Sprintf(`{"t":"post","room":"lobby","nonce":%q,"text":"text %s"}`, nonce, nonce)
}
