package nats

import (
	"context"
	"errors"
	"fmt"

	client "github.com/nats-io/nats.go"
)

// Receiver is who listens: [chat.Hub] implements it. Its methods never block.
type Receiver interface {
	// Deliver takes what another host published.
	Deliver(data []byte)
	// Reached tells that the other hosts are reached, for the first time or again:
	// what they said before is lost, and so is what was said to them.
	Reached()
}

// Bus is a [chat.Bus] to other hosts. It works while [Bus.Run] does.
type Bus struct {
	o        Options
	outgoing chan []byte
}

// New returns a bus. It finds what is wrong with the options, but talks to
// nobody.
func New(o Options) (*Bus, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return &Bus{o: o.withDefaults(), outgoing: make(chan []byte, queueMessages)}, nil
}

// Publish hands data to every other host on the same log. It never blocks: what
// finds no room in the queue, or no server, is lost. data must not be changed
// afterwards. It may be called concurrently.
func (b *Bus) Publish(data []byte) {
	select {
	case b.outgoing <- data:
	default:
	}
}

// Subject is where hosts on the log of an epoch, see [chat.Store], talk. A user
// of NATS needs to publish and subscribe there.
func Subject(epoch string) string { return "simpletalk." + epoch }

// Run carries messages until ctx ends, and returns when nothing is delivered any
// more. Servers that are away, or refuse, are tried again for ever. Call it once.
func (b *Bus) Run(ctx context.Context, epoch string, to Receiver) error {
	closed := make(chan struct{})
	conn, err := client.Connect(b.o.URL, append(b.o.client(), b.callbacks(to, closed)...)...)
	if err != nil {
		return fmt.Errorf("connect to NATS: %s", clean(err, b.o.URL)) // no %w: it may hold a secret
	}
	defer func() {
		conn.Close()
		<-closed
	}()
	sub, err := conn.Subscribe(Subject(epoch), func(m *client.Msg) { to.Deliver(m.Data) })
	if err == nil {
		err = sub.SetPendingLimits(pendingMessages, pendingBytes)
	}
	if err != nil {
		return fmt.Errorf("subscribe to NATS: %w", err)
	}
	if conn.IsConnected() {
		to.Reached() // the callback may have been before the subscription
	} else {
		b.o.Log.Warn("nats away, polling the store")
	}
	b.carry(ctx, conn, Subject(epoch))
	return nil
}

// carry publishes what waits. While the server is away that fails at once, which
// is how what would be stale is lost.
func (b *Bus) carry(ctx context.Context, conn *client.Conn, subject string) {
	for {
		select {
		case data := <-b.outgoing:
			if err := conn.Publish(subject, data); err != nil {
				b.o.Log.Debug("not published", "err", clean(err, b.o.URL))
			}
		case <-ctx.Done():
			return
		}
	}
}

// maxTroubles is how many are told of while the server is away: some name a port
// that is another one each time.
const maxTroubles = 32

// callbacks tell of the connection's states. The library calls them one after
// the other.
func (b *Bus) callbacks(to Receiver, closed chan<- struct{}) []client.Option {
	told := map[string]bool{} // since it was reached: each trouble is told once
	trouble := func(msg string, err error) {
		if err == nil {
			err = errors.New("closed by the server")
		}
		if said := clean(err, b.o.URL); !told[msg+said] && len(told) < maxTroubles {
			told[msg+said] = true
			b.o.Log.Warn(msg, "err", said)
		}
	}
	reached := func(c *client.Conn) {
		clear(told)
		b.o.Log.Info("nats connected", "addr", c.ConnectedAddr())
		to.Reached()
	}
	return []client.Option{
		client.ConnectHandler(reached),
		client.ReconnectHandler(reached),
		client.DisconnectErrHandler(func(c *client.Conn, err error) {
			if !c.IsClosed() {
				trouble("nats away, polling the store", err)
			}
		}),
		client.ReconnectErrHandler(func(_ *client.Conn, err error) { trouble("nats not reached", err) }),
		client.ErrorHandler(func(_ *client.Conn, _ *client.Subscription, err error) { trouble("nats error", err) }),
		client.ClosedHandler(func(*client.Conn) { close(closed) }),
	}
}
