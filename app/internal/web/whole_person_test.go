package web

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// someone is a client that posts, edits, deletes, reacts and reads, says much
// twice, drops and comes back, now at one site, now at the other, and at times
// with nothing but its name.
type someone struct {
	t      *testing.T
	sites  []*site
	name   string
	user   string
	cookie string
	rnd    *rand.Rand

	epoch  string
	base   int64 // what it holds begins after this
	cursor int64
	at     int64        // when the event there was committed
	log    []chat.Event // as it was told
	read   int64        // how far it has said that it has read
	heard  bool         // it has read everything and knows that the server knows

	left  int // requests to make
	open  []wire.Request
	acked map[string]int64 // nonce to seq
	naked map[string]wire.Code
	made  map[string]wire.Request
}

func newSomeone(t *testing.T, name string, sites []*site, rnd *rand.Rand, requests int) *someone {
	return &someone{
		t: t, sites: sites, name: name, rnd: rnd, left: requests,
		acked: map[string]int64{}, naked: map[string]wire.Code{}, made: map[string]wire.Request{},
	}
}

// signIn gets a session from a site that is up.
func (p *someone) signIn() {
	for end := time.Now().Add(3 * patience); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Post("http://"+p.sites[p.rnd.IntN(2)].addr+"/api/session", "application/json", strings.NewReader(`{"name":"`+p.name+`"}`))
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				c := resp.Cookies()[0]
				p.cookie = c.Name + "=" + c.Value
				return
			}
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s cannot sign in: %v", p.name, err)
		}
	}
}

// talk makes all its requests and has an answer to each.
func (p *someone) talk() {
	end := time.Now().Add(6*patience + time.Duration(p.left)*time.Second/2)
	for p.left > 0 || len(p.open) > 0 {
		if time.Now().After(end) {
			p.t.Errorf("%s: %d requests not made and %d without an answer when time ran out", p.name, p.left, len(p.open))
			return
		}
		if p.rnd.IntN(30) == 0 { // a new tab
			p.base, p.cursor, p.at, p.log = 0, -1, 0, nil
		}
		p.visit(p.more, func() bool { return p.left == 0 && len(p.open) == 0 })
	}
}

// listen comes back until it holds the log up to head, and has read it.
func (p *someone) listen(head int64) {
	for end := time.Now().Add(3 * patience); !p.heard; {
		if time.Now().After(end) {
			p.t.Errorf("%s: told up to %d of %d, read up to %d when time ran out", p.name, p.cursor, head, p.read)
			return
		}
		asked := false // on this connection, that all is read
		p.visit(func() []byte {
			if p.cursor < head || asked {
				return nil
			}
			asked, p.read = true, head
			b := wire.AppendLine(nil, &wire.Read{T: wire.KindRead, Room: "lobby", Seq: head})
			return wire.AppendLine(b, &wire.Ping{T: wire.KindPing})
		}, func() bool { return p.heard })
	}
}

// visit is a connection of a random length, on which it says more after each
// frame until it is done.
func (p *someone) visit(more func() []byte, done func() bool) {
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Duration(30+p.rnd.IntN(300))*time.Millisecond)
	defer cancel()
	url := "http://" + p.sites[p.rnd.IntN(2)].addr
	c, _, err := ws.Dial(ctx, url+"/ws", ws.DialOptions{Header: map[string][]string{"Cookie": {p.cookie}, "Origin": {url}}})
	if err != nil {
		time.Sleep(10 * time.Millisecond)
		return // it is down, or time ran out
	}
	defer c.CloseNow()
	say := wire.AppendLine(nil, &wire.Hello{T: wire.KindHello, V: 1, Epoch: p.epoch, Rooms: map[string]int64{"lobby": p.cursor}, At: map[string]int64{"lobby": p.at}})
	for _, r := range p.open {
		say = wire.AppendLine(say, r)
	}
	if c.Write(ctx, ws.Text, say) != nil {
		return
	}
	for !done() {
		frame, err := c.Read(ctx)
		if err != nil {
			return
		}
		for _, line := range wire.Lines(frame) {
			m, err := wire.ParseServer(line)
			if err != nil {
				p.t.Errorf("line %s: %v", line, err)
			}
			p.hear(m)
		}
		if b := more(); len(b) > 0 && c.Write(ctx, ws.Text, b) != nil {
			return
		}
	}
}

