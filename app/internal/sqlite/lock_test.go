package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/chat/chattest"
)

// hung is a process that keeps the lock and does not run.
func hung(t *testing.T, dir string) *chattest.Process {
	t.Helper()
	p := start(t, "hold", dir)
	if line := p.Line(); line != "held" {
		t.Fatal(line)
	}
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	return p
}

// wantHeldUp checks that err is unavailable because of p, and says so.
func wantHeldUp(t *testing.T, p *chattest.Process, err error) {
	t.Helper()
	if !errors.Is(err, chat.ErrUnavailable) || !strings.Contains(err.Error(), fmt.Sprintf("process %d keeps", p.PID())) {
		t.Errorf("got %v, want unavailable because of process %d", err, p.PID())
	}
}

func TestHungHolderIsNamedInTime(t *testing.T) {
	const wait = time.Second
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, Options{LockWait: wait})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	wantAppends(t, s)
	p := hung(t, dir)

	begin := time.Now()
	var wg sync.WaitGroup
	for i := range 8 { // those who queue behind the first must not wait longer
		wg.Go(func() {
			_, err := s.Append(t.Context(), posts("lobby", fmt.Sprint(i), 1))
			wantHeldUp(t, p, err)
		})
	}
	wg.Go(func() { wantHeldUp(t, p, s.Ping(t.Context())) })
	wg.Wait()
	if took := time.Since(begin); took < wait || took > 4*wait {
		t.Errorf("the appends ended after %v, want about %v", took, wait)
	}
	if _, err := s.After(t.Context(), "lobby", 0, 10); err != nil {
		t.Errorf("a read waited for a writer: %v", err)
	}
	_, err = Open(t.Context(), dir, Options{LockWait: wait})
	wantHeldUp(t, p, err)

	p.Signal(syscall.SIGCONT)
	p.Next()
	p.Rest()
	wantAppends(t, s)
}

func TestKilledHolderFreesTheLock(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	t.Cleanup(func() { s.Close() })
	p := hung(t, dir)
	time.AfterFunc(100*time.Millisecond, func() { p.Signal(syscall.SIGKILL) })
	wantAppends(t, s) // it waits, and goes on
}

func TestContextEndsTheWaitForTheLock(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	t.Cleanup(func() { s.Close() })
	hung(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := s.Append(ctx, posts("lobby", "n", 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("append = %v, want context.DeadlineExceeded", err)
	}
	if _, err := Open(ctx, dir, Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("open = %v, want context.DeadlineExceeded", err)
	}
	if took := time.Since(begin); took > 3*time.Second { // without it, 5 s each
		t.Errorf("the context ended after 50 ms, the call after %v", took)
	}
}

// TestForeignWriterIsWaitedFor: a tool that knows nothing of the lock, such as
// a backup, may write too.
func TestForeignWriterIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir, Options{LockWait: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	db, err := sql.Open("sqlite", directory{dir}.database())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), posts("lobby", "n", 1)); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("append = %v, want chat.ErrUnavailable", err)
	}
	if _, err := db.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	wantAppends(t, s)
}

// TestAbandonedAttemptKeepsNothing: what a caller gave up waiting for must not
// lock out the others when it comes after all.
func TestAbandonedAttemptKeepsNothing(t *testing.T) {
	dir := t.TempDir()
	holder, idle, other := lockIn(t, dir), lockIn(t, dir), lockIn(t, dir)
	soon := func() time.Time { return time.Now().Add(50 * time.Millisecond) }
	if err := holder.acquire(t.Context(), soon()); err != nil {
		t.Fatal(err)
	}
	for range 3 { // all three are one attempt
		if err := idle.acquire(t.Context(), soon()); !errors.Is(err, chat.ErrUnavailable) {
			t.Fatalf("acquire = %v, want unavailable", err)
		}
	}
	holder.release() // the attempt of idle gets it now
	if err := other.acquire(t.Context(), time.Now().Add(5*time.Second)); err != nil {
		t.Fatalf("an attempt that nobody wanted kept the lock: %v", err)
	}
	// A caller that comes while an attempt blocks takes it over.
	if err := idle.acquire(t.Context(), soon()); !errors.Is(err, chat.ErrUnavailable) {
		t.Fatalf("acquire = %v, want unavailable", err)
	}
	released := make(chan struct{})
	time.AfterFunc(20*time.Millisecond, func() { defer close(released); other.release() })
	if err := idle.acquire(t.Context(), time.Now().Add(5*time.Second)); err != nil {
		t.Fatal(err)
	}
	<-released
	if err := other.acquire(t.Context(), soon()); !errors.Is(err, chat.ErrUnavailable) {
		t.Fatalf("two have the lock: %v", err)
	}
	idle.release()
}

func TestClosedLockLeavesNoAttempt(t *testing.T) {
	dir := t.TempDir()
	holder, idle, other := lockIn(t, dir), lockIn(t, dir), lockIn(t, dir)
	if err := holder.acquire(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := idle.acquire(t.Context(), time.Now()); !errors.Is(err, chat.ErrUnavailable) {
		t.Fatalf("acquire = %v, want unavailable", err)
	}
	idle.close() // its attempt still blocks
	holder.close()
	if err := other.acquire(t.Context(), time.Now().Add(5*time.Second)); err != nil {
		t.Fatal(err)
	}
}

// TestLockExcludes has many holders come and go, some of them impatient.
func TestLockExcludes(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	inside := make(chan struct{}, 1) // full while somebody has the lock
	for i := range 6 {
		l := lockIn(t, dir)
		wg.Go(func() {
			for k := range 50 {
				patience := time.Duration((i*50+k)%7) * 200 * time.Microsecond
				if l.acquire(t.Context(), time.Now().Add(patience)) != nil {
					continue
				}
				select {
				case inside <- struct{}{}:
				default:
					t.Error("two have the lock")
					return
				}
				time.Sleep(100 * time.Microsecond)
				<-inside
				l.release()
			}
		})
	}
	wg.Wait()
}

func lockIn(t *testing.T, dir string) *fileLock {
	t.Helper()
	l, err := openLock(directory{dir}.lock())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.close() })
	return l
}
