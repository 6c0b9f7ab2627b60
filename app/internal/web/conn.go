package web

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// The bucket of each connection, for what costs the store something.
const (
	bucketRate  = 20 // a second
	bucketBurst = 60
)

// Delays that a nak asks for.
const (
	retryUnavailable = time.Second
	retryFull        = 5 * time.Second
)

const (
	historyLimit = 5 * time.Second // how long a get may take
	replyBytes   = 64 << 10        // replies are written when they have grown so far
)

// conn is one WebSocket: it reads the client's lines and answers them. All
// fields below the line belong to the goroutine in serve.
type conn struct {
	server  *Server
	ws      *ws.Conn
	session [32]byte // the hash of its token
	user    chat.User
	began   time.Time
	pinged  time.Time // of the sweeper alone
	greeted atomic.Bool

	// ---
	member   *chat.Member // nil before hello
	bucket   *rate.Limiter
	postings []posting
	replies  []byte
}

func newConn(s *Server, socket *ws.Conn, session chat.Session) *conn {
	return &conn{
		server:  s,
		ws:      socket,
		session: session.TokenHash,
		user:    session.User,
		began:   time.Now(),
		bucket:  rate.NewLimiter(bucketRate, bucketBurst),
	}
}

// serve runs the conversation to its end.
func (c *conn) serve() {
	defer c.server.remove(c)
	err := c.ws.Serve(c.frame)
	if c.member != nil {
		c.member.Close()
	}
	c.server.o.Log.Debug("connection ended", "user", c.user.ID, "err", err)
}

// frame handles one message: every line in order, the answers in one frame.
// It returns when all are written.
func (c *conn) frame(t ws.Type, data []byte) {
	if t != ws.Text {
		c.ws.Close(wire.CloseBadFrame, "binary frames are not spoken here")
		return
	}
	for _, line := range wire.Lines(data) {
		c.line(line)
	}
	c.settle()
	c.flush()
	c.replies = nil // an idle connection holds no buffer
}

// line handles one line. Posts that follow on each other share a commit.
func (c *conn) line(line []byte) {
	m, err := wire.ParseClient(line)
	if p, ok := m.(*wire.Post); ok && c.member != nil {
		c.post(p, err)
		return
	}
	c.settle()
	if err == nil {
		err = c.message(m)
	}
	if err != nil {
		c.complain(err)
	}
	if len(c.replies) > replyBytes {
		c.flush()
	}
}

// message handles anything but a post. Its errors are *[wire.Error].
func (c *conn) message(m any) error {
	if hello, ok := m.(*wire.Hello); ok {
		return c.hello(hello)
	}
	if c.member == nil {
		return &wire.Error{Code: wire.CodeOrder, Msg: "the first line must be hello"}
	}
	switch m := m.(type) {
	case *wire.Join:
		if err := c.spend(); err != nil {
			return err
		}
		return c.member.Join(m.Room, m.Seq)
	case *wire.Leave:
		return c.member.Leave(m.Room)
	case *wire.Get:
		return c.get(m)
	case *wire.Ping:
		c.reply(&wire.Pong{T: wire.KindPong})
	}
	return nil
}

// hello makes the connection a member. The welcome is written first: from Open
// on events follow.
func (c *conn) hello(h *wire.Hello) error {
	if h.V != wire.Version {
		c.ws.Close(wire.CloseVersion, "this server speaks version 1: reload the page")
		return nil
	}
	if c.member != nil {
		return &wire.Error{Code: wire.CodeOrder, Msg: "hello was said already"}
	}
	hub := c.server.o.Hub
	c.greeted.Store(true)
	c.reply(&wire.Welcome{
		T: wire.KindWelcome, V: wire.Version, Epoch: hub.Epoch(),
		User: c.user.Wire(), PingMS: c.server.o.PingEvery.Milliseconds(),
	})
	c.member = hub.Connect(c.user, c) // before the client can know: its name is taken from here on
	c.flush()
	return c.member.Open(h.Epoch, h.Rooms)
}

// posting is a post whose commit the client waits for.
type posting struct {
	room, nonce string
	pending     *chat.Pending
}

