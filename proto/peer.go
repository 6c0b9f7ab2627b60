package proto

import (
	"context"
	"errors"
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
type Peer struct {
	conn  *Conn
	ready chan struct{} // something waits in queue

	mu    sync.Mutex
	queue []parcel // the first is being sent by Run, if it is not empty
	ended bool     // nothing is sent any more
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
	go func() { received <- p.receive(handle) }()
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

func (p *Peer) receive(handle func(Message, []int)) error {
	for {
		packet, fds, err := p.conn.Recv()
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
