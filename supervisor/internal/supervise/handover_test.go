package supervise

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto/ws"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// limit is how long a test waits for what must happen.
const limit = 30 * time.Second

// site is an instance of real echo servers, with clients that talk to it.
type site struct {
	t       *testing.T
	plan    Plan
	log     *slog.Logger
	in      *Instance
	stop    func() // ends it
	book    *Book
	manner  string // file
	url     string
	clients []*client
}

func openSite(t *testing.T, clients int) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, book: new(Book), manner: filepath.Join(t.TempDir(), "manner"), url: "ws://" + l.Addr().String() + "/ws"}
	s.next("")
	out := &testOutput{t: t}
	program := &Program{
		Name: "echo", Path: self, Env: worker.Inherit(os.Environ()), Args: []string{echoName, s.manner, "v1"}, Output: out,
		Sockets: func() ([]worker.Socket, error) {
			fd, err := syscall.Dup(int(file.Fd()))
			return []worker.Socket{{Name: "http", FD: fd}}, err
		},
	}
	s.log = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.plan = Plan{Config: Config{Program: "echo", StepTimeout: time.Second, DrainTimeout: 5 * time.Second}, Launcher: program}
	s.in = s.instance(fdstore.New(nil, nil))
	s.stop = s.run()
	t.Cleanup(func() {
		for _, c := range s.clients {
			c.end()
		}
		s.stop()
		file.Close()
		out.end()
	})
	s.await("the first worker serves", func(i control.Instance) bool { return i.State == "running" })
	for n := range clients {
		s.clients = append(s.clients, s.connect(n))
	}
	return s
}

// instance is one of the site that has not been started.
func (s *site) instance(store *fdstore.Store) *Instance {
	return NewInstance(s.plan, Parts{Book: s.book, Log: s.log, Store: store, Remake: s.again})
}

// run runs the instance of this moment until the end is called.
func (s *site) run() (end func()) {
	in := s.in
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		in.Run(ctx)
		close(ended)
	}()
	return func() {
		stop()
		<-ended
	}
}

// testOutput is the log of a test, as long as it runs.
type testOutput struct {
	mu    sync.Mutex
	t     *testing.T
	lines []string
}

func (o *testOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, strings.TrimSpace(string(p)))
	return len(p), nil
}

// end shows the log of a test that failed.
func (o *testOutput) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.t.Failed() {
		o.t.Log("\n" + strings.Join(o.lines, "\n"))
	}
}

// next says what the next worker is like.
func (s *site) next(manner string) {
	s.t.Helper()
	if err := os.WriteFile(s.manner, []byte(manner), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) status() control.Instance {
	s.t.Helper()
	i, err := s.in.Status(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return i
}

func (s *site) await(what string, cond func(control.Instance) bool) control.Instance {
	s.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		i := s.status()
		if cond(i) {
			return i
		}
		if time.Now().After(end) {
			s.t.Fatalf("waited in vain until %s: %+v", what, i)
		}
	}
}

// reload deploys and waits for the verdict.
func (s *site) reload() control.Deploy {
	s.t.Helper()
	id, err := s.in.Reload()
	if err != nil {
		s.t.Fatal(err)
	}
	return s.verdict(id)
}

func (s *site) verdict(id string) (d control.Deploy) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := s.book.Follow(ctx, id, func(step control.Step) error { d = *step.Deploy; return nil })
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// client sends one number after the other and waits for each to come back.
type client struct {
	conn *ws.Client
	stop chan struct{}
	done chan struct{}

	mu     sync.Mutex
	say    string // of the next message, behind its number
	echoed int
	resync int
	lost   error
}

func (s *site) connect(n int) *client {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	conn, _, err := ws.Dial(ctx, s.url, ws.DialOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	c := &client{conn: conn, stop: make(chan struct{}), done: make(chan struct{})}
	go c.run(n)
	return c
}

func (c *client) run(seed int) {
	defer close(c.done)
	r := rand.New(rand.NewPCG(uint64(seed), 2))
	for n := 1; ; n++ {
		select {
		case <-c.stop:
			return
		case <-time.After(time.Duration(r.IntN(int(20 * time.Millisecond)))):
		}
		if err := c.talk(n); err != nil {
			c.mu.Lock()
			c.lost = fmt.Errorf("message %d: %w", n, err)
			c.mu.Unlock()
			return
		}
	}
}

// talk sends a message until it comes back: again after a resync.
func (c *client) talk(n int) error {
	c.mu.Lock()
	how := c.say
	c.say = ""
	c.mu.Unlock()
	m := strings.TrimSpace(strconv.Itoa(n) + " " + how)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := c.conn.Write(ctx, ws.Text, []byte(m)); err != nil {
		return err
	}
	for {
		b, err := c.conn.Read(ctx)
		if err != nil {
			return err
		}
		number, _, _ := strings.Cut(string(b), " ")
		switch got, err := strconv.Atoi(number); {
		case string(b) == "resync":
			c.mu.Lock()
			c.resync++
			c.mu.Unlock()
			if err := c.conn.Write(ctx, ws.Text, []byte(m)); err != nil {
				return err
			}
		case err != nil:
			return fmt.Errorf("%s", b)
		case got == n:
			c.mu.Lock()
			c.echoed = n
			c.mu.Unlock()
			return nil
		case got > n || c.resynced() == 0:
			return fmt.Errorf("number %d came back", got)
		}
	}
}

func (c *client) resynced() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resync
}

func (c *client) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.echoed
}

