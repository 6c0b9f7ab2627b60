package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// writer runs jobs one after the other, each in a transaction under the lock.
// Its connection and its flag belong to the goroutine in serve; before that and
// after stop, to the caller.
type writer struct {
	dir  directory
	lock *fileLock
	wait time.Duration

	jobs  chan job
	quit  chan struct{} // closed by stop
	ended chan struct{} // closed by serve

	damage atomic.Pointer[error] // the first sign of it; nothing is written any more

	conn   *writeConn // nil: to be connected by the next job
	failed bool       // the last job failed; what it wanted may still be impossible
}

// job is a transaction that somebody waits for.
type job struct {
	ctx   context.Context // the caller's: a job whose caller has left is not begun
	until time.Time       // nor one after this
	run   func(*writeConn) error
	done  chan error // buffered: the caller may have left
}

func newWriter(dir directory, lock *fileLock, wait time.Duration) *writer {
	return &writer{
		dir: dir, lock: lock, wait: wait,
		jobs: make(chan job), quit: make(chan struct{}), ended: make(chan struct{}),
	}
}

// serve runs jobs until stop.
func (w *writer) serve() {
	defer close(w.ended)
	for {
		select {
		case <-w.quit:
			return
		case j := <-w.jobs:
			j.done <- w.transact(j)
		}
	}
}

// stop ends serve, after the job at hand.
func (w *writer) stop() {
	close(w.quit)
	<-w.ended
}

// do has run executed in a transaction and waits for its durable commit. When
// ctx ends first, run may still be executed: it must not touch what the caller
// goes on to use.
func (w *writer) do(ctx context.Context, run func(*writeConn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := job{ctx: ctx, until: time.Now().Add(w.wait), run: run, done: make(chan error, 1)}
	timer := time.NewTimer(w.wait)
	defer timer.Stop()
	select {
	case w.jobs <- j:
	case <-timer.C:
		return fmt.Errorf("%w: %w", chat.ErrUnavailable, w.lock.heldBy())
	case <-ctx.Done():
		return ctx.Err()
	case <-w.quit:
		return fmt.Errorf("%w: the store is closed", chat.ErrUnavailable)
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: whether it was stored is unknown: %w", chat.ErrUnavailable, ctx.Err())
	}
}

// transact runs a job. After a failure the state of the connection is anyone's
// guess, so the next job gets a new one.
func (w *writer) transact(j job) error {
	if err := w.refusal(); err != nil {
		return err
	}
	if err := w.lock.acquire(j.ctx, j.until); err != nil {
		return w.dir.fault(err)
	}
	defer w.lock.release()
	err := w.attempt(j.run)
	w.failed = err != nil
	if err == nil {
		return nil
	}
	w.disconnect()
	return w.noticed(w.dir.fault(err))
}

// attempt does not end with a caller's context: an interrupted commit would
// leave more unknown than a late one.
func (w *writer) attempt(run func(*writeConn) error) error {
	if w.conn == nil {
		if err := w.connect(context.Background()); err != nil {
			return err
		}
	}
	return w.conn.transact(w.dir, run)
}

// refusal is why nothing is written any more, nil if all is well.
func (w *writer) refusal() error {
	if damage := w.damage.Load(); damage != nil {
		return *damage
	}
	return nil
}

// noticed passes err on, and remembers it if it tells of damage. Any goroutine
// may call it.
func (w *writer) noticed(err error) error {
	if errors.Is(err, chat.ErrCorrupt) {
		w.damage.CompareAndSwap(nil, &err)
	}
	return err
}

// connect opens the connection and migrates the database. The lock is held.
func (w *writer) connect(ctx context.Context) error {
	conn, err := openWriteConn(ctx, w.dir, w.wait)
	if err != nil {
		return err
	}
	w.conn = conn
	return nil
}

func (w *writer) disconnect() error {
	if w.conn == nil {
		return nil
	}
	err := w.conn.close()
	w.conn = nil
	return err
}
