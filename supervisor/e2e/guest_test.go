package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// guest is a person in one room, with everything that a good client does: it
// keeps a cursor, repeats unanswered posts with their nonces, and comes back
// when it is told to.
type guest struct {
	http                *http.Client
	url, origin, cookie string
	name, room          string

	mu       sync.Mutex
	epoch    string
	received []wire.Event // in the order of arrival; the cursor is its length
	waiting  []wire.Post  // posted and not acknowledged
	acked    map[string]int64
	typists  []string // who writes something just now
	conn     *ws.Client
	connects int
	closes   []string // why connections ended
	naks     []string // why posts were refused for now
	faults   []string // what must never happen
}

// newGuest picks a name.
func newGuest(site *site, name, room string) (*guest, error) {
	return newGuestOf(http.DefaultClient, site.addr, name, room)
}

// newGuestOf is newGuest on what a client reaches at an address.
func newGuestOf(c *http.Client, addr, name, room string) (*guest, error) {
	body := strings.NewReader(fmt.Sprintf(`{"name":%q}`, name))
	resp, err := c.Post("http://"+addr+"/api/session", "application/json", body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || len(resp.Cookies()) != 1 {
		text, _ := io.ReadAll(resp.Body)
		return nil, fmt.Errorf("pick name %s: %s: %s", name, resp.Status, text)
	}
	cookie := resp.Cookies()[0]
	return &guest{
		http: c, url: "ws://" + addr + "/ws", origin: "http://" + addr, cookie: cookie.Name + "=" + cookie.Value,
		name: name, room: room, acked: map[string]int64{},
	}, nil
}

// run stays connected until ctx ends.
func (g *guest) run(ctx context.Context) {
	for ctx.Err() == nil {
		wait := g.converse(ctx)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// converse holds one connection to its end and returns how long to stay away.
func (g *guest) converse(ctx context.Context) (wait time.Duration) {
	wait = rand.N(200*time.Millisecond) + 20*time.Millisecond
	c, _, err := ws.Dial(ctx, g.url, ws.DialOptions{Header: http.Header{"Cookie": {g.cookie}, "Origin": {g.origin}}, HTTP: g.http})
	if err != nil {
		g.note(func() { g.closes = append(g.closes, err.Error()) })
		return wait
	}
	defer c.CloseNow()
	if err := g.greet(ctx, c); err != nil {
		return wait
	}
	defer g.note(func() { g.conn = nil })
	for {
		frame, err := c.Read(ctx)
		if err != nil {
			if ctx.Err() == nil {
				g.note(func() { g.closes = append(g.closes, closeReason(err)) })
			}
			return wait
		}
		for _, line := range wire.Lines(frame) {
			m, err := wire.ParseServer(line)
			if bye, ok := m.(*wire.Bye); ok {
				wait = time.Duration(bye.AfterMS) * time.Millisecond
				continue
			}
			g.note(func() { g.take(ctx, c, m, err) })
		}
	}
}

// greet says hello with the cursor and repeats what was not acknowledged. From
// then on post sends over c.
func (g *guest) greet(ctx context.Context, c *ws.Client) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.connects++
	frame := wire.AppendLine(nil, wire.Hello{T: wire.KindHello, V: wire.Version, Epoch: g.epoch, Rooms: map[string]int64{g.room: int64(len(g.received))}})
	for _, p := range g.waiting {
		frame = wire.AppendLine(frame, p)
	}
	if err := c.Write(ctx, ws.Text, frame); err != nil {
		return err
	}
	g.conn = c
	return nil
}

// take handles one line, with the mutex held.
func (g *guest) take(ctx context.Context, c *ws.Client, m any, err error) {
	switch m := m.(type) {
	case *wire.Welcome:
		if g.epoch != "" && g.epoch != m.Epoch {
			g.fault("the epoch changed")
		}
		g.epoch = m.Epoch
	case *wire.Event:
		if want := int64(len(g.received)) + 1; m.Seq != want || m.Room != g.room {
			g.fault("got seq %d of %s, want %d of %s", m.Seq, m.Room, want, g.room)
			return
		}
		g.received = append(g.received, *m)
	case *wire.Ack:
		if seq, twice := g.acked[m.Nonce]; twice && seq != m.Seq {
			g.fault("%s was acknowledged at %d and at %d", m.Nonce, seq, m.Seq)
		}
		g.acked[m.Nonce] = m.Seq
		for i, p := range g.waiting {
			if p.Nonce == m.Nonce {
				g.waiting = append(g.waiting[:i], g.waiting[i+1:]...)
				break
			}
		}
	case *wire.Nak:
		g.refused(ctx, m)
	case *wire.Typists:
		g.typists = m.Users
	case *wire.Err:
		g.fault("err %s: %s", m.Code, m.Msg)
	case *wire.Reset:
		g.fault("reset to %d of %d", m.After, m.Head)
	case *wire.Ping:
		c.Write(ctx, ws.Text, wire.AppendLine(nil, wire.Pong{T: wire.KindPong}))
	}
	if err != nil {
		g.fault("unreadable line: %v", err)
	}
}

// refused repeats a post when the server has said that it may. The mutex is held.
func (g *guest) refused(ctx context.Context, nak *wire.Nak) {
	if nak.RetryMS == 0 {
		g.fault("nak %s: %s", nak.Code, nak.Msg)
		return
	}
	g.naks = append(g.naks, fmt.Sprintf("nak %s: %s", nak.Code, nak.Msg))
	time.AfterFunc(time.Duration(nak.RetryMS)*time.Millisecond, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, p := range g.waiting {
			if p.Nonce == nak.Nonce && g.conn != nil {
				g.conn.Write(ctx, ws.Text, wire.AppendLine(nil, p)) // without a connection the next greeting repeats it
			}
		}
	})
}

// post says something; if nobody listens at the moment, later.
func (g *guest) post(ctx context.Context, text string) {
	g.mu.Lock()
	p := wire.Post{T: wire.KindPost, Room: g.room, Nonce: text, Text: text}
	g.waiting = append(g.waiting, p)
	c := g.conn
	g.mu.Unlock()
	if c != nil {
		c.Write(ctx, ws.Text, wire.AppendLine(nil, p)) // lost with the connection, it is repeated
	}
}

// types says that it writes something, if somebody listens at the moment.
func (g *guest) types(ctx context.Context) {
	g.mu.Lock()
	c := g.conn
	g.mu.Unlock()
	if c != nil {
		c.Write(ctx, ws.Text, wire.AppendLine(nil, wire.Typing{T: wire.KindTyping, Room: g.room}))
	}
}

// settled reports whether everything posted is acknowledged and everything up
// to head has arrived.
func (g *guest) settled(head int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting) == 0 && int64(len(g.received)) >= head
}

func (g *guest) note(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
}

func (g *guest) fault(format string, args ...any) {
	g.faults = append(g.faults, g.name+": "+fmt.Sprintf(format, args...))
}

func closeReason(err error) string {
	var ce *ws.CloseError
	if errors.As(err, &ce) {
		return fmt.Sprintf("closed %d", ce.Code)
	}
	return "cut"
}
