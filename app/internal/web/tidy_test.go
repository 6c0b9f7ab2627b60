package web

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
)

// envAlone is set in a process that runs one test alone.
const envAlone = "WEB_TEST_ALONE"

// TestMemoryIsGivenBack runs in a process of its own: what other tests have strewn
// over the heap cannot be given back.
func TestMemoryIsGivenBack(t *testing.T) {
	if os.Getenv(envAlone) == "" {
		c := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		c.Env = append(os.Environ(), envAlone+"=1")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	crowd := newTidy()
	asked := func() (due bool) {
		for range tidyEvery {
			due = crowd.due() || due
		}
		return due
	}
	garbage := make([]byte, 200<<20)
	for i := range garbage {
		garbage[i] = 1
	}
	runtime.KeepAlive(garbage)
	garbage = nil
	runtime.GC() // it is known to be garbage, and still held
	if !asked() {
		t.Error("200 MB of garbage are not worth while")
	}
	giveBack()
	if asked() {
		t.Error("it is still worth while after everything was given back")
	}
}

func TestWasteful(t *testing.T) {
	for _, c := range []struct {
		holds, needs uint64
		want         bool
	}{{20 << 20, 10 << 20, false}, {22 << 20, 10 << 20, true}, {100 << 20, 80 << 20, false}, {200 << 20, 80 << 20, true}} {
		if got := wasteful(c.holds, c.needs); got != c.want {
			t.Errorf("%d MB held of %d MB needed: %v", c.holds>>20, c.needs>>20, got)
		}
	}
}
