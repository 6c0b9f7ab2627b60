package supervise

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// stage is an instance that runs in a synctest bubble.
type stage struct {
	*testing.T
	*launcher
	in    *Instance
	book  *Book
	stop  context.CancelFunc
	ended chan struct{}
}

// play runs scene on a stage whose workers behave like good ones, then stops
// the instance and checks that nothing is left of it.
func play(t *testing.T, scene func(s *stage)) {
	t.Helper()
	playWith(t, Config{Program: "chat"}, scene)
}

func playWith(t *testing.T, cfg Config, scene func(s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.in = NewInstance(Plan{Config: cfg, Launcher: s.launcher}, Parts{Book: s.book, Log: slog.New(slog.DiscardHandler)})
		s.perform(scene)
	})
}

func newStage(t *testing.T) *stage {
	return &stage{T: t, launcher: &launcher{t: t, manner: good}, book: new(Book), ended: make(chan struct{})}
}

// perform runs the instance through scene to its end.
func (s *stage) perform(scene func(s *stage)) {
	s.Helper()
	ctx, stop := context.WithCancel(s.Context())
	s.stop = stop
	go func() {
		defer close(s.ended)
		if err := s.in.Run(ctx); err != nil {
			s.Errorf("Run: %v", err)
		}
	}()
	synctest.Wait()
	scene(s)
	stop()
	select {
	case <-s.ended:
	case <-time.After(time.Hour):
		s.Fatal("Run did not return within an hour")
	}
	s.checkLeft()
	for _, d := range s.book.Deploys() {
		if d.Verdict == control.Pending {
			s.Errorf("deploy %s has no verdict", d.ID)
		}
	}
}

func (s *stage) status() control.Instance {
	s.Helper()
	got, err := s.in.Status(s.Context())
	if err != nil {
		s.Fatalf("Status: %v", err)
	}
	if _, err := parseSnapshot(s.written()); err != nil {
		s.Errorf("a supervisor that came now could not go on: %v", err)
	}
	return got
}

// written is what a supervisor that came now would find.
func (s *stage) written() string {
	s.Helper()
	text, err := fdstore.ReadDocument(s.in.Store.All()[s.in.name(documentName)])
	if err != nil {
		s.Fatal(err)
	}
	return text
}

// expect checks which generation serves, or starts, in which state.
func (s *stage) expect(state State, gen int) {
	s.Helper()
	synctest.Wait()
	if got := s.status(); got.State != state.String() || got.Gen != gen {
		s.Fatalf("generation %d, %s; want generation %d, %s", got.Gen, got.State, gen, state)
	}
}

func (s *stage) reload() (id string) {
	s.Helper()
	id, err := s.in.Reload()
	if err != nil {
		s.Fatalf("Reload: %v", err)
	}
	synctest.Wait()
	return id
}

func (s *stage) deploy(id string) control.Deploy {
	s.Helper()
	all := s.book.Deploys()
	i := slices.IndexFunc(all, func(d control.Deploy) bool { return d.ID == id })
	if i < 0 {
		s.Fatalf("no deploy %s", id)
	}
	return all[i]
}

// verdict checks a deploy's verdict and that its reason holds every word.
func (s *stage) verdict(id string, want control.Verdict, words ...string) {
	s.Helper()
	d := s.deploy(id)
	if d.Verdict != want {
		s.Fatalf("deploy %s is %s (%s), want %s", id, d.Verdict, d.Reason, want)
	}
	for _, w := range words {
		if !strings.Contains(d.Reason, w) {
			s.Errorf("the reason %q does not say %q", d.Reason, w)
		}
	}
}

