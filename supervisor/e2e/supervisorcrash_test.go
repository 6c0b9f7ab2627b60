package e2e

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A supervisor that is killed is started again and goes on: nobody notices, and
// nothing is forgotten.
func TestNobodyNoticesAKilledSupervisor(t *testing.T) {
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	s := openChat(t, builds[0])
	stop := s.talk(builds[0])
	for i := range 5 {
		time.Sleep(500 * time.Millisecond)
		before, err := s.status()
		if err != nil {
			t.Fatal(err)
		}
		s.crash()
		after, err := s.status()
		if err != nil {
			t.Fatal(err)
		}
		old, now := before.Programs[0].Instances[0], after.Programs[0].Instances[0]
		if now.PID != old.PID || now.Gen != old.Gen || now.State != "running" || now.Restarts != old.Restarts {
			t.Errorf("after crash %d: %+v, before: %+v", i, now, old)
		}
		if len(after.Deploys) != len(before.Deploys) {
			t.Errorf("%d deploys are known, %d before", len(after.Deploys), len(before.Deploys))
		}
		s.place(builds[(i+1)%2])
		if out, code, _ := s.command("reload", "--wait"); code != 0 {
			t.Errorf("the deploy after crash %d: exit %d, %s", i, code, out)
		}
	}
	report, code := stop()
	checkMessages(t, report, 60)
	if code != 0 || report.Disconnects+report.Broken != 0 {
		t.Errorf("exit %d, %d disconnected, %d broken: want 0 and nobody", code, report.Disconnects, report.Broken)
	}
}

// Whatever moment of a deploy a supervisor is killed at: nobody is disconnected,
// the deploy has a verdict, and the next one works.
func TestASupervisorIsKilledInTheMiddleOfADeploy(t *testing.T) {
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	s := openChat(t, builds[0], "--bake", "500ms")
	stop := s.talk(builds[0])
	for i := range 10 {
		s.place(builds[(i+1)%2])
		st, err := s.status()
		if err != nil {
			t.Fatal(err)
		}
		if _, code, err := s.command("reload"); code != 0 {
			t.Fatal(err)
		}
		moment := rand.N(1200 * time.Millisecond)
		time.Sleep(moment)
		if err := kill(st.PID); err != nil {
			t.Fatal(err)
		}
		s.comesUp(st.PID)
		s.eventually("the deploy has a verdict", func() bool {
			after, err := s.status()
			if err != nil || len(after.Deploys) <= len(st.Deploys) {
				return false
			}
			d := after.Deploys[len(after.Deploys)-1]
			if d.Verdict != "pending" {
				t.Logf("killed after %s: %s %s", moment, d.Verdict, d.Reason)
			}
			return d.Verdict != "pending"
		})
		s.serves(fmt.Sprintf("a worker serves after kill %d", i))
	}
	report, code := stop()
	checkMessages(t, report, 60)
	if code != 0 || report.Disconnects+report.Broken != 0 {
		t.Errorf("exit %d, %d disconnected, %d broken: want 0 and nobody", code, report.Disconnects, report.Broken)
	}
}

// What happens while no supervisor runs is found out by the next one.
func TestAWorkerDiesWhileNoSupervisorRuns(t *testing.T) {
	build := binaries.app(t, "aaaa")
	s := openChat(t, build)
	before, err := s.status()
	if err != nil {
		t.Fatal(err)
	}
	worker := before.Programs[0].Instances[0]
	// The supervisor is started again after a while, and the worker has none then.
	if err := kill(before.PID); err != nil {
		t.Fatal(err)
	}
	if err := kill(worker.PID); err != nil {
		t.Fatal(err)
	}
	s.comesUp(before.PID)
	s.eventually("another worker serves", func() bool {
		st, err := s.status()
		now := st.Programs[0].Instances[0]
		return err == nil && now.State == "running" && now.Gen > worker.Gen && now.Restarts == 1
	})
	s.mustHealth()
}

// A plain program goes on too, and is ended with the service.
func TestAPlainProgramOutlivesItsSupervisor(t *testing.T) {
	s := openManaged(t, nil, binaries.tiny(t, "one"), "serve")
	before, err := s.status()
	if err != nil {
		t.Fatal(err)
	}
	s.crash()
	after, err := s.status()
	if err != nil {
		t.Fatal(err)
	}
	if old, now := before.Programs[0].Instances[0], after.Programs[0].Instances[0]; now.PID != old.PID || now.State != "running" {
		t.Errorf("after the crash: %+v, before: %+v", now, old)
	}
	if _, code, err := s.command("reload", "--wait"); code != 0 {
		t.Error(err)
	}
}

// What a supervisor needs is little, however often it is killed and its workers
// are replaced.
func TestTheStoreDoesNotGrow(t *testing.T) {
	build := binaries.app(t, "aaaa")
	s := openChat(t, build)
	first := s.names()
	for range 4 {
		s.crash()
		if _, code, err := s.command("reload", "--wait"); code != 0 {
			t.Fatal(err)
		}
	}
	s.eventually("older workers are gone", func() bool { return len(s.workers()) == 1 })
	if last := s.names(); len(last) > len(first)+1 { // the build before is kept for a rollback
		t.Errorf("%d descriptors in the store, %d at first: %q", len(last), len(first), last)
	}
}

// Where nobody starts the supervisor again, what it supervised ends: workers say
// goodbye by themselves, a plain program is ended by its keeper.
func TestNothingOutlivesASupervisorForGood(t *testing.T) {
	for name, open := range map[string]func() *site{
		"worker": func() *site { return open(t, binaries.app(t, "aaaa"), "--drain-timeout", "2s") },
		"plain":  func() *site { return openCommand(t, binaries.tiny(t, "one"), "serve") },
	} {
		t.Run(name, func(t *testing.T) {
			s := open()
			s.t = t
			workers := s.workers()
			time.Sleep(700 * time.Millisecond) // a plain program is known as one by then
			s.kill()
			for end := time.Now().Add(patience); lives(workers[0]); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("process %d outlives its supervisor", workers[0])
				}
			}
		})
	}
}

// When both die in the same moment everybody reconnects and resumes: nothing is
// lost, doubled or reordered.
func TestASupervisorIsKilledTogetherWithItsWorker(t *testing.T) {
	build := binaries.app(t, "aaaa")
	s := openChat(t, build)
	stop := s.talk(build)
	for range 2 {
		time.Sleep(time.Second)
		st, err := s.status()
		if err != nil {
			t.Fatal(err)
		}
		for _, pid := range []int{st.PID, st.Programs[0].Instances[0].PID} {
			if err := kill(pid); err != nil {
				t.Fatal(err)
			}
		}
		s.comesUp(st.PID)
		s.eventually("everybody is back", func() bool {
			now, err := s.status()
			return err == nil && now.Programs[0].Instances[0].State == "running" && now.Programs[0].Instances[0].Conns >= 300
		})
	}
	r, _ := stop()
	if r.Lost+r.Duplicated+r.Reordered != 0 || r.Acked != r.Sent || r.Received != 60*r.Acked {
		t.Errorf("%d lost, %d duplicated, %d reordered; %d of %d acknowledged, %d copies", r.Lost, r.Duplicated, r.Reordered, r.Acked, r.Sent, r.Received)
	}
}
