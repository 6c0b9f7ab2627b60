package supervise

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// baked is an instance whose builds are on trial for half a minute.
var baked = Config{Program: "chat", Bake: 30 * time.Second}

func TestABuildIsGoodWhenItHasBaked(t *testing.T) {
	playWith(t, baked, func(s *stage) {
		s.expect(Running, 1) // there is nothing to return to
		id := s.reload()
		s.expect(Baking, 2)
		pass(30*time.Second - time.Millisecond)
		s.verdict(id, control.Pending)
		pass(time.Millisecond)
		s.verdict(id, control.Accepted)
		s.expect(Running, 2)
		s.crash(2)
		s.expect(Running, 3)
		if got := s.status().Build.SHA256; got != "2" {
			s.Errorf("build %s is started again, want the second", got)
		}
	})
}

// What ends a trial against the build, and what its verdict says.
func TestWhatFailsOnTrialIsTakenBack(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(p *process)
		says string
	}{
		"a crash":     {func(p *process) { p.exit(worker.Exit{Code: 2}) }, "5s after it took over: exit status 2"},
		"a clean end": {func(p *process) { p.exit(worker.Exit{}) }, "exit status 0"},
		"a signal":    {func(p *process) { p.exit(worker.Exit{Code: -1, Signal: syscall.SIGSEGV}) }, "killed by SIGSEGV"},
		"silence":     {func(p *process) { p.make(func(p *process) { p.mute = true }) }, "hung: no answer to"},
	} {
		t.Run(name, func(t *testing.T) {
			playWith(t, baked, func(s *stage) {
				id := s.reload()
				pass(5 * time.Second)
				test.end(s.worker(2))
				pass(20 * time.Second)
				s.verdict(id, control.Returned, test.says, "first words")
				s.expect(Running, 3)
				if got := s.status().Build.SHA256; got != "1" {
					s.Errorf("build %s serves, want the first", got)
				}
				if s.pinned() != 2 {
					s.Errorf("%d builds were pinned: what was good must be started again as it was", s.pinned())
				}
				s.next(good)
				s.verdict(s.reload(), control.Pending)
				pass(time.Minute)
				s.expect(Running, 4)
			})
		})
	}
}

// The plan belongs to the build: what comes back comes back as it was.
func TestAReturnBringsTheOldPlanBack(t *testing.T) {
	playWith(t, baked, func(s *stage) {
		other := &launcher{t: t, manner: good}
		defer other.checkLeftLater(s)
		id := s.book.Begin("chat", "")
		err := s.in.ReloadAs(id, Plan{Config: Config{Bake: time.Minute, ReadyTimeout: time.Second}, Launcher: other})
		if err != nil {
			s.Fatal(err)
		}
		synctest.Wait()
		s.expect(Baking, 2)
		other.worker(2).exit(worker.Exit{Code: 1})
		synctest.Wait()
		s.verdict(id, control.Returned)
		s.expect(Running, 3)
		s.worker(3) // started by the first launcher
	})
}

// checkLeftLater checks l once the stage is over.
func (l *launcher) checkLeftLater(s *stage) { s.Cleanup(l.checkLeft) }

func TestALaterDeployBreaksATrialOff(t *testing.T) {
	t.Run("and takes over", func(t *testing.T) {
		playWith(t, baked, func(s *stage) {
			first := s.reload()
			pass(5 * time.Second)
			second := s.reload()
			s.verdict(first, control.Accepted, "a later deploy took over")
			s.expect(Baking, 3)
			s.crash(3)
			s.verdict(second, control.Returned)
			s.expect(Running, 4)
			if got := s.status().Build.SHA256; got != "1" {
				s.Errorf("build %s serves: only the first has proved good", got)
			}
		})
	})
	t.Run("and fails", func(t *testing.T) {
		playWith(t, baked, func(s *stage) {
			first := s.reload()
			pass(5 * time.Second)
			s.next(manner{launchErr: errDisk})
			s.verdict(s.reload(), control.Rejected)
			s.expect(Baking, 2)
			s.verdict(first, control.Pending)
			pass(25 * time.Second)
			s.verdict(first, control.Accepted)
		})
	})
	t.Run("and the trial ends meanwhile", func(t *testing.T) {
		playWith(t, baked, func(s *stage) {
			first := s.reload()
			pass(25 * time.Second)
			s.next(manner{behave: (*process).join})
			second := s.reload()
			pass(5 * time.Second)
			s.verdict(first, control.Accepted)
			s.expect(Swapping, 2)
			pass(time.Minute)
			s.verdict(second, control.Rejected)
			s.expect(Running, 2)
		})
	})
	t.Run("and the trial fails meanwhile", func(t *testing.T) {
		playWith(t, baked, func(s *stage) {
			first := s.reload()
			s.next(manner{behave: (*process).join})
			second := s.reload()
			s.crash(2)
			s.verdict(first, control.Returned)
			s.expect(Starting, 3)
			s.worker(3).notify(worker.Ready{})
			synctest.Wait()
			s.expect(Baking, 3)
			pass(time.Minute)
			s.verdict(second, control.Accepted)
		})
	})
}

