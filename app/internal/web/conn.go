package web

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
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
// fields below the line belong to the goroutine in serve; while the connection
// stands still that waits, and whoever moves it has them.
type conn struct {
	server  *Server
	ws      *ws.Conn
	session [32]byte // the hash of its token
	user    chat.User
	admin   bool         // may delete what others post
	client  client       // the address that it counts for
	adopted *meta        // as another process told it, until it is ours; of whoever moves it
	began   atomic.Int64 // the wait for hello, by the server's clock
	pinged  atomic.Int64 // by the server's clock, 0: never
	greeted atomic.Bool
	ours    atomic.Bool            // not another process's any more
	fate    atomic.Pointer[ending] // nil: its session allows it, as far as is known

	// ---
	member  *chat.Member  // nil before hello
	asked   bool          // by a resync, for another hello
	bucket  *rate.Limiter // nil: full
	turn    *turn         // nil while idle
	paid    string        // the room that was posted to last: if it was new, it is paid for
	changed bool          // what the keeper knows is old
}

// turn is what a connection needs while it handles a message.
type turn struct {
	postings []posting
	replies  []byte
}

// turns are lent to connections.
var turns = sync.Pool{New: func() any { return new(turn) }}

// free gives the turn back.
func (t *turn) free() {
	clear(t.postings[:cap(t.postings)])
	t.postings, t.replies = t.postings[:0], t.replies[:0]
	if cap(t.replies) <= 2*replyBytes {
		turns.Put(t)
	}
}

func newConn(s *Server, socket *ws.Conn, session chat.Session) *conn {
	c := &conn{server: s, ws: socket, session: session.TokenHash, user: session.User}
	c.began.Store(int64(s.now()))
	return c
}

// serve runs the conversation to its end.
func (c *conn) serve() {
	c.over(c.ws.Serve(c.frame))
}

// over is not part of serve, whose frame every idle connection has.
//
//go:noinline
func (c *conn) over(err error) {
	defer c.server.remove(c)
	if c.member != nil {
		c.member.Close() // of one that has moved nobody is told: the hub is held
	}
	if err != ws.ErrMoved {
		c.server.o.Log.Debug("connection ended", "user", c.user.ID, "err", err)
	}
}

// frame handles one message: every line in order, the answers in one frame.
// It returns when all are written.
func (c *conn) frame(t ws.Type, data []byte) {
	if t != ws.Text {
		c.ws.Close(wire.CloseBadFrame, "binary frames are not spoken here")
		return
	}
	c.turn = turns.Get().(*turn)
	for _, line := range wire.Lines(data) {
		if !c.line(line) {
			break
		}
	}
	c.settle()
	c.note()
	c.flush()
	c.turn.free()
	c.turn = nil
}

// line handles one line, and reports whether another one may follow. Posts that
// follow on each other share a commit.
func (c *conn) line(line []byte) bool {
	m, err := wire.ParseClient(line)
	if c.ignores(m) {
		return true
	}
	if r, ok := m.(wire.Request); ok && c.member != nil {
		return c.request(r, err)
	}
	c.settle()
	if err == nil {
		err = c.message(m)
	}
	if err != nil && !c.complain(err) {
		return false
	}
	if len(c.turn.replies) > replyBytes {
		c.flush()
	}
	return true
}

// nonsense are mistakes that no client makes over and over.
var nonsense = []wire.Code{wire.CodeBadJSON, wire.CodeUnknown, wire.CodeBadField, wire.CodeOrder}

// message handles anything but a request. Its errors are *[wire.Error].
func (c *conn) message(m any) error {
	if hello, ok := m.(*wire.Hello); ok {
		return c.hello(hello)
	}
	if c.member == nil && !c.asked {
		return &wire.Error{Code: wire.CodeOrder, Msg: "the first line must be hello"}
	}
	switch m := m.(type) {
	case *wire.Join:
		if err := c.pay(); err != nil {
			return err
		}
		c.changed = true
		return c.member.Join(m.Room, chat.Cursor{Seq: m.Seq})
	case *wire.Leave:
		c.changed = true
		return c.member.Leave(m.Room)
	case *wire.Get:
		return c.get(m)
	case *wire.Read:
		return c.member.Read(m.Room, m.Seq)
	case *wire.Typing:
		return c.member.Typing(m.Room)
	case *wire.Ping:
		c.reply(&wire.Pong{T: wire.KindPong})
	}
	return nil
}

// ignores reports whether a line was said to a process that has died: the
// client repeats it after its hello (invariant 6 of the wire).
func (c *conn) ignores(m any) bool {
	if !c.asked || c.member != nil {
		return false
	}
	switch m.(type) {
	case *wire.Hello, *wire.Ping:
		return false
	}
	return true
}

// note tells the keeper what has changed.
func (c *conn) note() {
	if c.changed {
		c.changed = false
		c.server.o.Keeper.Note(c.ws, c.meta().encode())
	}
}