// crash ends a worker as a segmentation fault would.
func (s *stage) crash(gen int) {
	s.worker(gen).exit(worker.Exit{Code: -1, Signal: syscall.SIGSEGV})
	synctest.Wait()
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestBoot(t *testing.T) {
	play(t, func(s *stage) {
		s.expect(Running, 1)
		got := s.status()
		if got.PID != 1001 || got.Build.Commit != "abc" || got.Build.SHA256 != "1" || got.StartedAt == nil || got.Draining == nil {
			s.Errorf("status %+v", got)
		}
		if got.LastExit != "" || got.Restarts != 0 || len(s.book.Deploys()) != 0 {
			s.Errorf("a first start is no restart and no deploy: %+v, %+v", got, s.book.Deploys())
		}
	})
}

func TestAGoodBuildTakesOver(t *testing.T) {
	play(t, func(s *stage) {
		s.worker(1).make(func(p *process) { p.stubborn = true })
		id := s.reload()
		s.verdict(id, control.Accepted)
		s.expect(Running, 2)
		drains := s.worker(1).received(proto.KindDrain)
		want := proto.Drain{Why: proto.WhyDeploy, Rate: 300, TimeoutMS: 30_000}
		if len(drains) != 1 || drains[0] != proto.Message(want) {
			s.Errorf("the old one was told %+v, want %+v", drains, want)
		}
		if d := s.status().Draining; len(d) != 1 || d[0].Gen != 1 || time.Until(d[0].Deadline) != 31*time.Second {
			s.Errorf("draining %+v", d)
		}
		s.worker(1).exit(worker.Exit{})
		synctest.Wait()
		if d := s.status().Draining; len(d) != 0 {
			s.Errorf("still draining %+v", d)
		}
	})
}

func TestTheTimelineOfADeploy(t *testing.T) {
	play(t, func(s *stage) {
		s.next(manner{
			behave:     func(p *process) { time.Sleep(70 * time.Millisecond); p.serve() },
			launchTime: 30 * time.Millisecond,
		})
		id := s.reload()
		if d := s.deploy(id); d.Verdict != control.Pending {
			s.Errorf("verdict %s before it is ready", d.Verdict)
		}
		var steps []string
		err := s.book.Follow(s.Context(), id, func(step control.Step) error {
			steps = append(steps, step.Step)
			return nil
		})
		want := []string{"requested", "pinned", "spawned", "ready", "swapped", "accepted"}
		if err != nil || !slices.Equal(steps, want) {
			s.Errorf("steps %v, %v; want %v", steps, err, want)
		}
		if d := s.deploy(id); d.SwappedMS != 100 {
			s.Errorf("swapped in %d ms, want 100", d.SwappedMS)
		}
	})
}

// good is a build that serves at once.
var good = manner{behave: (*process).serve}

// What a bad build does, and what its rejection says.
var badBuilds = []struct {
	name   string
	manner manner
	after  time.Duration // when its failure is certain
	says   []string
}{
	{"cannot be pinned", manner{pinErr: errDisk}, 0, []string{"/srv/app: no such file"}},
	{"cannot be started", manner{launchErr: errors.New("start /srv/app: too many open files")}, 0, []string{"too many open files"}},
	{"crashes", manner{behave: func(p *process) { p.join(); p.exit(worker.Exit{Code: 7}) }}, 0,
		[]string{"exit status 7", "before it was ready", "first words"}},
	{"dies by a signal", manner{behave: func(p *process) { p.exit(worker.Exit{Code: -1, Signal: syscall.SIGSEGV}) }}, 0,
		[]string{"killed by SIGSEGV"}},
	{"is never ready", manner{behave: (*process).join}, 10 * time.Second,
		[]string{"not ready within 10s", "READY=1", "first words"}},
	{"is pinned too slowly", manner{pinTime: time.Minute}, 10 * time.Second, []string{"not ready within 10s"}},
	{"is started too slowly", manner{launchTime: time.Minute}, 10 * time.Second, []string{"not ready within 10s"}},
	{"speaks another version", manner{behave: func(p *process) {
		p.says(proto.Hello{Versions: []int{99}})
		p.notify(worker.Ready{})
	}}, 0, []string{"no common protocol version", "99"}},
	{"breaks the protocol", manner{behave: func(p *process) {
		p.notify(worker.Broken{Err: errors.New("garbage")})
		p.notify(worker.Ready{})
	}}, 0, []string{"broke the protocol: garbage"}},
}

func TestABadBuildChangesNothing(t *testing.T) {
	for _, bad := range badBuilds {
		t.Run(bad.name, func(t *testing.T) {
			play(t, func(s *stage) {
				s.next(bad.manner)
				id := s.reload()
				if bad.after > 0 {
					pass(bad.after - time.Millisecond)
					s.expect(Swapping, 1)
					pass(time.Millisecond)
				}
				s.verdict(id, control.Rejected, bad.says...)
				s.expect(Running, 1)
				pass(2 * time.Minute)
				s.expect(Running, 1)
				if old := s.worker(1); len(old.signalled())+len(old.received(proto.KindDrain)) > 0 {
					s.Error("the old one was disturbed")
				}
				s.next(good)
				s.verdict(s.reload(), control.Accepted)
			})
		})
	}
}

func TestABadBuildAtBootIsTriedAgain(t *testing.T) {
	for _, bad := range badBuilds {
		t.Run(bad.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &launcher{t: t, manner: bad.manner}
				in := NewInstance(Plan{Config: Config{Program: "chat"}, Launcher: l}, Parts{Book: new(Book), Log: slog.New(slog.DiscardHandler)})
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- in.Run(ctx) }()
				time.Sleep(10 * time.Minute)
				got, err := in.Status(t.Context())
				if err != nil || got.Restarts < 2 || got.LastExit == "" {
					t.Errorf("status %+v, %v; want it tried again and again, with the reason", got, err)
				}
				l.next(good)
				time.Sleep(2 * time.Minute)
				if got, err := in.Status(t.Context()); err != nil || got.State != "running" {
					t.Errorf("status %+v, %v; want running once the build is good", got, err)
				}
				stop()
				<-ended
				l.checkLeft()
			})
		})
	}
}