func (c *client) says(how string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.say = how
}

func (c *client) end() {
	close(c.stop)
	<-c.done
	c.conn.CloseNow()
}

// checkClients fails when a client was disconnected, or lost or got twice what
// it said; each must get on.
func (s *site) checkClients() {
	s.t.Helper()
	before := make([]int, len(s.clients))
	for i, c := range s.clients {
		before[i] = c.count()
	}
	for i, c := range s.clients {
		for end := time.Now().Add(limit); c.count() <= before[i]+1; time.Sleep(time.Millisecond) {
			c.mu.Lock()
			lost := c.lost
			c.mu.Unlock()
			if lost != nil || time.Now().After(end) {
				s.t.Errorf("client %d stands still at %d: %v", i, before[i], lost)
				break
			}
		}
	}
}

// settleBroken is checkClients after a kill: who was in the middle of a message
// may be gone, but nobody may have got anything wrong.
func (s *site) settleBroken() {
	s.t.Helper()
	var rest []*client
	for i, c := range s.clients {
		c.mu.Lock()
		lost := c.lost
		c.mu.Unlock()
		switch {
		case lost == nil:
			rest = append(rest, c)
		case strings.Contains(lost.Error(), "error:") || strings.Contains(lost.Error(), "came back"):
			s.t.Errorf("client %d: %v", i, lost)
			fallthrough
		default:
			c.end()
		}
	}
	s.clients = rest
}

func TestReloadsMoveEveryConnection(t *testing.T) {
	s := openSite(t, 40)
	for range 6 {
		before := s.status()
		if d := s.reload(); d.Verdict != control.Accepted {
			t.Fatalf("%+v", d)
		}
		if now := s.status(); now.PID == before.PID || now.Gen <= before.Gen {
			t.Errorf("generation %d, pid %d after %d, %d", now.Gen, now.PID, before.Gen, before.PID)
		} else if now.Conns < 30 { // a few may follow late
			t.Errorf("generation %d is said to have %d connections of 40", now.Gen, now.Conns)
		}
		s.checkClients()
	}
	s.await("all the old ones have ended", func(i control.Instance) bool { return len(i.Draining) == 0 })
	s.checkClients()
}

func TestKillsLeaveEveryConnection(t *testing.T) {
	s := openSite(t, 40)
	for range 4 {
		before := s.status()
		syscall.Kill(before.PID, syscall.SIGKILL)
		s.await("the next one serves", func(i control.Instance) bool { return i.State == "running" && i.Gen > before.Gen })
		s.settleBroken()
		s.checkClients()
		s.in.Reload() // forget the failures
		s.await("it is reloaded", func(i control.Instance) bool { return i.State == "running" && i.Gen > before.Gen+1 })
	}
	if len(s.clients) < 30 {
		t.Errorf("only %d of 40 clients are left", len(s.clients))
	}
}