func TestAStopInATrialIsNoBlame(t *testing.T) {
	playWith(t, baked, func(s *stage) {
		id := s.reload()
		if err := s.in.Stop(); err != nil {
			s.Fatal(err)
		}
		synctest.Wait()
		s.verdict(id, control.Accepted, "before its bake was over", "stopped")
		s.expect(Stopped, 0)
	})
}

// pulse is a health check's other end.
type pulse struct{ sick atomic.Bool }

func (p *pulse) dial(context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		if _, err := http.ReadRequest(bufio.NewReader(theirs)); err != nil {
			return
		}
		status := "200 OK"
		if p.sick.Load() {
			status = "503 Service Unavailable"
		}
		fmt.Fprintf(theirs, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", status)
	}()
	return ours, nil
}

func (p *pulse) config(bake time.Duration) Config {
	return Config{Program: "chat", Bake: bake, Health: Health{Path: "/readyz", Dial: p.dial}}
}

func TestAnUnfitBuildServesUntilTheGoodOneIsBack(t *testing.T) {
	var p pulse
	playWith(t, p.config(30*time.Second), func(s *stage) {
		id := s.reload()
		p.sick.Store(true)
		s.next(manner{behave: (*process).join})
		pass(16 * time.Second)
		s.expect(Swapping, 2)
		if heard[proto.Drain](s.worker(2)) > 0 {
			s.Error("it is drained before another one serves")
		}
		s.verdict(id, control.Pending)
		p.sick.Store(false)
		s.worker(3).notify(worker.Ready{})
		synctest.Wait()
		s.verdict(id, control.Returned, "unhealthy: 3 checks in a row failed", "503", "first words")
		s.expect(Running, 3)
		if got := s.status().Build.SHA256; got != "1" {
			s.Errorf("build %s serves, want the first", got)
		}
	})
}

func TestAnUnfitBuildServesOnWhileTheGoodOneCannotStart(t *testing.T) {
	var p pulse
	playWith(t, p.config(30*time.Second), func(s *stage) {
		id := s.reload()
		p.sick.Store(true)
		s.next(manner{launchErr: errDisk})
		pass(2 * time.Minute)
		if got := s.status(); got.Gen != 2 || got.State != "baking" && got.State != "swapping" {
			s.Fatalf("%+v: want the unfit one serving", got)
		}
		s.verdict(id, control.Pending)
		p.sick.Store(false)
		s.next(good)
		pass(2 * time.Minute)
		s.verdict(id, control.Returned, "unhealthy")
		if got := s.status(); got.State != "running" || got.Build.SHA256 != "1" {
			s.Errorf("%+v: want the first build running", got)
		}
	})
}

// A check that failed last decides nothing, either way.
func TestATrialWaitsForAFailingCheck(t *testing.T) {
	var p pulse
	playWith(t, p.config(30*time.Second), func(s *stage) {
		id := s.reload()
		pass(24 * time.Second)
		p.sick.Store(true)
		pass(5900 * time.Millisecond)
		s.verdict(id, control.Pending)
		pass(200 * time.Millisecond)
		s.verdict(id, control.Pending)
		p.sick.Store(false)
		pass(20 * time.Second)
		s.verdict(id, control.Accepted)
	})
}

func TestAnUnhealthyWorkerIsStartedAgain(t *testing.T) {
	var p pulse
	playWith(t, p.config(0), func(s *stage) {
		pass(2 * time.Minute)
		p.sick.Store(true)
		pass(30 * time.Second)
		p.sick.Store(false)
		pass(3 * time.Second)
		if got := s.status(); got.Gen != 2 || got.State != "running" {
			s.Errorf("%+v: want the second generation running", got)
		}
		if signals := s.worker(1).signalled(); len(signals) == 0 || signals[0] != syscall.SIGABRT {
			s.Errorf("it got %v, want SIGABRT first", signals)
		}
	})
}

func TestRollback(t *testing.T) {
	play(t, func(s *stage) {
		rollback := func() string {
			id, err := s.in.Rollback()
			if err != nil {
				s.Fatal(err)
			}
			synctest.Wait()
			return id
		}
		s.verdict(rollback(), control.Rejected, ErrNoPrevious.Error())
		s.expect(Running, 1)
		s.reload()
		s.verdict(rollback(), control.Accepted)
		s.expect(Running, 3)
		if got := s.status().Build.SHA256; got != "1" {
			s.Errorf("build %s serves, want the first", got)
		}
		s.verdict(rollback(), control.Accepted) // there and back again
		if got := s.status().Build.SHA256; got != "2" {
			s.Errorf("build %s serves, want the second", got)
		}
		if s.pinned() != 2 {
			s.Errorf("%d builds were pinned, want 2", s.pinned())
		}
	})
}