// more makes some requests, and says some of them twice.
func (p *someone) more() (say []byte) {
	for p.left > 0 && len(p.open) < 3 {
		p.left--
		r := p.request(fmt.Sprintf("%s-%d", p.name[len("Person "):], p.left))
		_, nonce := r.Key()
		p.made[nonce] = r
		p.open = append(p.open, r)
		for range 1 + p.rnd.IntN(2) {
			say = wire.AppendLine(say, r)
		}
	}
	if p.cursor > p.read && p.rnd.IntN(3) == 0 {
		p.read = p.cursor
		say = wire.AppendLine(say, &wire.Read{T: wire.KindRead, Room: "lobby", Seq: p.read})
	}
	return say
}

func (p *someone) request(nonce string) wire.Request {
	posts := p.posts(func(chat.Event) bool { return true })
	if len(posts) == 0 || p.rnd.IntN(3) == 0 {
		return &wire.Post{T: wire.KindPost, Room: "lobby", Nonce: nonce, Text: "post " + nonce}
	}
	of := posts[max(0, len(posts)-1-p.rnd.IntN(8))]
	switch p.rnd.IntN(6) {
	case 0:
		return &wire.Del{T: wire.KindDel, Room: "lobby", Nonce: nonce, Of: p.rather(of)}
	case 1, 2:
		return &wire.Edit{T: wire.KindEdit, Room: "lobby", Nonce: nonce, Of: p.rather(of), Text: "edit " + nonce}
	default:
		return &wire.React{T: wire.KindReact, Room: "lobby", Nonce: nonce, Of: of, Emoji: wire.QuickReactions()[p.rnd.IntN(2)], On: p.rnd.IntN(3) > 0}
	}
}

// posts are the seqs of those that it holds.
func (p *someone) posts(which func(chat.Event) bool) (seqs []int64) {
	for _, e := range p.log {
		if e.Kind == wire.EventPost && which(e) {
			seqs = append(seqs, e.Seq)
		}
	}
	return seqs
}

// rather is one of its own posts mostly, else the one given.
func (p *someone) rather(other int64) int64 {
	own := p.posts(func(e chat.Event) bool { return e.User.ID == p.user })
	if len(own) == 0 || p.rnd.IntN(4) == 0 {
		return other
	}
	return own[p.rnd.IntN(len(own))]
}

func (p *someone) hear(m any) {
	switch m := m.(type) {
	case *wire.Welcome:
		p.epoch, p.user = m.Epoch, m.User.ID
		p.hearRead(m.Reads["lobby"])
	case *wire.Read:
		p.hearRead(m.Seq)
	case *wire.Pong:
		p.heard = true
	case *wire.Reset:
		if p.cursor != -1 && m.Head-p.cursor <= wire.MaxMissed {
			p.t.Errorf("%s: reset %+v of a cursor at %d", p.name, m, p.cursor)
		}
		p.base, p.cursor, p.at, p.log = m.After, m.After, 0, nil
	case *wire.Event:
		p.hearEvent(m)
	case *wire.Ack:
		if before, twice := p.acked[m.Nonce]; twice && before != m.Seq {
			p.t.Errorf("%s: %s is acknowledged at %d and at %d", p.name, m.Nonce, before, m.Seq)
		}
		p.acked[m.Nonce] = m.Seq
		p.answered(m.Nonce)
	case *wire.Nak:
		if m.RetryMS == 0 {
			p.naked[m.Nonce] = m.Code
			p.answered(m.Nonce)
		}
	}
}

func (p *someone) hearEvent(m *wire.Event) {
	if m.Seq != p.cursor+1 {
		p.t.Errorf("%s: got seq %d after %d", p.name, m.Seq, p.cursor)
	}
	p.cursor, p.at = m.Seq, m.TS
	p.log = append(p.log, chat.Event{
		Room: m.Room, Seq: m.Seq, At: time.UnixMilli(m.TS).UTC(), Kind: m.Kind, User: chat.User(m.User), Nonce: m.Nonce,
		Text: m.Text, Of: m.Of, Emoji: m.Emoji, On: m.On != nil && *m.On,
	})
}

// hearRead takes the server's idea of how far it has read.
func (p *someone) hearRead(seq int64) {
	if seq > p.read {
		p.t.Errorf("%s: has read up to %d, the server says %d", p.name, p.read, seq)
	}
}

func (p *someone) answered(nonce string) {
	p.open = slices.DeleteFunc(p.open, func(r wire.Request) bool { _, n := r.Key(); return n == nonce })
}
