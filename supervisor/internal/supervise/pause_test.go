package supervise

import (
	"encoding/json"
	"errors"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// pausedNow is how many pauses of p are not over.
func (p *process) pausedNow() (n int) {
	p.make(func(p *process) { n = p.paused })
	return n
}

func TestNobodyIsPausedWhileAWorkerIsStarted(t *testing.T) {
	play(t, func(s *stage) {
		s.next(manner{behave: (*process).serve, launchTime: 5 * time.Second})
		id := s.reload()
		if _, _, err := s.in.Pause(); !errors.Is(err, ErrBusy) {
			s.Errorf("got %v, want ErrBusy", err)
		}
		if n := s.worker(1).pausedNow(); n != 0 {
			s.Errorf("%d pauses are left", n)
		}
		pass(6 * time.Second)
		s.verdict(id, control.Accepted)
		resume, _, err := s.in.Pause()
		if err != nil {
			s.Fatal(err)
		}
		resume()
	})
}

// One that comes while the others are being paused calls it off.
func TestAWorkerThatComesMeanwhileCallsThePauseOff(t *testing.T) {
	for name, quick := range map[string]bool{"and gets ready": false, "and is there by then": true} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *stage) {
				s.worker(1).make(func(p *process) { p.pausing = time.Second; p.stubborn = true })
				if quick {
					s.next(manner{behave: (*process).serve, launchTime: 10 * time.Millisecond})
				} else {
					s.next(manner{behave: func(p *process) { time.Sleep(5 * time.Second); p.serve() }})
				}
				paused := make(chan error, 1)
				go func() {
					_, _, err := s.in.Pause()
					paused <- err
				}()
				synctest.Wait()
				id := s.reload()
				if err := <-paused; !errors.Is(err, ErrBusy) {
					s.Errorf("got %v, want ErrBusy", err)
				}
				for _, p := range s.processes {
					if p.pausedNow() != 0 {
						s.Errorf("generation %d is still paused", p.gen)
					}
				}
				pass(10 * time.Second)
				s.verdict(id, control.Accepted)
				s.expect(Running, 2)
			})
		})
	}
}

func TestAWorkerThatCannotBePaused(t *testing.T) {
	play(t, func(s *stage) {
		s.worker(1).make(func(p *process) { p.stubborn = true })
		s.reload()
		errFull := errors.New("its queue is full")
		s.worker(2).make(func(p *process) { p.pauseErr = errFull })
		if _, _, err := s.in.Pause(); !errors.Is(err, errFull) {
			s.Errorf("got %v", err)
		}
		if n := s.worker(1).pausedNow(); n != 0 {
			s.Error("the other one is still paused")
		}
		s.crash(2)
		s.expect(Running, 3)
	})
}

func TestAPauseThatComesTooLate(t *testing.T) {
	play(t, func(s *stage) {
		s.stop()
		<-s.ended
		if _, _, err := s.in.Pause(); !errors.Is(err, ErrStopping) {
			s.Errorf("got %v, want ErrStopping", err)
		}
	})
}

// Nothing is decided in a pause, and nothing that happens in it is lost.
func TestWhatHappensInAPauseIsHandledAfterIt(t *testing.T) {
	playWith(t, Config{Program: "chat", Bake: time.Hour}, func(s *stage) {
		trial := s.reload()
		s.worker(1).exit(worker.Exit{}) // it had drained
		s.expect(Baking, 2)
		resume, _, err := s.in.Pause()
		if err != nil {
			s.Fatal(err)
		}
		written := s.written()
		p := s.worker(2)
		go func() {
			p.says(proto.Stats{Conns: 5})
			p.exit(worker.Exit{Code: -1, Signal: syscall.SIGSEGV})
		}()
		reloaded := make(chan string, 1)
		go func() {
			time.Sleep(time.Minute)
			id, err := s.in.Reload()
			if err != nil {
				s.Error(err)
			}
			reloaded <- id
		}()
		pass(2 * time.Hour) // the bake is over meanwhile
		if got := s.written(); got != written {
			s.Errorf("written in a pause: %s", got)
		}
		if len(s.processes) != 2 || p.pausedNow() != 1 {
			s.Errorf("%d processes; paused %d times", len(s.processes), p.pausedNow())
		}
		resume()
		id := <-reloaded
		pass(time.Second)
		if p.pausedNow() != 0 {
			s.Error("it is still paused")
		}
		if v := s.deploy(trial).Verdict; v == control.Pending {
			s.Error("the deploy on trial has no verdict")
		}
		pass(2 * time.Hour)
		s.verdict(id, control.Accepted)
		if got := s.status(); got.State != "running" || got.Gen < 3 {
			s.Errorf("status %+v", got)
		}
	})
}

