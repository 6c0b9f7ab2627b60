package load

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// alone is a client without a site, at one end of a link.
func alone(t *testing.T, id int) (c *client, l *link, server net.Conn) {
	t.Helper()
	r := newRun(Config{Clients: 10, Chatters: 10, Rate: 1, Rooms: 1, For: time.Minute}, nil)
	near, far := net.Pipe()
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	c = r.clients[id]
	l = &link{conn: newWireConn(near), client: c}
	c.link = l
	return c, l, far
}

// silent is alone with a server that reads everything and does not answer.
func silent(t *testing.T, id int) (*client, *link) {
	t.Helper()
	c, l, server := alone(t, id)
	read := make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(io.Discard, server)
	}()
	t.Cleanup(func() {
		l.conn.Close()
		<-read
	})
	return c, l
}

// tell has the server say lines, in one frame.
func tell(t *testing.T, c *client, l *link, lines ...any) {
	t.Helper()
	var b []byte
	for _, line := range lines {
		b = wire.AppendLine(b, line)
	}
	if err := c.take(l, serverFrame(opText, b)); err != nil {
		t.Fatal(err)
	}
}

var resync = wire.Resync{T: wire.KindResync}

// say is the n-th message of a log that one author has filled.
func say(c *client, n int64) wire.Event {
	return wire.Event{
		T: wire.KindEvent, Room: c.seats[0].room.name, Seq: n, Kind: wire.EventPost,
		Text: message{author: 0, number: n}.text(c.run.tag),
	}
}

// However much of a message is written when the resync comes, it is written to
// its end, hello is the next one and the post comes again behind it.
func TestAResyncWaitsForTheMessageBeingWritten(t *testing.T) {
	t.Parallel()
	var whole []byte
	for cut := 1; cut == 1 || cut < len(whole); cut += 7 {
		c, l, server := alone(t, 3)
		if c.manner != mannerFragments {
			t.Fatal("this client sends no fragments")
		}
		posted := make(chan struct{})
		go func() {
			defer close(posted)
			c.post(0, 0)
		}()
		begin := make([]byte, cut)
		if _, err := io.ReadFull(server, begin); err != nil {
			t.Fatal(err)
		}
		tell(t, c, l, resync) // it must not wait for the one who writes
		rest := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(server)
			rest <- b
		}()
		<-posted
		l.conn.Close()
		all := append(begin, <-rest...)
		if whole == nil {
			whole = all[:len(all)/3] // about the first of three
		}
		kinds := clientLines(t, all)
		if want := []wire.Kind{wire.KindPost, wire.KindHello, wire.KindPost}; !slices.Equal(kinds, want) {
			t.Fatalf("a resync after %d bytes: the server reads %q, want %q", cut, kinds, want)
		}
	}
}

