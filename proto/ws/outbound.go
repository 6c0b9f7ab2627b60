package ws

import (
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// maxQueued is how many bytes may wait behind a half-written frame while a
// connection freezes: what handlers still answer travels to the next owner.
const maxQueued = 256 << 10

// farewell is the one close frame of our side.
type farewell struct {
	frame  []byte
	author author
	until  time.Time // then it is over, whatever the peer does
}

// author is who decided to close.
type author uint8

const (
	byLibrary author = iota // it answers the peer's close, or the peer broke the protocol
	byUs
)

// writerPhase is what is under way towards the peer.
type writerPhase uint8

const (
	writerIdle     writerPhase = iota
	writerFlushing             // a goroutine waits for the kernel to take the queue
	writerStuck                // the peer did not read in time: only the close frame may follow
	writerBroken               // the kernel refused: nothing can follow
)

// waiting is what a frame waits for before it is begun.
type waiting uint8

const (
	waitForAll  waiting = iota // until the connection is ours to write, and the peer reads
	waitForPeer                // until the peer reads: not through a move
	waitForNone
)

// Write takes a whole control frame from the library: a pong, or a close when
// the peer closed or broke the protocol.
func (w *wire) Write(frame []byte) (int, error) {
	if frame[0]&0x0f == opClose {
		w.end(slices.Clone(frame), byLibrary)
		return len(frame), nil
	}
	if err := w.send(frame); err != nil && !errors.Is(err, net.ErrClosed) {
		return 0, err
	}
	return len(frame), nil
}

// send writes one whole frame, waiting at most the timeout for a peer that
// does not read: then ErrSlow. While the connection stands still it waits
// without having begun. After a close frame it is net.ErrClosed.
func (w *wire) send(frame []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.put(frame, waitForAll)
}

// sendNow is send that does not wait for a connection which stands still, or is
// about to: then ErrStill.
func (w *wire) sendNow(frame []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.put(frame, waitForPeer)
}

// offer is sendNow that does not wait for the peer either: then ErrBusy.
func (w *wire) offer(frame []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.put(frame, waitForNone)
}

// put is send with mu held.
func (w *wire) put(frame []byte, p waiting) error {
	for {
		switch {
		case w.state == moved:
			return ErrMoved
		case w.state == closed, w.farewell != nil, w.writer == writerBroken:
			return net.ErrClosed
		case w.writer == writerStuck:
			return ErrSlow
		case p != waitForAll && w.state != serving:
			return ErrStill
		case !w.state.owned():
			w.wait()
		case w.state == freezing && len(w.queue) > 0 && len(w.queue)+len(frame) <= maxQueued:
			w.queue = append(w.queue, frame...) // to travel
			return nil
		case p == waitForNone && len(w.queue) > 0:
			if w.writer == writerIdle {
				w.flushAside()
			}
			return ErrBusy
		case w.writer == writerFlushing:
			w.wait()
		case len(w.queue) > 0:
			if err := w.flush(len(frame)); err != nil {
				return err
			}
		default:
			return w.begin(frame, p)
		}
	}
}

// begin writes a frame while nothing else is under way: at once if the kernel
// takes it, which costs no deadline.
func (w *wire) begin(frame []byte, p waiting) error {
	w.said = time.Since(w.born)
	w.queue = frame
	if err := w.drainNow(); err != nil || len(w.queue) == 0 {
		return err
	}
	w.queue = slices.Clone(w.queue) // frame is the caller's
	switch {
	case w.flushed(0):
		return nil
	case p == waitForNone:
		w.flushAside()
		return nil
	}
	return w.flush(0)
}

// flushAside has the queue flushed while nobody waits for it, but whoever calls
// awaitPeer.
func (w *wire) flushAside() {
	w.writer = writerFlushing
	go func() { // ends with the queue, the timeout or the connection
		w.mu.Lock()
		defer w.mu.Unlock()
		w.flush(0)
	}()
}

func (w *wire) awaitPeer() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.writer == writerFlushing && !w.state.over() {
		w.wait()
	}
}

// drainNow writes what the kernel takes without waiting.
func (w *wire) drainNow() error {
	var err error
	if outer := w.raw.Control(func(fd uintptr) { err = w.drain(int(fd)) }); outer != nil {
		return w.broke(net.ErrClosed)
	}
	return err
}

