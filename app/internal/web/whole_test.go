package web

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/sqlite"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// site is a worker on a store of its own, on one database with others, that is
// stopped and started again at an address that stays.
type site struct {
	t    *testing.T
	dir  string
	addr string
	bus  chat.Bus

	mu  sync.Mutex
	hub *chat.Hub // nil: it is down
}

// run keeps the site up until ctx ends, but for some restarts: each closes every
// client at once, and the store.
func (s *site) run(ctx context.Context, rnd *rand.Rand, restarts int) {
	for i := 0; ctx.Err() == nil; i++ {
		life, stop := context.WithCancel(ctx)
		if i < restarts {
			time.AfterFunc(time.Duration(300+rnd.IntN(500))*time.Millisecond, stop)
		}
		s.live(life)
		stop()
	}
}

func (s *site) live(ctx context.Context) {
	store, err := sqlite.Open(context.WithoutCancel(ctx), s.dir, sqlite.Options{})
	if err != nil {
		s.t.Errorf("open: %v", err)
		return
	}
	defer store.Close()
	hub := chat.NewHub(chat.Options{Store: store, Bus: s.bus})
	server, err := New(Options{Hub: hub, Store: store, Auth: auth.New(auth.Options{Store: store, Present: hub})})
	if err != nil {
		s.t.Errorf("new: %v", err)
		return
	}
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Errorf("listen: %v", err)
		return
	}
	hubCtx, stopHub := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { hub.Run(hubCtx) })
	hub.Peers(1)
	s.set(hub)
	if err := server.Run(ctx, l); err != nil {
		s.t.Errorf("run: %v", err)
	}
	s.set(nil)
	stopHub()
	running.Wait()
}

func (s *site) set(h *chat.Hub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hub = h
}

// doorbell rings at another site, and loses every third message.
type doorbell struct {
	mu  sync.Mutex
	rnd *rand.Rand
	to  *site
}

func (d *doorbell) Publish(data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to.mu.Lock()
	defer d.to.mu.Unlock()
	if d.to.hub != nil && d.rnd.IntN(3) > 0 {
		d.to.hub.Deliver(data)
	}
}

// someone is a client that posts, edits, deletes and reacts, says much twice,
// drops and comes back, now at one site, now at the other.
type someone struct {
	t      *testing.T
	sites  []*site
	name   string
	user   string
	cookie string
	rnd    *rand.Rand

	epoch  string
	cursor int64
	log    []chat.Event // as it was told
	left   int          // requests to make
	open   []wire.Request
	acked  map[string]int64 // nonce to seq
	naked  map[string]wire.Code
	made   map[string]wire.Request
}

// TestTheWholeChat: whatever drops, repeats and restarts, in the end everybody
// holds exactly the log, each request is in it once or was refused, and what
// everybody makes of it is what the server makes of it.
func TestTheWholeChat(t *testing.T) {
	const people, requests = 6, 40
	dir := t.TempDir()
	one, two := &site{t: t, dir: dir}, &site{t: t, dir: dir}
	one.bus = &doorbell{rnd: rand.New(rand.NewPCG(1, 1)), to: two}
	two.bus = &doorbell{rnd: rand.New(rand.NewPCG(2, 2)), to: one}
	sites := []*site{one, two}
	ctx, cancel := context.WithCancel(context.Background())
	var running, talking sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait(); http.DefaultClient.CloseIdleConnections() })
	for i, s := range sites {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.addr = l.Addr().String()
		l.Close()
		running.Go(func() { s.run(ctx, rand.New(rand.NewPCG(3, uint64(i))), 4) })
	}
	var all []*someone
	for i := range people {
		p := &someone{
			t: t, sites: sites, name: fmt.Sprint("Person ", i), rnd: rand.New(rand.NewPCG(4, uint64(i))), left: requests,
			acked: map[string]int64{}, naked: map[string]wire.Code{}, made: map[string]wire.Request{},
		}
		p.signIn()
		all = append(all, p)
	}
	for _, p := range all {
		talking.Go(p.talk)
	}
	talking.Wait()

	store, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	log, err := store.After(t.Context(), "lobby", 0, people*requests+1)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		p.listen(int64(len(log)))
		p.check(log)
	}
	kinds := map[wire.EventKind]int{}
	for _, e := range log {
		kinds[e.Kind]++
	}
	t.Log("events:", kinds)
	if len(kinds) != 4 {
		t.Errorf("the log has events %v, want all four kinds", kinds)
	}
}

