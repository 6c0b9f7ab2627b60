package supervise

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// company is several instances of a program in one synctest bubble.
type company struct {
	*testing.T
	cfg  Config
	book *Book
	all  []*stage
}

// playAll runs scene with n instances, then stops them and checks that nothing is
// left of any.
func playAll(t *testing.T, n int, cfg Config, scene func(c *company)) {
	t.Helper()
	cfg.Program, cfg.Copies = "chat", n
	synctest.Test(t, func(t *testing.T) {
		c := &company{T: t, cfg: cfg, book: new(Book)}
		group := NewGroup()
		var open func()
		open = func() {
			if len(c.all) == n {
				scene(c)
				return
			}
			s := newStage(t)
			s.book = c.book
			cfg.Index = len(c.all)
			s.in = NewInstance(Plan{Config: cfg, Launcher: s.launcher}, Parts{Book: c.book, Log: slog.New(slog.DiscardHandler), Group: group})
			c.all = append(c.all, s)
			s.perform(func(*stage) { open() })
		}
		open()
	})
}

// reload deploys to all.
func (c *company) reload() (id string) {
	c.Helper()
	id, _ = c.reloadOf(len(c.all))
	return id
}

// reloadOf is reload as if there were so many instances.
func (c *company) reloadOf(instances int) (id string, roll *Roll) {
	c.Helper()
	id = c.book.Begin("chat", "test")
	roll = c.book.Roll(id, instances)
	for i, s := range c.all {
		cfg := c.cfg
		cfg.Index = i
		if err := s.in.ReloadIn(roll, Plan{Config: cfg, Launcher: s.launcher}); err != nil {
			c.Fatal(err)
		}
	}
	synctest.Wait()
	return id, roll
}

// expect checks every instance.
func (c *company) expect(state State, gen int) {
	c.Helper()
	for _, s := range c.all {
		s.expect(state, gen)
	}
}

func (c *company) verdict(id string, want control.Verdict, words ...string) {
	c.Helper()
	c.all[0].verdict(id, want, words...)
}

// slow is a good worker that takes its time.
func slow(d time.Duration) manner {
	return manner{behave: func(p *process) { time.Sleep(d); p.serve() }}
}

func TestNobodyTakesOverBeforeAllAreReady(t *testing.T) {
	playAll(t, 3, Config{}, func(c *company) {
		c.all[2].next(slow(5 * time.Second))
		id := c.reload()
		pass(4 * time.Second)
		for _, s := range c.all {
			s.expect(Swapping, 1)
		}
		pass(2 * time.Second)
		c.expect(Running, 2)
		c.verdict(id, control.Accepted)
	})
}

// An instance that was lost with a supervisor before is not waited for, also by those
// that are ready already.
func TestALostInstanceIsNotWaitedFor(t *testing.T) {
	playAll(t, 2, Config{Bake: 10 * time.Second}, func(c *company) {
		id, roll := c.reloadOf(3)
		pass(time.Second)
		c.expect(Swapping, 1)
		roll.complete()
		pass(time.Second)
		c.expect(Baking, 2)
		pass(10 * time.Second)
		c.expect(Running, 2)
		c.verdict(id, control.Accepted)
	})
}

func TestOneThatDoesNotGetReadyRejectsAll(t *testing.T) {
	playAll(t, 3, Config{}, func(c *company) {
		c.all[1].next(manner{behave: func(p *process) { time.Sleep(time.Second); p.exit(worker.Exit{Code: 7}) }})
		id := c.reload()
		pass(2 * time.Second)
		c.verdict(id, control.Rejected, "instance 1", "exit status 7")
		c.expect(Running, 1)
		for _, s := range c.all {
			s.next(good)
		}
		c.verdict(c.reload(), control.Accepted)
	})
}

func TestOneThatWaitsForTheOthersAndDiesRejectsAll(t *testing.T) {
	playAll(t, 3, Config{}, func(c *company) {
		c.all[0].next(slow(5 * time.Second))
		c.all[1].next(manner{behave: func(p *process) { p.serve(); time.Sleep(time.Second); p.exit(worker.Exit{Code: 7}) }})
		id := c.reload()
		pass(2 * time.Second)
		c.verdict(id, control.Rejected, "instance 1", "exit status 7 while it waited to take over")
		pass(4 * time.Second) // the slow one was killed before
		c.expect(Running, 1)
	})
}

func TestOneThatFailsOnTrialTakesAllBack(t *testing.T) {
	playAll(t, 3, Config{Bake: time.Minute}, func(c *company) {
		id := c.reload()
		pass(30 * time.Second)
		c.all[0].expect(Baking, 2)
		c.all[2].worker(2).exit(worker.Exit{Code: 9})
		pass(5 * time.Second)
		c.verdict(id, control.Returned, "instance 2", "exit status 9")
		for _, s := range c.all {
			s.expect(Running, 3)
			if s.worker(3).build.number != 1 {
				c.Error("an instance serves another build than the one before")
			}
		}
	})
}