// Whatever step the new worker dies at, or hangs at: before it has taken over
// nobody notices; after it the last good build takes over from it.
func TestTheNewWorkerFailsAtEveryStep(t *testing.T) {
	for _, manner := range []string{diesAt, stopsAt} {
		for _, step := range []string{atAdopt, atLoadAll, atLoad, atLive} {
			t.Run(manner+" "+step, func(t *testing.T) {
				t.Parallel()
				s := openSite(t, 10)
				s.next(manner + " " + step)
				d := s.reload()
				want := control.Rejected
				if step == atLive {
					want = control.Returned
				}
				if d.Verdict != want || d.Reason == "" {
					t.Errorf("%+v, want %s", d, want)
				}
				s.next("")
				i := s.await("somebody serves", func(i control.Instance) bool { return i.State == "running" })
				if step == atLive {
					s.settleBroken()
				} else if i.Gen != 1 {
					t.Errorf("generation %d serves, want 1", i.Gen)
				}
				s.checkClients()
				if d := s.reload(); d.Verdict != control.Accepted {
					t.Errorf("then %+v", d)
				}
				s.checkClients()
			})
		}
	}
}

// Whatever step the old worker dies at, the new one goes on with everything.
func TestTheOldWorkerDiesAtEveryStep(t *testing.T) {
	for _, step := range []string{atSave, atSaveAll} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			s := openSite(t, 10)
			s.next(diesAt + " " + step)
			if d := s.reload(); d.Verdict != control.Accepted {
				t.Fatalf("%+v", d)
			}
			s.next("")
			if d := s.reload(); d.Verdict != control.Accepted {
				t.Errorf("%+v", d)
			}
			s.settleBroken()
			s.checkClients()
			if len(s.clients) == 0 {
				t.Error("nobody is left")
			}
		})
	}
}

// What is asked for while a handover cannot be called off waits for its end: also
// when that is the death of the new worker.
func TestWhatWaitsForAHandoverThatFails(t *testing.T) {
	for _, later := range []string{"reload", "stop"} {
		t.Run(later, func(t *testing.T) {
			t.Parallel()
			s := openSite(t, 10)
			s.next(diesAt + " " + atSaveAll)
			if d := s.reload(); d.Verdict != control.Accepted {
				t.Fatalf("%+v", d)
			}
			s.next(stopsAt + " " + atRecover)
			first, err := s.in.Reload()
			if err != nil {
				t.Fatal(err)
			}
			s.await("the new worker is alone", func(i control.Instance) bool { return i.State == "starting" })
			s.next("")
			if later == "stop" {
				if err := s.in.Stop(); err != nil {
					t.Fatal(err)
				}
				s.await("everything has ended", func(i control.Instance) bool { return i.State == "stopped" })
				for i, c := range s.clients {
					select {
					case <-c.done:
					case <-time.After(orphanLimit / 2):
						t.Fatalf("client %d still waits for a program that is stopped", i)
					}
				}
			} else if d := s.reload(); d.Verdict != control.Accepted {
				t.Errorf("the later reload: %+v", d)
			}
			if d := s.verdict(first); d.Verdict != control.Rejected || !strings.Contains(d.Reason, "took too long") {
				t.Errorf("the reload whose worker hung: %+v", d)
			}
			if later == "reload" {
				s.settleBroken()
				s.checkClients()
			}
		})
	}
}

// A build that hangs is replaced by the next deploy, with its connections.
func TestADeployReplacesAHungWorker(t *testing.T) {
	t.Parallel()
	s := openSite(t, 10)
	old := s.status()
	syscall.Kill(old.PID, syscall.SIGSTOP)
	time.Sleep((suspicious + 1) * pingEvery)
	if d := s.reload(); d.Verdict != control.Accepted {
		t.Errorf("%+v", d)
	}
	s.settleBroken()
	s.checkClients()
}

// Nobody is frozen for a swap that cannot be.
func TestAStateThatNobodyReadsIsRefusedBeforeAnythingStops(t *testing.T) {
	t.Parallel()
	s := openSite(t, 3)
	s.next("speaks another")
	d := s.reload()
	if d.Verdict != control.Rejected || !strings.Contains(d.Reason, `of "app" the serving build writes versions [1], the new one reads [99]`) {
		t.Errorf("%+v", d)
	}
	s.checkClients()
}

