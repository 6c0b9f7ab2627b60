package proto

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// queueLen is how many messages wait to be sent before those that may be
	// lost are. A SEQPACKET pair itself takes some 278 short messages unread, so
	// that a restarting supervisor is covered many times over.
	queueLen = 1024

	// queueMax is how many wait in all.
	queueMax = 2 * queueLen

	// flushTime is how long what is queued may take to be sent at the end.
	flushTime = time.Second
)

// ErrOverflow says that the peer does not read and the queue is full: the
// message was not queued.
var ErrOverflow = errors.New("control queue overflow")

// Peer sends and receives messages over a [Conn].
//
//  1. Send never blocks and keeps order. A message that the kernel takes at
//     once is with it when Send returns.
//  2. Received messages are handled one at a time, in order.
//  3. Unknown kinds are answered, not handled.
//  4. Between Pause and its end nothing is read: another process that has this
//     end too can go on as if it had been this one.
type Peer struct {
	conn  *Conn
	ready chan struct{} // something waits in queue

	mu     sync.Mutex
	queue  []parcel // the first is being sent by Run, if it is not empty
	ended  bool     // nothing is sent any more
	paused *pause   // nil: it is not
}

// pause is a time in which a Peer stands still.
type pause struct {
	parked chan struct{} // closed when nothing is being read
	over   chan struct{} // closed when it goes on
}

// parcel is a packet that waits, with descriptors that are closed behind it.
type parcel struct {
	packet []byte
	fds    []int
}

// NewPeer takes conn and owns it; [Peer.Run] must be called once and closes
// it.
func NewPeer(conn *Conn) *Peer {
	return &Peer{conn: conn, ready: make(chan struct{}, 1)}
}

// Send sends a message, or queues it. The descriptors that go with it are the
// peer's from here on, also on an error, and are closed once they are sent. It
// returns [ErrOverflow] when the queue is full and Encode's error when the
// message is too long. It may be called concurrently, also before and after
// Run.
func (p *Peer) Send(m Message, fds ...int) error {
	packet, err := Encode(m)
	if err != nil {
		CloseFDs(fds)
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		CloseFDs(fds)
		return nil // as if the peer had not read it
	}
	if len(p.queue) == 0 && p.conn.trySend(packet, fds) == nil {
		CloseFDs(fds)
		return nil
	}
	if n := len(p.queue); n >= queueMax || n >= queueLen && mayBeLost(m.Kind()) {
		CloseFDs(fds)
		return ErrOverflow
	}
	p.queue = append(p.queue, parcel{packet, fds})
	select {
	case p.ready <- struct{}{}:
	default:
	}
	return nil
}

// Run sends what is queued and hands every received message to handle, with
// its descriptors, which are handle's to close, until ctx ends (nil, after what
// was queued has been sent if that takes no longer than a second), the peer
// ends (io.EOF) or breaks the protocol. The connection is closed then.
func (p *Peer) Run(ctx context.Context, handle func(m Message, fds []int)) error {
	received := make(chan error, 1)
	over := make(chan struct{})
	go func() { received <- p.receive(handle, over) }()
	stop := make(chan struct{})
	sent := make(chan error, 1)
	go func() { sent <- p.send(stop) }()

	var err error
	select {
	case <-ctx.Done():
	case err = <-received:
		received <- err
	case <-sent: // the peer does not take it: receive tells why
		sent <- nil
		err = <-received
		received <- err
	}
	close(stop)
	close(over)
	p.conn.unix.SetWriteDeadline(time.Now().Add(flushTime))
	<-sent
	p.conn.Close()
	<-received
	p.abandon()
	return err
}

// abandon closes what was not sent.
func (p *Peer) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	for _, each := range p.queue {
		CloseFDs(each.fds)
	}
	p.queue = nil
}

// Pause stops reading between two messages: when it returns, what had been read
// has been handled, and what was queued has been sent. It may be called while Run
// runs, once until resume is called, which must be called unless this process
// ends. Its errors are io.EOF when the peer has ended, and [ErrOverflow] when it
// does not take what is queued within a second; resume is nil then.
func (p *Peer) Pause() (resume func(), err error) {
	pausing := &pause{make(chan struct{}), make(chan struct{})}
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return nil, io.EOF
	}
	p.paused = pausing
	p.mu.Unlock()
	p.conn.unix.SetReadDeadline(time.Unix(1, 0)) // interrupts Recv
	resume = func() {
		p.mu.Lock()
		p.paused = nil
		p.mu.Unlock()
		p.conn.unix.SetReadDeadline(time.Time{})
		close(pausing.over)
	}
	<-pausing.parked
	if err := p.drained(); err != nil {
		resume()
		return nil, err
	}
	return resume, nil
}

// drained waits until nothing is queued: the sender goes on while it is paused.
func (p *Peer) drained() error {
	for end := time.Now().Add(flushTime); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		n, ended := len(p.queue), p.ended
		p.mu.Unlock()
		switch {
		case ended:
			return io.EOF
		case n == 0:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%w: %d messages were not taken", ErrOverflow, n)
		}
	}
}

// park waits for the end of a pause. It reports false when Run is over first.
func (p *Peer) park(over <-chan struct{}) bool {
	p.mu.Lock()
	pausing := p.paused
	p.mu.Unlock()
	if pausing == nil {
		return true // it is over already
	}
	select {
	case <-pausing.parked:
	default:
		close(pausing.parked)
	}
	select {
	case <-pausing.over:
		return true
	case <-over:
		return false
	}
}

func (p *Peer) receive(handle func(Message, []int), over <-chan struct{}) (err error) {
	defer p.unpark()
	for {
		packet, fds, err := p.conn.Recv()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if !p.park(over) {
				return nil
			}
			continue
		}
		if err != nil {
			return err
		}
		m, err := Decode(packet)
		if err != nil {
			CloseFDs(fds)
			return err
		}
		if u, ok := m.(unrecognized); ok {
			CloseFDs(fds)
			p.Send(Unknown{Name: u.name}) // best effort: a full queue says enough
			continue
		}
		handle(m, fds)
	}
}

// unpark tells whoever pauses that nothing is read any more.
func (p *Peer) unpark() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.paused == nil {
		return
	}
	select {
	case <-p.paused.parked:
	default:
		close(p.paused.parked)
	}
}

// send sends until stop is closed and the queue is empty.
func (p *Peer) send(stop <-chan struct{}) error {
	for {
		select {
		case <-p.ready:
		case <-stop:
			return p.flush()
		}
		if err := p.flush(); err != nil {
			return err
		}
	}
}

func (p *Peer) flush() error {
	for {
		next, ok := p.first()
		if !ok {
			return nil
		}
		if err := p.conn.Send(next.packet, next.fds...); err != nil {
			return err
		}
		p.shift()
	}
}

// first is what is to be sent next. It stays in the queue meanwhile, so that
// nothing overtakes it.
func (p *Peer) first() (parcel, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		p.queue = nil
		return parcel{}, false
	}
	return p.queue[0], true
}

func (p *Peer) shift() {
	p.mu.Lock()
	defer p.mu.Unlock()
	CloseFDs(p.queue[0].fds)
	p.queue[0] = parcel{}
	p.queue = p.queue[1:]
}

// trySend sends a packet if the kernel takes it at once.
func (c *Conn) trySend(packet []byte, fds []int) error {
	raw, err := c.unix.SyscallConn()
	if err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	var sendErr error
	err = raw.Control(func(s uintptr) {
		sendErr = unix.Sendmsg(int(s), packet, rights, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	})
	return errors.Join(err, sendErr)
}