// Until the last one has baked the first ones can still be taken back.
func TestABuildIsGoodForAllAtOnce(t *testing.T) {
	playAll(t, 2, Config{Bake: time.Minute}, func(c *company) {
		c.all[0].next(manner{behave: func(p *process) { p.serve() }})
		id := c.reload()
		pass(59 * time.Second)
		c.expect(Baking, 2)
		c.verdict(id, control.Pending)
		pass(2 * time.Second)
		c.expect(Running, 2)
		c.verdict(id, control.Accepted)
	})
}

func TestALaterDeployOfAllSupersedes(t *testing.T) {
	playAll(t, 3, Config{}, func(c *company) {
		c.all[1].next(slow(5 * time.Second))
		first := c.reload()
		c.all[1].next(good)
		second := c.reload()
		pass(10 * time.Second)
		c.verdict(first, control.Accepted)
		c.verdict(second, control.Accepted)
		c.expect(Running, 3)
	})
}

func TestARollbackOfAll(t *testing.T) {
	playAll(t, 2, Config{}, func(c *company) {
		c.reload()
		id := c.book.Begin("chat", "test")
		roll := c.book.Roll(id, 2)
		for _, s := range c.all {
			s.in.RollbackIn(roll)
		}
		synctest.Wait()
		c.verdict(id, control.Accepted)
		for _, s := range c.all {
			if s.worker(3).build.number != 1 {
				c.Error("another build than the one before serves")
			}
		}
	})
}

// What one publishes reaches the workers of all others, once.
func TestWorkersOfAllInstancesHearEachOther(t *testing.T) {
	playAll(t, 3, Config{}, func(c *company) {
		c.all[0].worker(1).says(proto.Publish{Data: []byte("news")})
		synctest.Wait()
		for i, want := range []int{0, 1, 1} {
			if got := heard[proto.Deliver](c.all[i].worker(1)); got != want {
				c.Errorf("instance %d heard it %d times, want %d", i, got, want)
			}
		}
		peers := c.all[2].worker(1).received(proto.KindPeers)
		if last := peers[len(peers)-1].(proto.Peers); last.N != 2 {
			c.Errorf("a worker is told of %d others, want 2", last.N)
		}
	})
}

// Whatever happens when: each deploy has a verdict, and changes the good build of
// all instances or of none.
func TestRandomDeploysOfAll(t *testing.T) {
	for seed := range uint64(40) {
		playAll(t, 3, Config{Bake: 20 * time.Second, ReadyTimeout: 5 * time.Second}, func(c *company) {
			random := rand.New(rand.NewPCG(seed, 8))
			for range 25 {
				for _, s := range c.all {
					s.next(randomManner(random))
				}
				switch random.IntN(3) {
				case 0:
					c.reload()
				case 1:
					s := c.all[random.IntN(3)]
					if st := s.status(); st.Gen > 0 && st.State != "backoff" {
						s.worker(st.Gen).exit(worker.Exit{Code: 1})
					}
				}
				pass(time.Duration(random.IntN(15)) * time.Second)
			}
			for _, s := range c.all {
				s.next(good)
			}
			pass(5 * time.Minute)
			id := c.reload()
			pass(5 * time.Minute)
			c.verdict(id, control.Accepted)
			before := c.goodBuilds()
			c.all[random.IntN(3)].next(failsOnce())
			id = c.reload()
			pass(5 * time.Minute)
			c.verdict(id, control.Returned)
			if after := c.goodBuilds(); after != before {
				c.Errorf("seed %d: good builds are %v after a return, %v before", seed, after, before)
			}
		})
	}
}

// failsOnce is a worker that fails three seconds after it took over, and good ones
// after it.
func failsOnce() manner {
	var once sync.Once
	return manner{behave: func(p *process) {
		p.serve()
		once.Do(func() {
			time.Sleep(3 * time.Second)
			p.exit(worker.Exit{Code: 1})
		})
	}}
}

// randomManner is that of a worker that may fail.
func randomManner(random *rand.Rand) manner {
	wait := time.Duration(random.IntN(7000)) * time.Millisecond
	switch random.IntN(4) {
	case 0:
		return manner{behave: func(p *process) { time.Sleep(wait); p.exit(worker.Exit{Code: 1}) }}
	case 1:
		return manner{behave: func(p *process) { p.serve(); time.Sleep(3 * wait); p.exit(worker.Exit{Code: 1}) }}
	}
	return slow(wait / 2)
}

// goodBuilds are the numbers of the last good build of each instance.
func (c *company) goodBuilds() (numbers [3]int) {
	for i, s := range c.all {
		done := make(chan struct{})
		s.in.ask(func() { numbers[i] = s.in.lastGood.build.(*build).number; close(done) })
		<-done
	}
	return numbers
}
