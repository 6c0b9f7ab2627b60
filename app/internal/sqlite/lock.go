package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// fileLock is the right to write, shared by all processes on a directory: an
// flock, which the kernel hands to those who block in it in turn.
//
// A blocked flock cannot be called off. So each is an attempt of its own that
// at most one caller wants; one that nobody wants any more gives the lock back
// the moment it gets it, and a caller that comes meanwhile takes the attempt
// over instead of trying beside it (on one file description both would
// succeed, and the one's release would be the other's).
//
// acquire, release and close are called by one goroutine at a time; holder by
// any.
type fileLock struct {
	file *os.File // the only descriptor of its file description; closed by close, or by the last attempt after it

	mu      sync.Mutex
	attempt *attempt // blocked in flock; nil if none is
	closed  bool
}

// attempt is one blocked flock.
type attempt struct {
	wanted bool       // guarded by the lock's mu
	result chan error // gets one value, only while wanted; buffered
}

// openLock opens the lock file, made if need be, and takes nothing.
func openLock(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &fileLock{file: f}, nil
}

// acquire takes the lock until release. It gives up at the time until, with
// chat.ErrUnavailable and the holder's pid, or when ctx ends.
func (l *fileLock) acquire(ctx context.Context, until time.Time) error {
	a, err := l.begin()
	if a == nil {
		return err
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case err = <-a.result:
		if err == nil {
			l.sign()
		}
		return err
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = fmt.Errorf("%w: %w", chat.ErrUnavailable, l.heldBy())
	}
	l.abandon(a)
	return err
}

// begin takes the lock at once (nil, nil) or returns an attempt to wait for.
func (l *fileLock) begin() (*attempt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.attempt == nil {
		err := flock(l.file, syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			l.sign()
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, err
		}
		l.attempt = &attempt{result: make(chan error, 1)}
		go l.block(l.attempt)
	}
	l.attempt.wanted = true
	return l.attempt, nil
}

// block waits for the lock however long it takes, and hands it to who wants it.
func (l *fileLock) block(a *attempt) {
	err := flock(l.file, syscall.LOCK_EX)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempt = nil
	switch {
	case a.wanted:
		a.result <- err
	case l.closed:
		l.file.Close()
	case err == nil:
		flock(l.file, syscall.LOCK_UN)
	}
}

// abandon leaves an attempt to itself, and what it has got meanwhile to others.
func (l *fileLock) abandon(a *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.wanted = false
	select {
	case err := <-a.result:
		if err == nil {
			flock(l.file, syscall.LOCK_UN)
		}
	default:
	}
}

// release lets the next one write.
func (l *fileLock) release() { flock(l.file, syscall.LOCK_UN) }

// close gives up the lock, held or not. An attempt that still blocks ends with
// the holder's hold.
func (l *fileLock) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.attempt != nil {
		return nil
	}
	return l.file.Close()
}

// sign leaves this process's pid in the file for those who wait. The pid is a
// hint for people: if it cannot be written, nothing else depends on it.
func (l *fileLock) sign() {
	if pid := os.Getpid(); l.holder() != pid {
		l.file.WriteAt(fmt.Appendf(nil, "%-10d\n", pid), 0)
	}
}

// holder is the pid of who took the lock last, 0 if it is not known.
func (l *fileLock) holder() int {
	var b [11]byte
	n, _ := l.file.ReadAt(b[:], 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid < 1 {
		return 0
	}
	return pid
}

// heldBy tells who keeps the lock, as far as that can be known.
func (l *fileLock) heldBy() error {
	switch pid := l.holder(); {
	case pid == 0 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH):
		return fmt.Errorf("another process keeps %s locked", l.file.Name())
	case pid == os.Getpid():
		return fmt.Errorf("this process (pid %d) keeps %s locked", pid, l.file.Name())
	default:
		return fmt.Errorf("process %d keeps %s locked", pid, l.file.Name())
	}
}

// flock is flock(2), again after a signal.
func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how); err != syscall.EINTR {
			return os.NewSyscallError("flock", err)
		}
	}
}