// signIn gets a session from a site that is up.
func (p *someone) signIn() {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
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

func (p *someone) talk() {
	for end := time.Now().Add(6 * patience); p.left > 0 || len(p.open) > 0; {
		if time.Now().After(end) {
			p.t.Errorf("%s: %d requests not made and %d without an answer when time ran out", p.name, p.left, len(p.open))
			return
		}
		p.visit(func() bool { return p.left == 0 && len(p.open) == 0 })
	}
}

// listen comes back until it holds the log up to head.
func (p *someone) listen(head int64) {
	for end := time.Now().Add(2 * patience); p.cursor < head; {
		if time.Now().After(end) {
			p.t.Errorf("%s: told up to %d of %d when time ran out", p.name, p.cursor, head)
			return
		}
		p.visit(func() bool { return p.cursor >= head })
	}
}

// visit is a connection of a random length.
func (p *someone) visit(done func() bool) {
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Duration(30+p.rnd.IntN(300))*time.Millisecond)
	defer cancel()
	url := "http://" + p.sites[p.rnd.IntN(2)].addr
	c, _, err := ws.Dial(ctx, url+"/ws", ws.DialOptions{Header: map[string][]string{"Cookie": {p.cookie}, "Origin": {url}}})
	if err != nil {
		time.Sleep(10 * time.Millisecond)
		return // it is down, or time ran out
	}
	defer c.CloseNow()
	say := wire.AppendLine(nil, &wire.Hello{T: wire.KindHello, V: 1, Epoch: p.epoch, Rooms: map[string]int64{"lobby": p.cursor}})
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
		if more := p.more(); len(more) > 0 && c.Write(ctx, ws.Text, more) != nil {
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
	return say
}

func (p *someone) request(nonce string) wire.Request {
	var posts []int64
	for _, e := range p.log {
		if e.Kind == wire.EventPost {
			posts = append(posts, e.Seq)
		}
	}
	if len(posts) == 0 || p.rnd.IntN(3) == 0 {
		return &wire.Post{T: wire.KindPost, Room: "lobby", Nonce: nonce, Text: "post " + nonce}
	}
	of := posts[max(0, len(posts)-1-p.rnd.IntN(8))]
	switch p.rnd.IntN(6) {
	case 0:
		of = p.rather(of)
		return &wire.Del{T: wire.KindDel, Room: "lobby", Nonce: nonce, Of: of}
	case 1, 2:
		of = p.rather(of)
		return &wire.Edit{T: wire.KindEdit, Room: "lobby", Nonce: nonce, Of: of, Text: "edit " + nonce}
	default:
		return &wire.React{T: wire.KindReact, Room: "lobby", Nonce: nonce, Of: of, Emoji: wire.QuickReactions()[p.rnd.IntN(2)], On: p.rnd.IntN(3) > 0}
	}
}

// rather is one of its own posts mostly, else the one given.
func (p *someone) rather(other int64) int64 {
	var own []int64
	for _, e := range p.log {
		if e.Kind == wire.EventPost && e.User.ID == p.user {
			own = append(own, e.Seq)
		}
	}
	if len(own) == 0 || p.rnd.IntN(4) == 0 {
		return other
	}
	return own[p.rnd.IntN(len(own))]
}

func (p *someone) hear(m any) {
	switch m := m.(type) {
	case *wire.Welcome:
		p.epoch, p.user = m.Epoch, m.User.ID
	case *wire.Reset:
		p.t.Errorf("%s: reset %+v of a cursor at %d", p.name, m, p.cursor)
	case *wire.Event:
		if m.Seq != p.cursor+1 {
			p.t.Errorf("%s: got seq %d after %d", p.name, m.Seq, p.cursor)
		}
		p.cursor = m.Seq
		p.log = append(p.log, chat.Event{
			Room: m.Room, Seq: m.Seq, At: time.UnixMilli(m.TS).UTC(), Kind: m.Kind, User: chat.User(m.User), Nonce: m.Nonce,
			Text: m.Text, Of: m.Of, Emoji: m.Emoji, On: m.On != nil && *m.On,
		})
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

func (p *someone) answered(nonce string) {
	p.open = slices.DeleteFunc(p.open, func(r wire.Request) bool { _, n := r.Key(); return n == nonce })
}

// check compares what it holds, and what became of its requests, with the log.
func (p *someone) check(log []chat.Event) {
	if got, want := view(p.log), view(log); !reflect.DeepEqual(got, want) {
		for seq := range want {
			if !reflect.DeepEqual(got[seq], want[seq]) {
				p.t.Errorf("%s holds %+v, the log %+v", p.name, got[seq], want[seq])
			}
		}
	}
	author := map[int64]string{}
	stored := map[string]chat.Event{}
	for _, e := range log {
		if e.Kind == wire.EventPost {
			author[e.Seq] = e.User.ID
		}
		if e.User.ID == p.user {
			stored[e.Nonce] = e
		}
	}
	for nonce, r := range p.made {
		e, is := stored[nonce]
		switch seq, ok := p.acked[nonce]; {
		case ok && (!is || e.Seq != seq):
			p.t.Errorf("%s: %T %s was acknowledged at %d, stored is %+v", p.name, r, nonce, seq, e)
		case !ok && is:
			p.t.Errorf("%s: %T %s was refused as %s, and is stored at %d", p.name, r, nonce, p.naked[nonce], e.Seq)
		case is && (e.Kind == wire.EventEdit || e.Kind == wire.EventDel) && author[e.Of] != p.user:
			p.t.Errorf("%s: %T %s of somebody else's post is stored", p.name, r, nonce)
		}
	}
}

// view is what a client makes of events.
func view(log []chat.Event) map[int64]chat.Post {
	var posts, about []chat.Event
	for _, e := range log {
		if e.Of > 0 {
			about = append(about, e)
		} else {
			posts = append(posts, e)
		}
	}
	all := map[int64]chat.Post{}
	for _, post := range chat.Fold(posts, about) {
		if len(post.Reactions) == 0 {
			post.Reactions = nil
		}
		all[post.Seq] = post
	}
	return all
}