// drain writes frame after frame until the kernel takes no more. Each is one
// write, and announced in the record: whoever finds the connection after a
// crash must know whether it stands between two frames.
func (w *wire) drain(fd int) error {
	for len(w.queue) > 0 {
		if w.half == 0 {
			var f frame
			w.half = f.upTo(w.queue)
			if w.record != nil {
				w.record.Begin(w.written + uint64(w.half))
			}
		}
		n, err := retry(unix.Write, fd, w.queue[:w.half])
		if err == unix.EAGAIN {
			return nil
		}
		if err != nil {
			return w.broke(os.NewSyscallError("write", err))
		}
		w.wrote(n)
	}
	w.queue = nil
	return nil
}

// broke notes that nothing can follow any more.
func (w *wire) broke(err error) error {
	w.writer, w.queue, w.half = writerBroken, nil, 0
	return err
}

func (w *wire) wrote(n int) {
	w.written += uint64(n)
	w.queue = w.queue[n:]
	w.half -= n
	if w.half == 0 && w.record != nil {
		w.record.End(w.written)
	}
}

// flushed reports whether nobody need wait any longer for the queue: it is
// empty, or what is left of it and another need bytes may travel.
func (w *wire) flushed(need int) bool {
	return len(w.queue) == 0 || w.state.over() || w.state == freezing && len(w.queue)+need <= maxQueued
}

// flush waits until flushed(need), at most the timeout.
func (w *wire) flush(need int) error {
	began := time.Now()
	w.writer = writerFlushing
	err := w.flushUntil(need, func() time.Time {
		if w.farewell != nil {
			return w.farewell.until
		}
		return began.Add(w.timeout)
	})
	w.sock.SetWriteDeadline(time.Time{})
	w.settleFreeze()
	w.wakeAll()
	return err
}

func (w *wire) flushUntil(need int, limit func() time.Time) error {
	for {
		var err error
		w.sock.SetWriteDeadline(limit())
		w.mu.Unlock()
		outer := w.raw.Write(func(fd uintptr) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			err = w.drain(int(fd))
			return err != nil || w.flushed(need)
		})
		w.mu.Lock()
		switch {
		case w.state == closed:
			return net.ErrClosed
		case err != nil:
			return err
		case w.flushed(need):
			w.writer = writerIdle
			return nil
		case !errors.Is(outer, os.ErrDeadlineExceeded):
			return w.broke(outer)
		case time.Now().Before(limit()):
			// a freeze wanted to know whether the rest may travel
		case w.farewell != nil:
			return w.broke(ErrSlow)
		default:
			w.writer = writerStuck
			return ErrSlow
		}
	}
}

// restart goes on with what waited while the connection stood still.
func (w *wire) restart() {
	if w.in != nil && w.in.isAhead() && w.reader == readerAtRest {
		w.sock.SetReadDeadline(time.Unix(1, 0)) // it may be in the poller, and nothing more may come
	}
	stuck := w.writer == writerStuck && w.farewell == nil
	if stuck || w.writer == writerFlushing || w.drainNow() != nil || len(w.queue) == 0 {
		return
	}
	w.flushAside()
}

// end sends a close frame as the last one, and bounds everything that is still
// under way. Only the first call counts. A connection that is frozen does it
// when it is thawed; one that is held is not ours to end.
func (w *wire) end(frame []byte, by author) {
	w.mu.Lock()
	if w.state == held || w.state == loaded {
		w.mu.Unlock()
		w.Close()
		return
	}
	defer w.mu.Unlock()
	f := &farewell{frame: frame, author: by}
	switch {
	case w.state == frozen && w.swallowed == nil:
		w.swallowed = f
	case w.state.owned() && w.farewell == nil:
		w.goodbye(f)
		if len(w.queue) > 0 && w.writer != writerFlushing {
			w.flush(0)
		}
	}
}

// goodbye puts the close frame behind whatever is under way. Who waits for the
// connection to freeze is told: it ends here.
func (w *wire) goodbye(f *farewell) {
	f.until = time.Now().Add(Linger)
	w.farewell = f
	w.change(evGoodbye)
	w.tellQuiet()
	w.armRead()
	if w.writer == writerBroken {
		return
	}
	w.said = time.Since(w.born)
	w.queue = append(w.queue, f.frame...)
	if w.writer == writerFlushing {
		w.sock.SetWriteDeadline(f.until)
		return
	}
	w.drainNow()
}

// leaving returns the close frame of our side, nil before.
func (w *wire) leaving() *farewell {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.farewell
}
