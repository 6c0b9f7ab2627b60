package worker

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// guarded starts a program with a keeper.
func guarded(t *testing.T, behaviour string, g Guard) *run {
	t.Helper()
	r := start(t, behaviour)
	if err := r.Guard(g); err != nil {
		t.Fatal(err)
	}
	return r
}

// letGo is what the death of the supervisor does to a leash.
func letGo(t *testing.T, r *run) {
	t.Helper()
	r.mu.Lock()
	l := r.leash
	r.leash = nil
	r.mu.Unlock()
	unix.Close(l.fd)
	t.Cleanup(func() { syscall.Wait4(l.pid, nil, 0, nil) })
}

func TestAProgramEndsWithItsLeash(t *testing.T) {
	r := guarded(t, "wait", Guard{syscall.SIGTERM, time.Minute})
	letGo(t, r)
	if exit := r.end(); exit.Signal != syscall.SIGTERM {
		t.Errorf("it ended with %v, want SIGTERM", exit)
	}
}

func TestAProgramThatIgnoresItsSignalIsKilled(t *testing.T) {
	r := guarded(t, "wait", Guard{syscall.SIGURG, 100 * time.Millisecond}) // which Go ignores
	letGo(t, r)
	if exit := r.end(); exit.Signal != syscall.SIGKILL {
		t.Errorf("it ended with %v, want SIGKILL", exit)
	}
}

// A keeper that is not needed ends, and nothing of it is left.
func TestAKeeperEndsWithItsProgram(t *testing.T) {
	r := guarded(t, "wait", Guard{syscall.SIGTERM, time.Minute})
	keeper := r.leash.pid
	r.Signal(syscall.SIGTERM)
	r.end()
	if _, err := os.Stat("/proc/" + strconv.Itoa(keeper)); err == nil {
		t.Error("the keeper is left")
	}
	again := guarded(t, "wait", Guard{syscall.SIGTERM, time.Minute})
	keeper = again.leash.pid
	again.Unguard()
	if _, err := os.Stat("/proc/" + strconv.Itoa(keeper)); err == nil {
		t.Error("the keeper is left after Unguard")
	}
	if state, err := os.ReadFile("/proc/" + strconv.Itoa(again.PID()) + "/stat"); err != nil || strings.Contains(string(state), ") Z") {
		t.Error("Unguard ended the program")
	}
}

// Whoever says that it ends by itself may be quicker than the goroutine that is
// about to guard it.
func TestAProgramThatEndsByItselfIsNotGuarded(t *testing.T) {
	r := start(t, "wait")
	r.Unguard()
	if err := r.Guard(Guard{syscall.SIGTERM, time.Minute}); err != nil {
		t.Fatal(err)
	}
	if r.leash != nil || r.Handles().Keeper != -1 {
		t.Errorf("it has a keeper: %+v", r.leash)
	}
}

// Its signals are the program's alone.
func TestAKeeperIsInAGroupOfItsOwn(t *testing.T) {
	r := guarded(t, "wait", Guard{syscall.SIGTERM, time.Minute})
	if group, err := unix.Getpgid(r.leash.pid); err != nil || group == r.PID() {
		t.Errorf("its group is %d (%v), the program's", group, err)
	}
}