func TestALaterReloadSupersedesTheEarlier(t *testing.T) {
	for _, test := range []struct {
		name  string
		third func(p *process)
		want  control.Verdict
	}{
		{"accepted", (*process).serve, control.Accepted},
		{"rejected", func(p *process) { p.exit(worker.Exit{Code: 1}) }, control.Rejected},
	} {
		t.Run(test.name, func(t *testing.T) {
			play(t, func(s *stage) {
				s.next(manner{behave: (*process).join})
				first, second := s.reload(), s.reload()
				s.next(manner{behave: test.third})
				third := s.reload()
				for _, id := range []string{first, second, third} {
					s.verdict(id, test.want)
				}
				var steps []string
				s.book.Follow(s.Context(), first, func(step control.Step) error { steps = append(steps, step.Step); return nil })
				if !slices.Contains(steps, "superseded") || steps[len(steps)-1] != string(test.want) {
					s.Errorf("the first one's steps: %v", steps)
				}
				for _, gen := range []int{2, 3} {
					if !slices.Equal(s.worker(gen).signalled(), []syscall.Signal{syscall.SIGKILL}) {
						s.Errorf("generation %d got %v, want SIGKILL", gen, s.worker(gen).signalled())
					}
				}
			})
		})
	}
}

func TestABurstOfReloadsEndsInOneVerdict(t *testing.T) {
	play(t, func(s *stage) {
		s.next(manner{behave: (*process).serve, launchTime: 5 * time.Millisecond})
		verdicts := make(chan control.Verdict)
		const burst = 3 * kept // the book has forgotten the first ones by the end
		for range burst {
			id := s.reload()
			go s.book.Follow(s.Context(), id, func(step control.Step) error {
				if step.Deploy.Verdict != control.Pending {
					verdicts <- step.Deploy.Verdict
				}
				return nil
			})
			synctest.Wait()
		}
		for range burst {
			if v := <-verdicts; v != control.Accepted {
				s.Errorf("verdict %s", v)
			}
		}
		s.expect(Running, burst+1)
	})
}

func TestACrashedWorkerComesBack(t *testing.T) {
	play(t, func(s *stage) {
		pass(2 * time.Minute)
		s.crash(1)
		s.expect(Running, 2) // at once: no time has passed
		if got := s.status(); got.Restarts != 1 || got.LastExit != "killed by SIGSEGV" {
			s.Errorf("status %+v", got)
		}
		s.crash(2)
		if got := s.status(); got.State != "backoff" || got.PID != 0 {
			s.Errorf("a second crash: %+v, want backoff", got)
		}
		pass(100 * time.Millisecond)
		s.expect(Running, 3)
		for gen := 3; gen < 30; gen++ {
			s.crash(gen)
			if state := s.status().State; state != "backoff" {
				s.Fatalf("crash %d: %s, want backoff", gen, state)
			}
			pass(30 * time.Second)
			s.expect(Running, gen+1)
			if gen%2 == 0 { // 30 s of service are not yet stable
				pass(29 * time.Second)
			}
		}
		pass(time.Minute)
		s.crash(30)
		s.expect(Running, 31)
	})
}