// hello makes the connection a member. The welcome is written first: from Open
// on events follow. Who was asked for a hello may say another one, and starts
// anew.
func (c *conn) hello(h *wire.Hello) error {
	if h.V != wire.Version {
		c.ws.Close(wire.CloseVersion, "this server speaks version 1: reload the page")
		return nil
	}
	if c.member != nil && !c.asked {
		return &wire.Error{Code: wire.CodeOrder, Msg: "hello was said already"}
	}
	hub := c.server.o.Hub
	m := hub.Connect(c.user, c) // before the client can know: its name is taken from here on
	if c.member != nil {
		c.member.Close() // and says no more
	}
	c.member, c.changed = m, true
	c.greeted.Store(true)
	c.reply(&wire.Welcome{
		T: wire.KindWelcome, V: wire.Version, Epoch: hub.Epoch(),
		User: c.user.Wire(), PingMS: c.server.o.PingEvery.Milliseconds(), Reads: c.reads(),
	})
	c.flush()
	cursors := make(map[string]chat.Cursor, len(h.Rooms))
	for room, seq := range h.Rooms {
		cursors[room] = chat.Cursor{Seq: seq, At: h.At[room]}
	}
	return m.Open(h.Epoch, cursors)
}

// readsLimit is how long a hello waits for the store.
const readsLimit = time.Second

// reads returns how far the user has read each room: what is known of it now. A
// store that is away keeps nobody out.
func (c *conn) reads() map[string]int64 {
	ctx, cancel := context.WithTimeout(context.Background(), readsLimit)
	defer cancel()
	reads, err := c.server.o.Hub.Reads(ctx, c.user.ID)
	if err != nil {
		c.server.o.Log.Debug("read markers not read", "user", c.user.ID, "err", err)
	}
	return reads
}

// posting is a request whose commit the client waits for.
type posting struct {
	room, nonce string
	pending     *chat.Pending
}

// request queues what is to be stored, or refuses it, and reports whether another
// line may follow. err is what is wrong with this one.
func (c *conn) request(r wire.Request, err error) bool {
	room, nonce := r.Key()
	if wire.ValidRoom(room) != nil || wire.ValidNonce(nonce) != nil {
		return c.complain(err) // a nak could not be told from others
	}
	var retry time.Duration
	if err == nil {
		retry, err = c.queue(r)
	}
	if err != nil {
		c.nak(room, nonce, err, retry)
	}
	return true
}

// queue has a request stored, once it is paid for, or says why not and when to
// repeat it, 0 for never.
func (c *conn) queue(r wire.Request) (retry time.Duration, err error) {
	if wait := c.delay(); wait > 0 {
		return wait, &wire.Error{Code: wire.CodeRate, Msg: "too fast: wait a moment"}
	}
	room, nonce := r.Key()
	if wait, err := c.newRoom(room); err != nil {
		return wait, err
	}
	pending, err := c.submit(r)
	if err == nil {
		c.turn.postings = append(c.turn.postings, posting{room, nonce, pending})
	}
	return 0, err
}

func (c *conn) submit(r wire.Request) (*chat.Pending, error) {
	switch r := r.(type) {
	case *wire.Edit:
		return c.member.Amend(chat.Draft{Room: r.Room, Kind: wire.EventEdit, Nonce: r.Nonce, Of: r.Of, Text: r.Text})
	case *wire.Del:
		return c.member.Amend(chat.Draft{Room: r.Room, Kind: wire.EventDel, Nonce: r.Nonce, Of: r.Of})
	case *wire.React:
		return c.member.Amend(chat.Draft{Room: r.Room, Kind: wire.EventReact, Nonce: r.Nonce, Of: r.Of, Emoji: r.Emoji, On: r.On})
	case *wire.Post:
		return c.member.Post(r.Room, r.Nonce, r.Text)
	default:
		return nil, &wire.Error{Code: wire.CodeUnknown, Msg: "this server does not know what to do with that"}
	}
}

// delay takes what a line costs from the connection, its user and its address, or
// says when it can be had.
func (c *conn) delay() time.Duration {
	if d := c.ownDelay(); d > 0 {
		return d
	}
	return c.server.o.Limits.line(c.user.ID, c.client)
}

// ownDelay is delay for the connection alone.
func (c *conn) ownDelay() time.Duration {
	if c.bucket == nil {
		c.bucket = rate.NewLimiter(bucketRate, bucketBurst)
	}
	return takeOne(c.bucket)
}

// spent is how much is missing in the bucket.
func (c *conn) spent() int {
	if c.bucket == nil {
		return 0
	}
	return bucketBurst - int(max(c.bucket.Tokens(), 0))
}

// spend makes a full bucket one in which n are missing.
func (c *conn) spend(n int) {
	if n > 0 {
		c.bucket = rate.NewLimiter(bucketRate, bucketBurst)
		c.bucket.AllowN(time.Now(), min(n, bucketBurst))
	}
}