func TestARollbackInATrialGoesToTheLastGoodBuild(t *testing.T) {
	playWith(t, baked, func(s *stage) {
		first := s.reload()
		second, err := s.in.Rollback()
		if err != nil {
			s.Fatal(err)
		}
		pass(time.Minute)
		s.verdict(first, control.Accepted, "a later deploy took over")
		s.verdict(second, control.Accepted)
		if got := s.status().Build.SHA256; got != "1" {
			s.Errorf("build %s serves, want the first", got)
		}
		if _, err := s.in.Rollback(); err != nil {
			s.Fatal(err)
		}
		pass(time.Minute)
		s.expect(Running, 3) // nothing else has proved good
	})
}

// A rollback that has to wait for a restart still brings the build it meant.
func TestAQueuedRollback(t *testing.T) {
	play(t, func(s *stage) {
		s.reload()
		s.next(manner{behave: (*process).serve, launchTime: 3 * time.Second})
		s.crash(2)
		s.next(good)
		if _, err := s.in.Rollback(); err != nil {
			s.Fatal(err)
		}
		pass(5 * time.Second)
		s.expect(Running, 4)
		if got := s.status().Build.SHA256; got != "1" || s.pinned() != 2 {
			s.Errorf("build %s serves of %d, want the first of 2", got, s.pinned())
		}
	})
}

func TestStopAndStart(t *testing.T) {
	play(t, func(s *stage) {
		if err := s.in.Stop(); err != nil {
			s.Fatal(err)
		}
		if state, err := s.in.Await(s.Context(), func(s State) bool { return s == Stopped }); err != nil || state != "stopped" {
			s.Fatalf("%s, %v", state, err)
		}
		pass(time.Hour)
		s.expect(Stopped, 0)
		if err := s.in.Signal(syscall.SIGUSR1); !errors.Is(err, ErrNotRunning) {
			s.Errorf("a signal to nobody: %v", err)
		}
		if err := s.in.Start(Plan{Launcher: s.launcher}); err != nil {
			s.Fatal(err)
		}
		synctest.Wait()
		s.expect(Running, 2)
		if s.pinned() != 2 {
			s.Error("a start takes what is there now")
		}
		if err := s.in.Signal(syscall.SIGUSR1); err != nil {
			s.Error(err)
		}
	})
}

func TestAnEndThatThePolicyLeavesAtThat(t *testing.T) {
	play(t, func(s *stage) {
		s.worker(1).exit(worker.Exit{})
		synctest.Wait()
		s.expect(Stopped, 0)
		pass(time.Hour)
		s.expect(Stopped, 0)
		if got := s.status(); got.LastExit != "exit status 0" || got.Restarts != 0 {
			s.Errorf("%+v", got)
		}
	})
}

func TestTheOldestOfTooManyGenerationsIsEnded(t *testing.T) {
	playWith(t, Config{Program: "chat", Stack: 2, DrainTimeout: 10 * time.Minute}, func(s *stage) {
		s.next(manner{behave: func(p *process) {
			p.make(func(p *process) { p.stubborn = true })
			p.serve()
		}})
		for range 4 {
			s.verdict(s.reload(), control.Accepted)
		}
		if d := s.status().Draining; len(d) != 2 || d[0].Gen != 3 || d[1].Gen != 4 {
			s.Errorf("draining %+v, want generations 3 and 4", d)
		}
		s.expect(Running, 5)
	})
}

func TestReset(t *testing.T) {
	play(t, func(s *stage) {
		for gen := range 4 {
			pass(time.Minute)
			s.crash(gen + 1)
			pass(time.Minute)
		}
		if s.status().Restarts == 0 {
			s.Fatal("no restart is counted")
		}
		if err := s.in.Reset(); err != nil {
			s.Fatal(err)
		}
		if got := s.status(); got.Restarts != 0 || got.LastExit != "" || got.State != "running" {
			s.Errorf("%+v", got)
		}
	})
}

// A fresh worker of the same build, as it was, though something else lies in
// its place; nothing is swapped while something else is going on.
func TestRenew(t *testing.T) {
	playWith(t, baked, func(s *stage) {
		id, err := s.in.Renew("memory_max: 500.0M of 400M")
		if err != nil {
			s.Fatal(err)
		}
		synctest.Wait()
		s.expect(Baking, 2)
		if _, err := s.in.Renew("again"); !errors.Is(err, ErrNotRunning) {
			s.Errorf("while another bakes: %v", err)
		}
		pass(time.Minute)
		s.verdict(id, control.Accepted)
		if d := s.deploy(id); d.By != "memory_max: 500.0M of 400M" {
			s.Errorf("deploy %+v", d)
		}
		if s.pinned() != 1 {
			s.Errorf("%d builds were pinned, want the first only", s.pinned())
		}
	})
}

// A rollback that waits holds the build that is to come, which something else
// holds too.
func TestAStopWhileARollbackWaits(t *testing.T) {
	play(t, func(s *stage) {
		s.reload()
		s.next(manner{behave: (*process).join})
		s.crash(2)
		id, err := s.in.Rollback()
		if err != nil {
			s.Fatal(err)
		}
		synctest.Wait()
		s.stop()
		<-s.ended
		s.verdict(id, control.Rejected, ErrStopping.Error())
	})
}