// clientLines reads what a client wrote as a server does.
func clientLines(t *testing.T, stream []byte) (kinds []wire.Kind) {
	t.Helper()
	var d decoder
	var h heard
	for in := bufio.NewReader(bytes.NewReader(stream)); ; {
		f, err := readMasked(in)
		if err == io.EOF {
			break
		}
		if err == nil {
			err = d.feed(unmask(t, f), &h)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if d.midMessage() {
		t.Error("the last message is not whole")
	}
	for _, line := range h.got {
		if m, err := wire.ParseClient([]byte(line)); err == nil {
			kinds = append(kinds, kindOf(wire.AppendLine(nil, m)))
		}
	}
	return kinds
}

// What waits to be written when a resync comes is for a server that has died.
func TestAResyncPutsHelloFirst(t *testing.T) {
	c, l, _ := alone(t, 0)
	l.phase = sendingFrame // somebody writes
	c.post(0, 0)
	c.ping()
	c.post(1, 0)
	tell(t, c, l, resync)
	if got := l.lines; bytes.Count(got, []byte("\n")) != 3 || kindOf(got) != wire.KindHello {
		t.Errorf("queued are %s, want hello and the two posts", got)
	}
}

// A kill is to blame for the end of a link when something was under way.
func TestUnderWay(t *testing.T) {
	room := func(c *client) string { return c.seats[0].room.name }
	nonce := func(c *client) string { return c.outbox[0].nonce }
	begin := func(frame []byte, n int) func(*testing.T, *client, *link) {
		return func(t *testing.T, c *client, l *link) {
			if err := c.take(l, frame[:n]); err != nil {
				t.Fatal(err)
			}
		}
	}
	welcome := wire.Welcome{T: wire.KindWelcome}
	for name, tt := range map[string]struct {
		do   func(*testing.T, *client, *link)
		want bool
	}{
		"nothing":                 {func(*testing.T, *client, *link) {}, false},
		"a whole frame is read":   {begin([]byte("\x81\x02{}"), 4), false},
		"a byte of a header":      {begin([]byte("\x81\x02{}"), 1), true},
		"a header":                {begin([]byte("\x81\x02{}"), 2), true},
		"a part of a frame":       {begin([]byte("\x81\x02{}"), 3), true},
		"a part of a control":     {begin([]byte("\x89\x02xy"), 3), true},
		"one fragment of several": {begin([]byte("\x01\x02{}"), 4), true},
		"a post without answer":   {func(_ *testing.T, c *client, l *link) { c.post(0, 0) }, true},
		"a post with ack": {func(t *testing.T, c *client, l *link) {
			c.post(0, 0)
			tell(t, c, l, wire.Ack{T: wire.KindAck, Room: room(c), Nonce: nonce(c), Seq: 1})
		}, false},
		"two posts, one ack": {func(t *testing.T, c *client, l *link) {
			c.post(0, 0)
			c.post(1, 0)
			tell(t, c, l, wire.Ack{T: wire.KindAck, Room: room(c), Nonce: nonce(c), Seq: 1})
		}, true},
		"a post with nak": {func(t *testing.T, c *client, l *link) {
			c.post(0, 0)
			tell(t, c, l, wire.Nak{T: wire.KindNak, Room: room(c), Nonce: nonce(c), RetryMS: 60_000})
		}, false},
		"hello without welcome": {func(_ *testing.T, c *client, l *link) { c.greet(l) }, true},
		"hello with welcome": {func(t *testing.T, c *client, l *link) {
			c.greet(l)
			tell(t, c, l, welcome)
		}, false},
		"ping without pong": {func(t *testing.T, c *client, l *link) {
			tell(t, c, l, welcome)
			c.ping()
		}, true},
		"ping with pong": {func(t *testing.T, c *client, l *link) {
			tell(t, c, l, welcome)
			c.ping()
			tell(t, c, l, wire.Pong{T: wire.KindPong})
		}, false},
		"ping that a resync makes void": {func(t *testing.T, c *client, l *link) {
			tell(t, c, l, welcome)
			c.ping()
			tell(t, c, l, resync)
			tell(t, c, l, welcome)
		}, false},
		"get without page": {func(t *testing.T, c *client, l *link) {
			tell(t, c, l, wire.Reset{T: wire.KindReset, Room: room(c), After: 5, Head: 9})
		}, true},
		"get with page": {func(t *testing.T, c *client, l *link) {
			tell(t, c, l, wire.Reset{T: wire.KindReset, Room: room(c), After: 5, Head: 9})
			tell(t, c, l, wire.Page{T: wire.KindPage, Room: room(c)})
		}, false},
		"a pong of ours": {func(t *testing.T, c *client, l *link) { tell(t, c, l, wire.Ping{T: wire.KindPing}) }, false},
		"a frame that cannot be written": {func(t *testing.T, c *client, l *link) {
			l.conn.Close()
			tell(t, c, l, wire.Ping{T: wire.KindPing})
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			c, l := silent(t, 0)
			begun := c.run.clock()
			tt.do(t, c, l)
			since := c.underWay(l)
			if since != 0 && since < begun {
				t.Errorf("since %v, which is before %v", since, begun)
			}
			if got := since != never; got != tt.want {
				t.Errorf("under way is %t, want %t", got, tt.want)
			}
		})
	}
}

// While a frame is being written, it is under way.
func TestAFrameBeingWrittenIsUnderWay(t *testing.T) {
	t.Parallel()
	c, l, server := alone(t, 0)
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		tell(t, c, l, wire.Ping{T: wire.KindPing})
	}()
	one := make([]byte, 1)
	if _, err := io.ReadFull(server, one); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	since := c.underWay(l)
	c.mu.Unlock()
	if since == never {
		t.Error("nothing is under way in the middle of a frame")
	}
	go io.Copy(io.Discard, server)
	<-wrote
}

// What a server says after a resync has to begin at the cursor of the hello. Only
// when two resyncs cross the first hello is what was said on that said again.
func TestAfterAResyncOnlyWhatTwoHellosAskForComesTwice(t *testing.T) {
	welcome := wire.Welcome{T: wire.KindWelcome}
	for _, tt := range []struct {
		name  string
		lines func(c *client) []any
		again int64
	}{
		{"on from the cursor", func(c *client) []any { return []any{resync, welcome, say(c, 3)} }, 0},
		{"from before the cursor", func(c *client) []any { return []any{resync, welcome, say(c, 2), say(c, 3)} }, 1},
		{"for two hellos", func(c *client) []any { return []any{resync, resync, welcome, say(c, 3), welcome, say(c, 3), say(c, 4)} }, 0},
		{"one too often for two hellos", func(c *client) []any {
			return []any{resync, resync, welcome, say(c, 3), welcome, say(c, 3), say(c, 4), say(c, 4)}
		}, 1},
		{"for two resyncs in turn", func(c *client) []any { return []any{resync, welcome, say(c, 3), resync, welcome, say(c, 3)} }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, l := silent(t, 0)
			tell(t, c, l, welcome, say(c, 1), say(c, 2))
			tell(t, c, l, tt.lines(c)...)
			s := c.seats[0]
			if s.duplicated != tt.again || s.reordered != 0 || len(s.seqs.missing) > 0 {
				t.Errorf("got %d duplicated, %d reordered, missing %v; want %d duplicated", s.duplicated, s.reordered, s.seqs.missing, tt.again)
			}
			if c.welcomes != 1 {
				t.Errorf("%d welcomes count as connections, want 1", c.welcomes)
			}
		})
	}
}