// settle waits for the posts that are under way and answers them.
func (c *conn) settle() {
	for _, p := range c.turn.postings {
		done, err := p.pending.Wait()
		if err != nil {
			c.postFailed(p, err)
			continue
		}
		c.reply(&wire.Ack{T: wire.KindAck, Room: p.room, Nonce: p.nonce, Seq: done.Event.Seq, TS: done.Event.At.UnixMilli()})
	}
	c.turn.postings = c.turn.postings[:0]
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
	c.server.o.Meter.Refused(e.Code)
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
	if err := c.pay(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), historyLimit)
	defer cancel()
	p, err := readPage(ctx, c.server.o.Hub, g)
	if err != nil {
		c.server.o.Log.Debug("history not read", "room", g.Room, "err", err)
		return &wire.Error{Code: wire.CodeUnavailable, Msg: toAPI(err).msg}
	}
	c.reply(&wire.Page{T: wire.KindPage, Room: g.Room, Events: p.Wire(c.user.ID), More: p.More, MoreAfter: p.MoreAfter})
	return nil
}

// readPage reads what a get asks for.
func readPage(ctx context.Context, h *chat.Hub, g *wire.Get) (chat.Page, error) {
	limit := cmp.Or(g.Limit, wire.PageSize)
	switch {
	case g.Around != nil:
		return h.PostsAround(ctx, g.Room, *g.Around, limit)
	case g.After != nil:
		return h.PostsAfter(ctx, g.Room, *g.After, limit)
	default:
		return h.PostsBefore(ctx, g.Room, *g.Before, limit)
	}
}

// pay takes from the bucket what a request of the store costs.
func (c *conn) pay() error {
	if c.delay() == 0 {
		return nil
	}
	return &wire.Error{Code: wire.CodeRate, Msg: "too fast: wait a moment"}
}

func (c *conn) reply(m any) { c.turn.replies = wire.AppendLine(c.turn.replies, m) }

// complain answers a line that cannot be done. The answer to nonsense is longer
// than that, so it costs something; a connection that cannot pay, whatever others
// have used, is closed, which complain reports by false.
func (c *conn) complain(err error) bool {
	e := asWire(err)
	if slices.Contains(nonsense, e.Code) && c.ownDelay() > 0 {
		c.ws.Close(wire.CloseBadFrame, "too many lines that make no sense")
		return false
	}
	c.reply(&wire.Err{T: wire.KindErr, Code: e.Code, Msg: e.Msg})
	return true
}

func asWire(err error) *wire.Error {
	e := &wire.Error{Code: wire.CodeBadField, Msg: err.Error()}
	errors.As(err, &e)
	return e
}

// flush writes the replies.
func (c *conn) flush() {
	if len(c.turn.replies) > 0 {
		c.outcome(c.ws.Write(c.turn.replies))
		c.turn.replies = c.turn.replies[:0]
	}
}

// Send implements [chat.Outlet].
func (c *conn) Send(lines []byte) error { return c.outcome(c.ws.Offer(lines)) }

// Await implements [chat.Outlet].
func (c *conn) Await() { c.ws.AwaitPeer() }

// tell is Send that waits for a client that does not read.
func (c *conn) tell(line []byte) error { return c.outcome(c.ws.TryWrite(line)) }

// outcome closes the connection if a write took too long.
func (c *conn) outcome(err error) error {
	switch err {
	case ws.ErrStill:
		return chat.ErrStill
	case ws.ErrBusy:
		return chat.ErrBusy
	case ws.ErrSlow:
		c.server.o.Log.Debug("client does not read", "user", c.user.ID)
		c.server.o.Meter.Slow()
		c.ws.Close(wire.CloseSlow, "the client did not read")
	}
	return err
}

// goodbye tells the client why it is closed, and when to come back. A
// connection that stands still is waited for: it may move away. One that is
// another process's is only dropped.
func (c *conn) goodbye(why wire.Why, after time.Duration) {
	if !c.ours.Load() {
		c.ws.CloseNow()
		return
	}
	bye := wire.AppendLine(nil, &wire.Bye{T: wire.KindBye, Why: why, AfterMS: after.Milliseconds()})
	for {
		switch c.tell(bye) {
		case chat.ErrStill:
			if !c.server.pause(drainPoll) {
				return
			}
			continue
		case ws.ErrMoved:
			return
		}
		code := wire.CloseGoingAway
		if why == wire.WhyDeploy {
			code = wire.CloseRestart
		}
		c.ws.Close(code, string(why))
		return
	}
}

// dismiss closes a connection that did not do what it should, unless it stands
// still: then the client was not read.
func (c *conn) dismiss(code int, reason string) {
	if c.tell(pingLine) != chat.ErrStill {
		c.ws.Close(code, reason)
	}
}

// ping asks for a sign of life.
func (c *conn) ping() {
	before := c.pinged.Swap(int64(c.server.now()))
	if c.tell(pingLine) == chat.ErrStill {
		c.pinged.Store(before)
	}
}
