package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// manner is how a client makes a server's life hard.
type manner uint8

const (
	mannerPlain     manner = iota
	mannerFragments        // sends each message in fragments, with pings and pauses inside
	mannerPings            // sends pings
	mannerSlow             // reads slowly
)

// slowness is the pause of a slow reader after each read of at most 2 KiB.
const slowness = 20 * time.Millisecond

// fidget is how often a client that fragments or pings does so unasked.
const fidget = time.Second

// Full jitter of a client that comes back: a random time up to a bound that
// doubles.
const (
	returnMin = 500 * time.Millisecond
	returnMax = 8 * time.Second
)

// post is a message on its way.
type post struct {
	room    *room
	ledger  *ledger
	number  int64
	nonce   string
	text    string
	sent    time.Duration // when last, in the time of the run
	retryAt time.Time     // refused for the moment until then; zero: an answer is awaited
}

// client is one person. At most two goroutines run for it: one that keeps the
// connection and reads, and one that talks.
type client struct {
	run    *run
	id     int
	manner manner
	cookie string        // of the reader alone
	nudge  chan struct{} // wakes the talker: a post has to be repeated later

	mu       sync.Mutex // held while a ledger's is taken, never the other way
	seats    []*seat
	link     *link // nil when there is none
	epoch    string
	outbox   []post // not acknowledged, in the order of their numbers
	now      time.Duration
	waiting  silences
	welcomes int64
}

func newClient(r *run, id int) *client {
	c := &client{run: r, id: id, nudge: make(chan struct{}, 1)}
	if !r.Plain {
		c.manner = map[int]manner{3: mannerFragments, 5: mannerPings, 7: mannerSlow}[id%10]
	}
	for _, n := range r.schedule.roomsOf(id, r.Rooms) {
		room := r.rooms[n]
		c.seats = append(c.seats, newSeat(room))
		if _, l := room.ledgerOf(id); l != nil {
			l.fragments = c.manner == mannerFragments
		}
	}
	return c
}

// keep stays connected until ctx ends.
func (c *client) keep(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; failures++ {
		l, err := c.visit(ctx)
		if ctx.Err() != nil {
			return
		}
		c.run.remarks.add("connection", err)
		wait := rand.N(min(returnMin<<min(failures, 10), returnMax))
		if l != nil && l.welcome {
			failures = -1
		}
		if l != nil && (l.bye || l.code != 0) {
			wait = l.stay
		}
		if l == nil && c.run.isHopeless(err) {
			return
		}
		if l != nil && l.code >= 4500 {
			return // trying again cannot help, see the invariants of proto/chat
		}
		sleep(ctx, wait)
	}
}

// visit holds one connection to its end. The link is nil when there was none.
func (c *client) visit(ctx context.Context) (*link, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	l := &link{conn: conn, client: c}
	// A deadline rather than Close: the reader says goodbye first.
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	c.greet(l)
	err = l.read(ctx)
	if ctx.Err() != nil {
		c.goodbye(l)
		return l, ctx.Err()
	}
	c.lost(l)
	if l.code != 0 {
		err = fmt.Errorf("closed with %d", l.code)
	}
	return l, err
}