// What is written in a pause is the state of that moment, for whoever goes on.
func TestAPauseWritesEverything(t *testing.T) {
	play(t, func(s *stage) {
		s.worker(1).make(func(p *process) { p.stubborn = true })
		s.reload()
		s.worker(2).says(proto.Stats{Conns: 3})
		resume, leave, err := s.in.Pause()
		if err != nil {
			s.Fatal(err)
		}
		got, err := parseSnapshot(s.written())
		if err != nil || got.State != "running" || got.Serving.Number != 2 || len(got.Leaving) != 1 || got.Leaving[0].Number != 1 {
			s.Errorf("written is %+v, %v", got, err)
		}
		leave()
		for _, p := range s.processes {
			p.make(func(p *process) {
				if p.left != 1 || p.paused != 1 {
					s.Errorf("generation %d: left %d times, paused %d times", p.gen, p.left, p.paused)
				}
			})
		}
		resume() // only so that the test ends
	})
}

// succeed has the instance of the site stand still and another one go on with
// what it has after a while, as a supervisor that upgrades itself does. The one
// before wakes up when the test is over.
func (s *site) succeed(while time.Duration) {
	s.t.Helper()
	before := s.in
	resume, _, err := before.Pause()
	if err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(while)
	left := before.Store.All()
	for name, fd := range left {
		if left[name], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err != nil {
			s.t.Fatal(err)
		}
	}
	book := new(Book)
	book.Restore(s.book.Entries())
	s.book = book
	store := fdstore.New(nil, left)
	s.in = s.instance(store)
	if !s.in.Restore() {
		s.t.Fatal("there was nothing to go on with")
	}
	if lost, err := store.Drop(); len(lost) > 0 || err != nil {
		s.t.Errorf("nobody took %q, %v", lost, err)
	}
	stop, end := s.stop, s.run()
	s.stop = func() {
		end()
		resumed := make(chan struct{})
		go func() { stop(); close(resumed) }()
		time.Sleep(50 * time.Millisecond) // it is asked to stop before it wakes up
		resume()
		<-resumed
	}
}

// Clients notice nothing of another supervisor, and it does all that the one
// before could.
func TestAnotherSupervisorGoesOn(t *testing.T) {
	s := openSite(t, 30)
	if d := s.reload(); d.Verdict != control.Accepted {
		t.Fatalf("%+v", d)
	}
	s.await("the old one has ended", func(i control.Instance) bool { return len(i.Draining) == 0 })
	for range 3 {
		before := s.status()
		s.succeed(0)
		if now := s.status(); now.PID != before.PID || now.Gen != before.Gen || now.Build != before.Build || now.State != before.State {
			t.Errorf("it is %+v after %+v", now, before)
		}
		s.checkClients()
		if d := s.reload(); d.Verdict != control.Accepted {
			t.Fatalf("%+v", d)
		}
		s.checkClients()
	}
	for _, c := range s.clients {
		if c.resynced() > 0 {
			t.Error("a client was asked to say again what it had said")
		}
	}
	killed := s.status()
	syscall.Kill(killed.PID, syscall.SIGKILL)
	s.await("the next one serves", func(i control.Instance) bool { return i.State == "running" && i.Gen > killed.Gen })
	s.settleBroken()
	s.checkClients()
	if len(s.clients) < 20 {
		t.Errorf("only %d of 30 clients are left", len(s.clients))
	}
}

// A worker that still drains changes hands like any other, and what moves late
// moves, if it does so while nobody listens too.
func TestAnotherSupervisorDrainsOn(t *testing.T) {
	for name, while := range map[string]time.Duration{"at once": 0, "after a while": time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openSite(t, 5)
			s.clients[0].says("slow")
			time.Sleep(100 * time.Millisecond) // it is being handled: its worker lives on for a while
			d := s.reload()
			if d.Verdict != control.Accepted {
				t.Fatalf("%+v", d)
			}
			s.succeed(while)
			s.await("the old one has ended", func(i control.Instance) bool { return len(i.Draining) == 0 })
			s.checkClients()
			if got, err := parseSnapshot(read(t, s.in)); err != nil || len(got.Leaving) > 0 {
				t.Errorf("written is %+v, %v", got, err)
			}
			if all := s.book.Deploys(); !slices.ContainsFunc(all, func(e control.Deploy) bool { return e.ID == d.ID && e.Verdict == control.Accepted }) {
				t.Errorf("the deploy before is forgotten: %+v", all)
			}
		})
	}
}

// read is what another supervisor would find of in.
func read(t *testing.T, in *Instance) string {
	t.Helper()
	text, err := fdstore.ReadDocument(in.Store.All()[in.name(documentName)])
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// again is the plan of the site, of whatever text.
func (s *site) again(json.RawMessage) (*Plan, error) {
	plan := s.plan
	return &plan, nil
}