func TestACrashRestartUsesTheLastGoodBuild(t *testing.T) {
	play(t, func(s *stage) {
		s.next(manner{behave: (*process).serve, pinErr: errDisk})
		s.crash(1)
		s.expect(Running, 2)
		if s.worker(2).build != s.worker(1).build || s.pinned() != 1 {
			s.Error("restarted from another build than the one that served")
		}
		s.next(manner{behave: func(p *process) { p.exit(worker.Exit{Code: 1}) }})
		s.reload() // rejected: it never served
		s.next(good)
		s.crash(2)
		pass(time.Second)
		s.expect(Running, 4)
		if s.worker(4).build != s.worker(1).build {
			s.Error("restarted from a build that was rejected")
		}
	})
}

func TestACrashWhileSwapping(t *testing.T) {
	t.Run("then the new one is ready", func(t *testing.T) {
		play(t, func(s *stage) {
			s.next(manner{behave: (*process).join})
			id := s.reload()
			s.crash(1)
			s.expect(Starting, 2)
			s.worker(2).notify(worker.Ready{})
			synctest.Wait()
			s.expect(Running, 2)
			s.verdict(id, control.Accepted)
		})
	})
	t.Run("then the new one fails", func(t *testing.T) {
		play(t, func(s *stage) {
			s.next(manner{behave: (*process).join})
			id := s.reload()
			s.crash(1)
			s.next(good)
			s.worker(2).exit(worker.Exit{Code: 3})
			synctest.Wait()
			s.verdict(id, control.Rejected, "exit status 3")
			s.expect(Running, 3)
			if s.worker(3).build != s.worker(1).build {
				s.Error("not the last good build")
			}
		})
	})
}

func TestAReloadDuringBackoffStartsAtOnce(t *testing.T) {
	play(t, func(s *stage) {
		s.crash(1)
		s.crash(2)
		s.expect(Backoff, 0)
		s.verdict(s.reload(), control.Accepted)
		s.expect(Running, 3)
		pass(time.Minute) // the retry that was due is forgotten
		s.expect(Running, 3)
	})
}

// The good build that comes back after a crash is not killed for one that
// nobody knows yet: the reload waits for it.
func TestAReloadWaitsForARestart(t *testing.T) {
	t.Run("that succeeds", func(t *testing.T) {
		play(t, func(s *stage) {
			s.next(manner{behave: (*process).serve, launchTime: 3 * time.Second})
			s.crash(1)
			s.next(good)
			first, second := s.reload(), s.reload()
			s.expect(Starting, 2)
			s.verdict(first, control.Pending)
			pass(4 * time.Second)
			s.expect(Running, 3)
			s.verdict(first, control.Accepted)
			s.verdict(second, control.Accepted)
			if s.worker(1).build.isClosed() {
				s.Error("the build before it cannot be returned to")
			}
			s.verdict(s.reload(), control.Accepted)
			if !s.worker(1).build.isClosed() {
				s.Error("the build that nobody needs is still open")
			}
		})
	})
	t.Run("that fails", func(t *testing.T) {
		play(t, func(s *stage) {
			s.next(manner{launchTime: 3 * time.Second, launchErr: errDisk})
			s.crash(1)
			s.next(good)
			id := s.reload()
			pass(4 * time.Second)
			s.expect(Running, 3)
			s.verdict(id, control.Accepted)
		})
	})
}

// A worker accepts when it is told to go: nobody else may serve by then.
func TestGoIsSaidToWhoeverServes(t *testing.T) {
	play(t, func(s *stage) {
		s.next(manner{behave: (*process).join})
		s.reload()
		if heard[proto.Go](s.worker(2)) > 0 {
			s.Error("told to go before it was ready")
		}
		s.worker(2).notify(worker.Ready{})
		synctest.Wait()
		for gen, want := range map[int]int{1: 1, 2: 1} {
			if got := heard[proto.Go](s.worker(gen)); got != want {
				s.Errorf("generation %d was told to go %d times, want %d", gen, got, want)
			}
		}
	})
}

func TestBuildsAreClosedWhenNobodyNeedsThem(t *testing.T) {
	play(t, func(s *stage) {
		s.crash(1) // the same build again
		s.expect(Running, 2)
		s.reload()
		s.expect(Running, 3)
		s.next(manner{behave: (*process).join})
		s.reload()
		s.reload()
		s.worker(5).exit(worker.Exit{Code: 1})
		synctest.Wait()
		s.expect(Running, 3)
		for gen, want := range map[int]bool{1: false, 2: false, 3: false, 4: true, 5: true} { // 1 is the one to roll back to
			if got := s.worker(gen).build.isClosed(); got != want {
				s.Errorf("the build of generation %d: closed %v, want %v", gen, got, want)
			}
		}
	})
}