// A handler that takes its time delays nobody else; its connection follows.
func TestAStragglerFollows(t *testing.T) {
	t.Parallel()
	s := openSite(t, 10)
	for round := range 3 {
		s.clients[round].says("slow")
		time.Sleep(100 * time.Millisecond) // it is being handled
		began := time.Now()
		d := s.reload()
		if d.Verdict != control.Accepted {
			t.Fatalf("%+v", d)
		}
		t.Logf("swapped after %v", time.Since(began))
		s.checkClients()
	}
}

// A message that kills every worker costs its sender the connection, and
// nobody else.
func TestADeadlyMessageCostsItsSenderOnly(t *testing.T) {
	t.Parallel()
	const deaths = 2
	s := openSite(t, 10)
	victim := s.clients[0]
	victim.says("deadly")
	<-victim.done
	s.await("somebody serves", func(i control.Instance) bool { return i.State == "running" })
	if lost := victim.lost; lost == nil || !strings.Contains(lost.Error(), "1011") {
		t.Errorf("its sender was told %v, want 1011", lost)
	}
	s.settleBroken()
	s.checkClients()
	if len(s.clients) < 5 {
		t.Errorf("%d of 9 others are left", len(s.clients))
	}
	if now := s.status(); now.Restarts != deaths {
		t.Errorf("%d restarts, want %d", now.Restarts, deaths)
	}
}

func TestReloadsAndKillsAtRandom(t *testing.T) {
	for seed := range seeds() {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := openSite(t, 20)
			r := rand.New(rand.NewPCG(seed, 1))
			for range 25 {
				if r.IntN(4) == 0 {
					s.signal(syscall.SIGKILL)
				} else {
					s.in.Reload()
				}
				time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
			}
			s.settle()
			if len(s.clients) < 5 {
				t.Errorf("%d of 20 clients are left", len(s.clients))
			}
		})
	}
}

// The same with workers that die and hang at any step, and an operator who stops,
// starts and rolls back in the middle of it.
func TestAnythingAtRandom(t *testing.T) {
	manners := []string{""}
	for _, how := range []string{diesAt, stopsAt} {
		for _, step := range []string{atAdopt, atSave, atSaveAll, atLoadAll, atLoad, atRecover, atLive} {
			manners = append(manners, how+" "+step)
		}
	}
	for seed := range seeds() {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := openSite(t, 20)
			r := rand.New(rand.NewPCG(seed, 2))
			for range 40 {
				switch r.IntN(16) {
				case 0:
					s.signal(syscall.SIGKILL)
				case 1:
					s.signal(syscall.SIGSTOP)
				case 2:
					s.in.Rollback()
				case 3:
					s.in.Stop()
				case 4, 5:
					s.in.Start(s.plan)
				case 6:
					s.in.Renew("chance")
				case 7, 8, 9:
					s.next("")
				case 10, 11, 12:
					s.next(manners[r.IntN(len(manners))])
				default:
					s.in.Reload()
				}
				time.Sleep(time.Duration(r.IntN(150)) * time.Millisecond)
			}
			s.next("")
			s.await("it has been started", func(i control.Instance) bool {
				s.in.Start(s.plan)
				return i.State != "stopped" && i.State != "stopping"
			})
			s.settle()
		})
	}
}

// seeds are those of tests by chance: as many as SUPERVISE_SEEDS says.
func seeds() uint64 {
	n, err := strconv.ParseUint(os.Getenv("SUPERVISE_SEEDS"), 10, 64)
	if err != nil {
		return 2
	}
	return n
}

// signal sends sig to whoever serves.
func (s *site) signal(sig syscall.Signal) {
	if i := s.status(); i.PID > 0 {
		syscall.Kill(i.PID, sig)
	}
}

// settle waits until all is well again: deploys are accepted, which one is not from
// a worker that hangs before that is noticed, one worker serves, everybody who is
// still connected gets on, and each deploy has its verdict.
func (s *site) settle() {
	s.t.Helper()
	for end := time.Now().Add(limit); ; {
		d := s.reload()
		if d.Verdict == control.Accepted {
			break
		}
		if time.Now().After(end) {
			s.t.Fatalf("no reload is accepted any more: %+v", d)
		}
	}
	s.await("one worker serves", func(i control.Instance) bool { return i.State == "running" && len(i.Draining) == 0 })
	s.settleBroken()
	s.checkClients()
	for _, d := range s.book.Deploys() {
		if d.Verdict == control.Pending {
			s.t.Errorf("deploy %s has no verdict", d.ID)
		}
	}
}