// A worker that said bye and was killed then has not ended the connection.
func TestAResyncTakesBackABye(t *testing.T) {
	c, l := silent(t, 0)
	tell(t, c, l, wire.Bye{T: wire.KindBye, AfterMS: 60_000})
	if !l.bye || l.stay != time.Minute {
		t.Fatalf("got %+v, want the bye taken", l)
	}
	if tell(t, c, l, resync); l.bye || l.stay != 0 {
		t.Error("the bye still holds after the resync")
	}
}

// Only those closes that a server makes of all its connections tell that it
// goes: one client more that was too slow does not make a kill a deploy.
func TestWhatIsAGoodbye(t *testing.T) {
	for code, want := range map[int]bool{
		wire.CloseGoingAway: true, wire.CloseRestart: true,
		wire.CloseInternal: false, wire.CloseSlow: false, wire.CloseSilent: false, 1000: false,
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			c, l := silent(t, 0)
			if c.take(l, serverFrame(opClose, []byte{byte(code >> 8), byte(code)})) == nil {
				t.Error("the link goes on after a close frame")
			}
			if got := len(c.run.timeline.goodbyes) > 0; got != want || l.code != code {
				t.Errorf("close code %d is taken as %d, a goodbye: %t, want %t", code, l.code, got, want)
			}
		})
	}
}

// What a link's end is judged by.
func TestAnEndTellsWhatItTore(t *testing.T) {
	c, l := silent(t, 0)
	before := c.run.clock()
	tell(t, c, l, resync)
	c.lost(l)
	e := c.run.endings[0]
	if e.closed || e.resynced < before || e.underWay < before || e.at < e.underWay || e.underWay == never {
		t.Errorf("got %+v, want the resync and the hello after %v, and no close frame", e, before)
	}
}