func TestOnlyOneEarlierBuildIsHeld(t *testing.T) {
	play(t, func(s *stage) {
		for range 3 {
			s.verdict(s.reload(), control.Accepted)
		}
		for gen, want := range map[int]bool{1: true, 2: true, 3: false, 4: false} {
			if got := s.worker(gen).build.isClosed(); got != want {
				s.Errorf("the build of generation %d: closed %v, want %v", gen, got, want)
			}
		}
	})
}

func TestAHungWorkerIsEnded(t *testing.T) {
	play(t, func(s *stage) {
		hung := s.worker(1)
		pass(time.Minute)
		hung.make(func(p *process) { p.mute, p.stubborn = true, true })
		pass(10 * time.Second)
		if got := hung.signalled(); len(got) > 0 {
			s.Errorf("%v after 10 s: only 10 pings are unanswered", got)
		}
		pass(time.Second)
		if got := hung.signalled(); !slices.Equal(got, []syscall.Signal{syscall.SIGABRT}) {
			s.Fatalf("after 11 s it got %v, want SIGABRT", got)
		}
		pass(2 * time.Second)
		if got := hung.signalled(); !slices.Equal(got, []syscall.Signal{syscall.SIGABRT, syscall.SIGKILL}) {
			s.Fatalf("2 s later it got %v, want SIGKILL", got)
		}
		s.expect(Running, 2)
		if got := s.status(); !strings.Contains(got.LastExit, "hung: no answer to 10 pings") || !strings.Contains(got.LastExit, "SIGKILL") {
			s.Errorf("last exit %q", got.LastExit)
		}
	})
}

func TestAWorkerThatHangsForAWhileLivesOn(t *testing.T) {
	play(t, func(s *stage) {
		for range 5 {
			s.worker(1).make(func(p *process) { p.mute = true })
			pass(9 * time.Second)
			s.worker(1).make(func(p *process) { p.mute = false })
			pass(2 * time.Second)
		}
		s.expect(Running, 1)
	})
}

// Pings are counted, not seconds: a machine that slept for an hour has asked
// once since.
func TestASuspendedMachineKillsNobody(t *testing.T) {
	play(t, func(s *stage) {
		s.worker(1).make(func(p *process) { p.mute = true })
		pass(5 * time.Second)
		awake := make(chan struct{})
		s.in.post(func() { time.Sleep(time.Hour); close(awake) }) // the loop stands still as the machine does
		<-awake
		s.worker(1).make(func(p *process) { p.mute = false })
		pass(3 * time.Second)
		s.expect(Running, 1)
		if got := s.worker(1).signalled(); len(got) > 0 {
			s.Errorf("it got %v", got)
		}
	})
}

func TestADrainHasItsDeadline(t *testing.T) {
	play(t, func(s *stage) {
		old := s.worker(1)
		old.make(func(p *process) { p.stubborn = true })
		s.reload()
		pass(31*time.Second - time.Millisecond)
		if got := old.signalled(); len(got) > 0 {
			s.Errorf("before its deadline it got %v", got)
		}
		pass(time.Millisecond)
		if got := old.signalled(); !slices.Equal(got, []syscall.Signal{syscall.SIGKILL}) {
			s.Errorf("after its deadline it got %v, want SIGKILL", got)
		}
		s.expect(Running, 2)
	})
}

func TestAPlainProgramIsDrainedBySIGTERM(t *testing.T) {
	play(t, func(s *stage) {
		s.next(manner{behave: func(p *process) { p.notify(worker.Ready{}) }})
		s.reload()
		s.expect(Running, 2)
		pass(time.Hour) // it is never asked whether it lives
		s.expect(Running, 2)
		s.reload()
		s.expect(Running, 3)
		plain := s.worker(2)
		if got := plain.signalled(); !slices.Equal(got, []syscall.Signal{syscall.SIGTERM}) {
			s.Errorf("it got %v, want SIGTERM", got)
		}
		for _, kind := range []proto.Kind{proto.KindPing, proto.KindDrain, proto.KindPeers} {
			if got := plain.received(kind); len(got) > 0 {
				s.Errorf("it was told %v", got)
			}
		}
	})
}

