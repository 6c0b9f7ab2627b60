package proto

import (
	"context"
	"errors"
	"time"
)

const (
	// queueLen is how many messages wait to be sent. A SEQPACKET pair itself
	// takes some 278 short messages unread, so that a restarting supervisor
	// is covered many times over.
	queueLen = 1024

	// flushTime is how long what is queued may take to be sent at the end.
	flushTime = time.Second
)

// ErrOverflow says that the peer does not read and the queue is full: the
// message was not queued.
var ErrOverflow = errors.New("control queue overflow")

// Peer sends and receives messages over a [Conn].
//
//  1. Send never blocks and keeps order.
//  2. Received messages are handled one at a time, in order.
//  3. Unknown kinds are answered, not handled.
type Peer struct {
	conn  *Conn
	queue chan []byte
}

// NewPeer takes conn and owns it; [Peer.Run] must be called once and closes
// it.
func NewPeer(conn *Conn) *Peer {
	return &Peer{conn: conn, queue: make(chan []byte, queueLen)}
}

// Send queues a message. It returns [ErrOverflow] when the queue is full and
// Encode's error when the message is too long. It may be called concurrently,
// also before and after Run.
func (p *Peer) Send(m Message) error {
	packet, err := Encode(m)
	if err != nil {
		return err
	}
	select {
	case p.queue <- packet:
		return nil
	default:
		return ErrOverflow
	}
}

// Run sends what is queued and hands every received message to handle, until
// ctx ends (nil, after what was queued has been sent if that takes no longer
// than a second), the peer ends (io.EOF) or breaks the protocol. The
// connection is closed then.
func (p *Peer) Run(ctx context.Context, handle func(Message)) error {
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
	return err
}

func (p *Peer) receive(handle func(Message)) error {
	for {
		packet, fds, err := p.conn.Recv()
		if err != nil {
			return err
		}
		CloseFDs(fds) // no message of this version carries any
		m, err := Decode(packet)
		if err != nil {
			return err
		}
		if u, ok := m.(unrecognized); ok {
			p.Send(Unknown{Name: u.name}) // best effort: a full queue says enough
			continue
		}
		handle(m)
	}
}

// send sends until stop is closed and the queue is empty.
func (p *Peer) send(stop <-chan struct{}) error {
	for {
		select {
		case packet := <-p.queue:
			if err := p.conn.Send(packet); err != nil {
				return err
			}
		case <-stop:
			return p.flush()
		}
	}
}

func (p *Peer) flush() error {
	for {
		select {
		case packet := <-p.queue:
			if err := p.conn.Send(packet); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}
