package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A worker that keeps crashing comes back again and again, with growing waits,
// and a reload with a good build ends that.
func TestACrashLoopEndsByItself(t *testing.T) {
	good := binaries.app(t, "aaaa")
	s := open(t, good)
	for range 4 {
		h := s.mustHealth()
		if err := kill(h.PID); err != nil {
			t.Fatal(err)
		}
		s.recovered(h)
	}
	// A worker answers a moment before its supervisor has heard that it took over.
	// One that is killed by then has that in its reason.
	var st status
	s.eventually("the last one runs", func() bool {
		var err error
		st, err = s.status()
		return err == nil && st.Programs[0].Instances[0].State == "running"
	})
	i := st.Programs[0].Instances[0]
	if i.Restarts != 4 || !strings.HasPrefix(i.LastExit, "killed by SIGKILL") || i.State != "running" {
		t.Errorf("status %+v, want 4 restarts after SIGKILL", i)
	}
}

// A crash brings back the build that ran, although another one is in place by
// then: only an operator chooses.
func TestACrashRestartRunsThePinnedBuild(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	before := s.mustHealth()
	s.install(filepath.Join(s.dir, "nothing"))
	if err := kill(before.PID); err != nil {
		t.Fatal(err)
	}
	s.recovered(before)
	s.install(binaries.app(t, "bbbb"))
	before = s.mustHealth()
	if err := kill(before.PID); err != nil {
		t.Fatal(err)
	}
	s.recovered(before)
}

// A worker that answers nobody any more is found by its silence and replaced.
func TestAHungWorkerIsReplaced(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	before := s.mustHealth()
	if err := suspend(before.PID); err != nil {
		t.Fatal(err)
	}
	var st status
	s.eventually("the hung worker is replaced", func() bool {
		var err error
		st, err = s.status()
		return err == nil && st.Programs[0].Instances[0].Restarts == 1 && st.Programs[0].Instances[0].State == "running"
	})
	if exit := st.Programs[0].Instances[0].LastExit; !strings.HasPrefix(exit, "hung") {
		t.Errorf("last exit %q, want hung", exit)
	}
	if now := s.mustHealth(); now.Gen <= before.Gen {
		t.Errorf("%+v serves after %+v", now, before)
	}
}

// Without its supervisor a worker gives everything up: its clients are told,
// and it ends by itself.
func TestAnOrphanedWorkerEnds(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	g, err := newGuest(s, "witness", "lobby")
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	var staying sync.WaitGroup
	staying.Go(func() { g.converse(ctx) })
	defer func() { leave(); staying.Wait() }()
	s.eventually("the witness is connected", func() bool {
		connected := false
		g.note(func() { connected = g.epoch != "" })
		return connected
	})
	h := s.mustHealth()
	s.kill()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(procDir(h.PID)); err != nil {
			break
		}
		if time.Now().After(end) {
			t.Error("the worker outlived its supervisor")
			kill(h.PID)
			break
		}
	}
	staying.Wait()
	if !slices.Equal(g.closes, []string{"closed 1001"}) {
		t.Errorf("the witness was not told goodbye: %v", g.closes)
	}
}