func TestABrokenConversationEndsTheServingWorker(t *testing.T) {
	play(t, func(s *stage) {
		s.worker(1).notify(worker.Broken{Err: errors.New("garbage")})
		synctest.Wait()
		s.expect(Running, 2)
		if got := s.status().LastExit; !strings.Contains(got, "broke the protocol: garbage") {
			s.Errorf("last exit %q", got)
		}
	})
}

func TestCompanions(t *testing.T) {
	play(t, func(s *stage) {
		peers := func(gen int) int {
			all := s.worker(gen).received(proto.KindPeers)
			if len(all) == 0 {
				return -1
			}
			return all[len(all)-1].(proto.Peers).N
		}
		if n := peers(1); n != 0 {
			s.Errorf("alone it has %d peers", n)
		}
		s.worker(1).make(func(p *process) { p.stubborn = true })
		s.reload()
		if peers(1) != 1 || peers(2) != 1 {
			s.Errorf("two workers: peers %d and %d, want 1 and 1", peers(1), peers(2))
		}
		s.worker(1).says(proto.Publish{Data: []byte("ding")})
		synctest.Wait()
		if got := s.worker(2).received(proto.KindDeliver); len(got) != 1 || string(got[0].(proto.Deliver).Data) != "ding" {
			s.Errorf("delivered %v", got)
		}
		if got := s.worker(1).received(proto.KindDeliver); len(got) > 0 {
			s.Errorf("it was told what it said itself: %v", got)
		}
		s.next(manner{behave: (*process).join})
		s.reload()
		s.worker(2).says(proto.Publish{Data: []byte("dong")})
		synctest.Wait()
		if got := s.worker(3).received(proto.KindDeliver); len(got) > 0 || peers(3) != -1 {
			s.Errorf("a candidate was treated as a companion: %v", got)
		}
		s.worker(1).exit(worker.Exit{})
		synctest.Wait()
		if peers(2) != 0 {
			s.Errorf("alone again it has %d peers", peers(2))
		}
	})
}

func TestStatsAreShown(t *testing.T) {
	play(t, func(s *stage) {
		s.worker(1).says(proto.Stats{Conns: 12})
		synctest.Wait()
		if got := s.status().Conns; got != 12 {
			s.Errorf("%d connections, want 12", got)
		}
	})
}

// What a generation said before its end may arrive after its end was decided.
func TestWhatComesTooLateChangesNothing(t *testing.T) {
	play(t, func(s *stage) {
		s.worker(1).make(func(p *process) { p.stubborn = true })
		s.next(manner{behave: (*process).join})
		id := s.reload()
		pass(10 * time.Second) // killed
		s.verdict(id, control.Rejected)
		late := s.worker(2)
		late.notify(worker.Ready{})
		late.says(proto.Pong{})
		late.says(proto.Publish{Data: []byte("ding")})
		late.notify(worker.Broken{Err: errors.New("garbage")})
		late.notify(worker.Ready{})
		synctest.Wait()
		s.expect(Running, 1)
		s.worker(1).notify(worker.Ready{}) // twice
		s.expect(Running, 1)
	})
}

func TestStopInEveryState(t *testing.T) {
	pending := func(s *stage) string {
		s.next(manner{behave: (*process).join})
		return s.reload()
	}
	for _, test := range []struct {
		name   string
		before func(s *stage) (id string) // a deploy that the stop rejects
		within time.Duration
	}{
		{"running", func(*stage) string { return "" }, 0},
		{"running, a worker that does not drain", func(s *stage) string {
			s.worker(1).make(func(p *process) { p.stubborn = true })
			return ""
		}, 31 * time.Second},
		{"swapping", pending, 0},
		{"starting", func(s *stage) string { id := pending(s); s.crash(1); return id }, 0},
		{"starting, still launching", func(s *stage) string {
			s.next(manner{behave: (*process).serve, launchTime: 5 * time.Second})
			return s.reload()
		}, 5 * time.Second},
		{"starting, still pinning", func(s *stage) string {
			s.next(manner{pinTime: 5 * time.Second, pinErr: errDisk})
			return s.reload()
		}, 5 * time.Second},
		{"backoff", func(s *stage) string { s.crash(1); s.crash(2); return "" }, 0},
		{"draining", func(s *stage) string {
			s.worker(1).make(func(p *process) { p.stubborn = true })
			s.reload()
			return ""
		}, 31 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			play(t, func(s *stage) {
				id := test.before(s)
				began := time.Now()
				s.stop()
				<-s.ended
				if took := time.Since(began); took != test.within {
					s.Errorf("took %s, want %s", took, test.within)
				}
				if id != "" {
					s.verdict(id, control.Rejected, "stopping")
				}
				if _, err := s.in.Reload(); !errors.Is(err, ErrStopping) {
					s.Errorf("Reload afterwards: %v, want ErrStopping", err)
				}
				if _, err := s.in.Status(s.Context()); !errors.Is(err, ErrStopping) {
					s.Errorf("Status afterwards: %v, want ErrStopping", err)
				}
			})
		})
	}
}