// connect signs in if need be and opens a WebSocket. Only so many do at once.
func (c *client) connect(ctx context.Context) (*wireConn, error) {
	select {
	case c.run.dialing <- struct{}{}:
		defer func() { <-c.run.dialing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	t := c.run.target
	if c.cookie == "" {
		a, err := t.once(ctx, c.id, t.signIn(fmt.Sprintf("load %s %d", c.run.tag, c.id), ""))
		if err == nil {
			err = a.isOK()
		}
		if err == nil {
			c.cookie, err = cookieOf(a)
		}
		if err != nil {
			return nil, fmt.Errorf("sign in: %w", err)
		}
	}
	return t.upgrade(ctx, c.id, c.cookie)
}

// greet makes l the client's link.
func (c *client) greet(l *link) {
	c.mu.Lock()
	c.link = l
	c.hello(l)
	c.mu.Unlock()
	c.flush(l)
}

// hello says where the client stands and repeats what is not acknowledged. mu
// is held.
func (c *client) hello(l *link) {
	h := wire.Hello{T: wire.KindHello, V: wire.Version, Epoch: c.epoch, Rooms: map[string]int64{}}
	for _, s := range c.seats {
		s.from, s.asked = s.seqs.top, 0
		h.Rooms[s.room.name] = s.from
	}
	l.greeted = c.run.clock()
	l.say(h)
	for i := range c.outbox {
		c.send(l, &c.outbox[i])
	}
	for _, s := range c.seats {
		c.askHole(l, s)
	}
}

// send queues a post. mu is held.
func (c *client) send(l *link, p *post) {
	p.sent, p.retryAt = c.run.clock(), time.Time{}
	l.say(wire.Post{T: wire.KindPost, Room: p.room.name, Nonce: p.nonce, Text: p.text})
}

// askHole asks for what a reset skipped, once at a time. mu is held.
func (c *client) askHole(l *link, s *seat) {
	if s.hole.first == 0 || s.asked > 0 {
		return
	}
	s.asked = c.run.clock()
	after := s.hole.first - 1
	l.say(wire.Get{T: wire.KindGet, Room: s.room.name, After: &after, Limit: wire.MaxPage})
}

// goodbye ends the link as one should.
func (c *client) goodbye(l *link) {
	c.mu.Lock()
	c.link = nil
	l.lines = nil
	l.control = appendFrame(l.control, opClose, true, []byte{1000 >> 8, 1000 & 0xff})
	c.mu.Unlock()
	c.flush(l)
}

// lost notes that the server, or somebody between, ended the link.
func (c *client) lost(l *link) {
	c.mu.Lock()
	c.link = nil
	e := ending{at: c.run.clock(), closed: l.code != 0, underWay: c.underWay(l), resynced: l.resynced}
	c.mu.Unlock()
	c.flush(l) // the answer to a close frame
	c.run.ended(e)
}

// take reads bytes from the server.
func (c *client) take(l *link, b []byte) error {
	c.mu.Lock()
	knew := l.isGoodbye()
	c.now = c.run.clock()
	err := l.decoder.feed(b, l)
	knows, code := l.isGoodbye(), l.code
	c.mu.Unlock()
	if knows && !knew {
		c.run.timeline.goodbye(time.Now())
	}
	if code != 0 {
		return errors.New("closed")
	}
	c.flush(l)
	return err
}

// line reads one line. mu is held, as in all that follow.
func (c *client) line(l *link, b []byte) {
	if e, ok := scanEvent(b); ok {
		c.event(l, e)
		return
	}
	switch kindOf(b) {
	case wire.KindPres:
		return
	}
	m, err := wire.ParseServer(b)
	var unknown *wire.Error
	if errors.As(err, &unknown) && unknown.Code == wire.CodeUnknown {
		return
	}
	if err != nil {
		c.run.remarks.add("line", err)
		return
	}
	c.message(l, m)
}

func (c *client) message(l *link, m any) {
	switch m := m.(type) {
	case *wire.Event:
		c.event(l, event{[]byte(m.Room), m.Seq, []byte(m.Text)})
	case *wire.Welcome:
		c.welcome(l, m)
	case *wire.Live:
		c.live(m)
	case *wire.Ack:
		c.ack(m)
	case *wire.Nak:
		c.nak(m)
	case *wire.Reset:
		if s := c.seatIn(m.Room); s != nil && s.reset(m.After) {
			c.askHole(l, s)
		}
	case *wire.Page:
		c.page(l, m)
	case *wire.Ping:
		l.say(wire.Pong{T: wire.KindPong})
	case *wire.Pong:
		l.pinged = 0
	case *wire.Resync:
		c.resync(l)
	case *wire.Bye:
		l.bye, l.stay = true, time.Duration(m.AfterMS)*time.Millisecond
	case *wire.Err:
		c.trouble(m)
	}
}

// resync begins anew on the same link. What is still queued was meant for a
// server that has died, and all of it that matters is said again.
func (c *client) resync(l *link) {
	l.resynced = c.now
	l.lines, l.pinged = nil, 0
	l.bye, l.stay = false, 0
	c.hello(l)
}

// welcome counts connections that came to be: a second one on the same link
// answers a resync. When events have come since the hello it answers, there
// were two resyncs, and the server says those events again.
func (c *client) welcome(l *link, m *wire.Welcome) {
	c.epoch = m.Epoch
	l.greeted = 0
	for _, s := range c.seats {
		if s.from < s.seqs.top {
			s.again = s.seqs.top
		}
	}
	if !l.welcome {
		l.welcome = true
		c.welcomes++
	}
}

func (c *client) seatIn(room string) *seat {
	for _, s := range c.seats {
		if s.room.name == room {
			return s
		}
	}
	return nil
}

func (c *client) event(l *link, e event) {
	s := c.seatIn(string(e.room))
	if s == nil {
		return
	}
	m, ours := parseMessage(e.text, c.run.tag)
	if s.take(e.seq, m, ours) {
		c.measure(s, m, ours)
	}
	c.askHole(l, s)
}

// measure takes the times of an event that has just come.
func (c *client) measure(s *seat, m message, ours bool) {
	if c.manner == mannerSlow {
		return
	}
	if s.heard > 0 {
		c.waiting.add(s.heard, c.now, c.now-s.heard-s.room.pause, c.run.step)
	}
	s.heard = c.now
	if _, l := s.room.ledgerOf(m.author); ours && l != nil && m.author != c.id && !l.fragments {
		c.run.latency.record(c.now.Microseconds() - m.due)
	}
}

func (c *client) live(m *wire.Live) {
	s := c.seatIn(m.Room)
	if s == nil || s.live {
		return
	}
	s.live = true
	if !slices.ContainsFunc(c.seats, func(s *seat) bool { return !s.live }) {
		c.run.arrived()
	}
}

// find returns the place of a post in the outbox.
func (c *client) find(room, nonce string) int {
	return slices.IndexFunc(c.outbox, func(p post) bool { return p.nonce == nonce && p.room.name == room })
}

// ack takes an acknowledgement. A post that is not in the outbox was
// acknowledged before, on a repetition.
func (c *client) ack(m *wire.Ack) {
	i := c.find(m.Room, m.Nonce)
	if i < 0 {
		return
	}
	p := c.outbox[i]
	c.outbox = slices.Delete(c.outbox, i, i+1)
	p.ledger.acknowledge(p.number, m.Seq)
	p.room.acknowledged(m.Seq)
}

func (c *client) nak(m *wire.Nak) {
	c.run.remarks.add("post refused", errors.New(string(m.Code)))
	i := c.find(m.Room, m.Nonce)
	if i < 0 {
		return
	}
	if m.RetryMS == 0 {
		c.outbox = slices.Delete(c.outbox, i, i+1)
		return
	}
	p := &c.outbox[i]
	p.ledger.waive(p.number)
	p.retryAt = time.Now().Add(time.Duration(m.RetryMS) * time.Millisecond)
	select {
	case c.nudge <- struct{}{}:
	default:
	}
}

// page takes what was asked for after a reset, and asks for more.
func (c *client) page(l *link, m *wire.Page) {
	s := c.seatIn(m.Room)
	if s == nil {
		return
	}
	for i := range m.Events {
		e := &m.Events[i]
		text, ours := parseMessage([]byte(e.Text), c.run.tag)
		s.read(e.Seq, text, ours)
	}
	s.asked = 0
	if len(m.Events) == 0 {
		s.hole = span{} // there is nothing: the log will tell whether that is right
	}
	c.askHole(l, s)
}

// trouble takes an err. When it was about reading a hole that is tried again
// with the next event.
func (c *client) trouble(m *wire.Err) {
	c.run.remarks.add("line refused", errors.New(string(m.Code)))
	for _, s := range c.seats {
		s.asked = 0
	}
}

// never is when something begins that is not under way.
const never = time.Duration(math.MaxInt64)

// underWay is since when the client has been in mid-message: the end of the
// link tears what was partly read or written, and nobody but the server knows
// how much it has read of what it has not answered. A pong has no answer.
func (c *client) underWay(l *link) time.Duration {
	if l.decoder.midMessage() {
		return 0 // only the server that began it could end it
	}
	since := never
	begun := func(at time.Duration) {
		if at > 0 {
			since = min(since, at)
		}
	}
	if l.phase != sendingNothing {
		begun(l.wrote)
	}
	begun(l.greeted)
	begun(l.pinged)
	for _, s := range c.seats {
		begun(s.asked)
	}
	for i := range c.outbox {
		if c.outbox[i].retryAt.IsZero() {
			begun(c.outbox[i].sent)
		}
	}
	return since
}

// isSettled reports whether nothing is on its way any more.
func (c *client) isSettled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.outbox) == 0 && !slices.ContainsFunc(c.seats, func(s *seat) bool { return !s.isComplete() })
}

// begin starts the measuring of silence: from here on there are events.
func (c *client) begin(at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.seats {
		s.heard = at
	}
}

// received is how many events have arrived, each once.
func (c *client) received() (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.seats {
		n += s.seqs.received()
	}
	return n
}

// isConnected reports whether the server has welcomed the client.
func (c *client) isConnected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link != nil && c.link.welcome
}
