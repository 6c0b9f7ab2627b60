package supervise

import (
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
)

// another starts an instance beside the site's, whose worker has that manner.
func (s *site) another(manner string) (in *Instance, stop func()) {
	s.t.Helper()
	s.next(manner)
	first := s.in
	s.plan.Index++
	s.in = s.instance(fdstore.New(nil, nil))
	stop = s.run()
	s.await("it serves", func(i control.Instance) bool { return i.State == "running" })
	s.next("")
	in, s.in = s.in, first
	return in, stop
}

// leave ends the site's instance, which leaves its connections to heir.
func (s *site) leave(heir *Instance, stop func()) {
	s.t.Helper()
	s.in.LeaveTo(heir)
	s.stop()
	s.in, s.stop = heir, stop
}

// More connections than are on their way at once go to the worker of another
// instance, one of them late; from there they go on as any others do.
func TestAnEndLeavesItsConnections(t *testing.T) {
	t.Parallel()
	s := openSite(t, 150)
	for range 2 {
		s.clients[0].says("slow")
		time.Sleep(100 * time.Millisecond) // it is being handled
		s.leave(s.another(""))
		s.checkClients()
	}
	if d := s.reload(); d.Verdict != control.Accepted {
		t.Errorf("%+v", d)
	}
	s.checkClients()
	s.kill()
	s.settleBroken()
	s.checkClients()
	if len(s.clients) < 75 {
		t.Errorf("%d of 150 clients are left after a kill", len(s.clients))
	}
}

// An heir that is in the middle of a deploy takes what it is left once that is over.
func TestAnHeirReloadsMeanwhile(t *testing.T) {
	t.Parallel()
	s := openSite(t, 100)
	for range 3 {
		heir, stop := s.another("")
		var reloading sync.WaitGroup
		reloading.Go(func() {
			for range 4 {
				heir.Reload()
				time.Sleep(30 * time.Millisecond)
			}
		})
		s.leave(heir, stop)
		reloading.Wait()
		s.await("it serves", func(i control.Instance) bool { return i.State == "running" && len(i.Draining) == 0 })
		s.checkClients()
	}
}

// Whatever step one of them dies at, nobody has two owners, and nobody hangs.
func TestALeavingWorkerOrItsHeirDies(t *testing.T) {
	for _, step := range []string{atAdopt, atLoad} {
		t.Run("heir dies at "+step, func(t *testing.T) {
			t.Parallel()
			s := openSite(t, 30)
			s.leave(s.another("dies " + step))
			s.await("somebody serves", func(i control.Instance) bool { return i.State == "running" })
			s.checkNobodyHangs()
		})
	}
	for _, step := range []string{atSave, atSaveAll} {
		t.Run("leaving one dies at "+step, func(t *testing.T) {
			t.Parallel()
			s := openSite(t, 0)
			s.next("dies " + step)
			s.kill()
			s.await("the mortal one serves", func(i control.Instance) bool { return i.State == "running" && i.Gen == 2 })
			for n := range 30 {
				s.clients = append(s.clients, s.connect(n))
			}
			s.leave(s.another(""))
			s.checkNobodyHangs()
		})
	}
}

// kill kills the serving worker and waits for the next one.
func (s *site) kill() {
	s.t.Helper()
	before := s.status()
	syscall.Kill(before.PID, syscall.SIGKILL)
	s.await("another serves", func(i control.Instance) bool { return i.State == "running" && i.Gen > before.Gen })
}

// checkNobodyHangs fails when a client is neither served nor told that it is over,
// or got anything wrong.
func (s *site) checkNobodyHangs() {
	s.t.Helper()
	time.Sleep(500 * time.Millisecond) // what is over is known by then
	s.settleBroken()
	s.checkClients()
	s.t.Logf("%d clients go on", len(s.clients))
}
