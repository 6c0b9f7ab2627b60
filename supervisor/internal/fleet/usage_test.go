package fleet

import (
	"os"
	"testing"
	"time"
)

func TestResidentBytes(t *testing.T) {
	if got := residentBytes(os.Getpid()); got < 1<<20 || got > 1<<36 {
		t.Errorf("this process has %d bytes", got)
	}
	for _, pid := range []int{0, -1, 1 << 30} {
		if got := residentBytes(pid); got != 0 {
			t.Errorf("process %d, which does not exist, has %d bytes", pid, got)
		}
	}
}

func TestProcessorTime(t *testing.T) {
	var u usage
	self := os.Getpid()
	began := time.Now()
	u.measure([]int{self}, began)
	if got := u.percent(self); got != 0 {
		t.Errorf("%v %% after one look", got)
	}
	for x := 1; time.Since(began) < 300*time.Millisecond; x++ { // keep a processor busy
	}
	u.measure([]int{self, 1 << 30}, time.Now())
	if got := u.percent(self); got < 20 || got > 6400 {
		t.Errorf("%v %% of a busy loop", got)
	}
	if got := u.percent(1 << 30); got != 0 {
		t.Errorf("a process that does not exist took %v %%", got)
	}
	u.measure(nil, time.Now())
	if len(u.times) != 0 {
		t.Errorf("%d processes are remembered", len(u.times))
	}
}
