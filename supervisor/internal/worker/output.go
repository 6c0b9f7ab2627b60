package worker

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// outlet carries what one descriptor of a worker writes to where it is read.
type outlet struct {
	from *os.File // the read end of a pipe
	to   io.WriteCloser
	done chan struct{} // closed when everything has been carried

	mu     sync.Mutex
	paused *pause // nil: it is not
}

func newOutlet(from *os.File, to io.WriteCloser) *outlet {
	return &outlet{from: from, to: to, done: make(chan struct{})}
}

// pause is a time in which an outlet stands still.
type pause struct {
	parked chan struct{} // closed when nothing is being read
	over   chan struct{} // closed when it goes on
}

// drain carries everything until the last writer has ended or the pipe is
// closed.
func (o *outlet) drain() {
	buf := make([]byte, 32<<10)
	for {
		n, err := o.from.Read(buf)
		o.to.Write(buf[:n])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			o.park()
			continue
		}
		if err != nil {
			break
		}
	}
	o.to.Close()
	close(o.done)
}

// pause returns when nothing is read any more.
func (o *outlet) pause() (resume func()) {
	p := &pause{make(chan struct{}), make(chan struct{})}
	o.mu.Lock()
	o.paused = p
	o.mu.Unlock()
	o.from.SetReadDeadline(time.Unix(1, 0)) // interrupts Read
	select {
	case <-p.parked:
	case <-o.done:
	}
	return func() {
		o.mu.Lock()
		o.paused = nil
		o.mu.Unlock()
		o.from.SetReadDeadline(time.Time{})
		close(p.over)
	}
}

func (o *outlet) park() {
	o.mu.Lock()
	p := o.paused
	o.mu.Unlock()
	if p != nil {
		close(p.parked)
		<-p.over
	}
}