func TestStopTellsTheWorkerWhy(t *testing.T) {
	play(t, func(s *stage) {
		s.stop()
		<-s.ended
		if got := s.worker(1).received(proto.KindDrain); len(got) != 1 || got[0].(proto.Drain).Why != proto.WhyStop {
			s.Errorf("told %v, want a drain because of a stop", got)
		}
	})
}

func TestAReloadWhileStoppingIsRejected(t *testing.T) {
	play(t, func(s *stage) {
		s.worker(1).make(func(p *process) { p.stubborn = true })
		s.stop()
		synctest.Wait()
		if got := s.status(); got.State != "stopping" || len(got.Draining) != 1 {
			s.Errorf("status %+v", got)
		}
		s.verdict(s.reload(), control.Rejected, "stopping")
	})
}

// However close a request comes to the end, it gets a verdict.
func TestReloadsAroundTheEnd(t *testing.T) {
	for range 50 {
		play(t, func(s *stage) {
			done := make(chan struct{})
			for range 20 {
				go func() { s.in.Reload(); done <- struct{}{} }()
			}
			s.stop()
			for range 20 {
				<-done
			}
		})
	}
}

func TestKill(t *testing.T) {
	t.Run("ends a drain at once", func(t *testing.T) {
		play(t, func(s *stage) {
			s.worker(1).make(func(p *process) { p.stubborn = true })
			s.stop()
			synctest.Wait()
			began := time.Now()
			s.in.Kill()
			<-s.ended
			if took := time.Since(began); took > 0 {
				s.Errorf("took %s", took)
			}
		})
	})
	t.Run("ends what is about to start", func(t *testing.T) {
		play(t, func(s *stage) {
			s.next(manner{behave: (*process).serve, launchTime: time.Second})
			id := s.reload()
			s.next(good)
			s.in.Kill()
			pass(2 * time.Second)
			s.verdict(id, control.Rejected, "killed on request")
		})
	})
	t.Run("is a crash when nobody stops", func(t *testing.T) {
		play(t, func(s *stage) {
			s.in.Kill()
			s.expect(Running, 2)
		})
	})
	t.Run("after the end does nothing", func(t *testing.T) {
		play(t, func(s *stage) {
			s.stop()
			<-s.ended
			s.in.Kill()
		})
	})
}

// Whatever workers do and operators ask, the instance ends with nothing left
// and every deploy has its verdict: play checks it.
func TestAnyLifeEndsClean(t *testing.T) {
	behaviours := []func(p *process){
		(*process).serve, (*process).serve, (*process).serve, (*process).join,
		func(p *process) { p.exit(worker.Exit{Code: 1}) },
		func(p *process) { p.make(func(p *process) { p.stubborn, p.mute = true, true }); p.serve() },
		func(p *process) { p.serve(); p.exit(worker.Exit{Code: 1}) },
	}
	for seed := range 40 {
		play(t, func(s *stage) {
			for i := range 60 {
				dice := (seed*31 + i*17 + i*i*7) % 97
				m := manner{behave: behaviours[dice%len(behaviours)], launchTime: time.Duration(dice%5) * time.Second}
				if dice%11 == 0 {
					m.pinErr = errDisk
				}
				if dice%13 == 0 {
					m.launchErr = errDisk
				}
				s.next(m)
				switch dice % 4 {
				case 0, 1:
					s.in.Reload()
				case 2:
					s.in.post(func() {
						if g := s.in.serving; g != nil {
							g.process.Signal(syscall.SIGKILL)
						}
					})
				}
				pass(time.Duration(dice) * 100 * time.Millisecond)
			}
		})
	}
}

func TestStatusGivesUpWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := NewInstance(Plan{Config: Config{Program: "chat"}, Launcher: &launcher{t: t}}, Parts{Book: new(Book), Log: slog.New(slog.DiscardHandler)}) // never run
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := in.Status(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the caller's deadline", err)
		}
	})
}
