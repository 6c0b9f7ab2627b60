package e2e

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Twenty people press the button at once: it ends with one more worker, every
// request has its verdict, and no client notices.
func TestABurstOfHangupsEndsInOneDeploy(t *testing.T) {
	s := open(t, binaries.app(t, "aaaa"))
	before := s.mustHealth()
	s.install(binaries.app(t, "bbbb"))
	prober := &prober{addr: s.addr}
	probing, stop := context.WithCancel(t.Context())
	var probes sync.WaitGroup
	probes.Go(func() { prober.run(probing, 100) })
	for range 20 {
		s.signal(syscall.SIGHUP)
		time.Sleep(50 * time.Millisecond) // else the kernel makes one of them
	}
	var st status
	s.eventually("every request has a verdict", func() bool {
		var err error
		if st, err = s.status(); err != nil || len(st.Deploys) == 0 {
			return false
		}
		for _, d := range st.Deploys {
			if d.Verdict == "pending" {
				return false
			}
		}
		i := st.Programs[0].Instances[0]
		return i.State == "running" && len(i.Draining) == 0
	})
	stop()
	probes.Wait()
	for _, d := range st.Deploys {
		if d.Verdict != "accepted" {
			t.Errorf("deploy %s was %s: %s", d.ID, d.Verdict, d.Reason)
		}
	}
	if after := s.mustHealth(); after.Commit != "bbbb" || after.Gen <= before.Gen {
		t.Errorf("%+v serves after %+v", after, before)
	}
	if prober.refused > 0 || len(prober.failures) > 0 {
		t.Errorf("%d requests refused, %v failed", prober.refused, prober.failures)
	}
	if n := len(s.workers()); n != 1 {
		t.Errorf("%d workers are left, want 1", n)
	}
	t.Logf("%d deploys, %d requests answered", len(st.Deploys), prober.ok)
}