// post queues a post, or refuses it. err is what is wrong with the line.
func (c *conn) post(p *wire.Post, err error) {
	if wire.ValidRoom(p.Room) != nil || wire.ValidNonce(p.Nonce) != nil {
		c.complain(err) // a nak could not be told from others
		return
	}
	if err == nil {
		if wait := c.delay(); wait > 0 {
			c.nak(p.Room, p.Nonce, &wire.Error{Code: wire.CodeRate, Msg: "too fast: wait a moment"}, wait)
			return
		}
		var pending *chat.Pending
		if pending, err = c.member.Post(p.Room, p.Nonce, p.Text); err == nil {
			c.postings = append(c.postings, posting{p.Room, p.Nonce, pending})
			return
		}
	}
	c.nak(p.Room, p.Nonce, err, 0)
}

// delay takes one from the bucket; when it is empty, it says when it will not
// be.
func (c *conn) delay() time.Duration {
	r := c.bucket.Reserve()
	d := r.Delay()
	if d > 0 {
		r.Cancel()
	}
	return d
}

// settle waits for the posts that are under way and answers them.
func (c *conn) settle() {
	for _, p := range c.postings {
		done, err := p.pending.Wait()
		if err != nil {
			c.postFailed(p, err)
			continue
		}
		c.reply(&wire.Ack{T: wire.KindAck, Room: p.room, Nonce: p.nonce, Seq: done.Event.Seq, TS: done.Event.At.UnixMilli()})
	}
	c.postings = nil
}

// postFailed answers a post that the store did not take.
func (c *conn) postFailed(p posting, err error) {
	c.server.o.Log.Debug("post not stored", "room", p.room, "user", c.user.ID, "err", err)
	code, retry := wire.CodeUnavailable, retryUnavailable
	if errors.Is(err, chat.ErrFull) {
		code, retry = wire.CodeStorageFull, retryFull
	}
	c.nak(p.room, p.nonce, &wire.Error{Code: code, Msg: toAPI(err).msg}, retry)
}

// nak refuses a post; the same nonce may succeed after retry, 0 means never.
func (c *conn) nak(room, nonce string, err error, retry time.Duration) {
	e := asWire(err)
	c.reply(&wire.Nak{T: wire.KindNak, Room: room, Nonce: nonce, Code: e.Code, Msg: e.Msg, RetryMS: milliseconds(retry)})
}

// milliseconds rounds up: 0 would mean never.
func milliseconds(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// get answers with history.
func (c *conn) get(g *wire.Get) error {
	if err := c.member.MayRead(g.Room); err != nil {
		return err
	}
	if err := c.spend(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), historyLimit)
	defer cancel()
	h, err := history(ctx, c.server.o.Hub, g.Room, span{after: g.After, before: g.Before, limit: g.Limit})
	if err != nil {
		c.server.o.Log.Debug("history not read", "room", g.Room, "err", err)
		return &wire.Error{Code: wire.CodeUnavailable, Msg: toAPI(err).msg}
	}
	c.reply(&wire.Page{T: wire.KindPage, Room: g.Room, Events: h.WireEvents(), More: h.More})
	return nil
}

// spend takes from the bucket what a request of the store costs.
func (c *conn) spend() error {
	if c.delay() == 0 {
		return nil
	}
	return &wire.Error{Code: wire.CodeRate, Msg: "too fast: wait a moment"}
}

func (c *conn) reply(m any) { c.replies = wire.AppendLine(c.replies, m) }

func (c *conn) complain(err error) {
	e := asWire(err)
	c.reply(&wire.Err{T: wire.KindErr, Code: e.Code, Msg: e.Msg})
}

func asWire(err error) *wire.Error {
	e := &wire.Error{Code: wire.CodeBadField, Msg: err.Error()}
	errors.As(err, &e)
	return e
}

// flush writes the replies.
func (c *conn) flush() {
	if len(c.replies) > 0 {
		c.Send(c.replies)
		c.replies = c.replies[:0]
	}
}

// Send implements [chat.Outlet].
func (c *conn) Send(lines []byte) error {
	err := c.ws.Write(lines)
	if err == ws.ErrSlow {
		c.server.o.Log.Debug("client does not read", "user", c.user.ID)
		c.ws.Close(wire.CloseSlow, "the client did not read")
	}
	return err
}

// goodbye tells the client why it is closed, and when to come back.
func (c *conn) goodbye(why wire.Why, after time.Duration) {
	code := wire.CloseGoingAway
	if why == wire.WhyDeploy {
		code = wire.CloseRestart
	}
	c.Send(wire.AppendLine(nil, &wire.Bye{T: wire.KindBye, Why: why, AfterMS: after.Milliseconds()}))
	c.ws.Close(code, string(why))
}
