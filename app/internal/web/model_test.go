package web

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// roamer is a client that drops and resumes, now at one worker, now at the
// other, and posts each text until it is acknowledged.
type roamer struct {
	t      *testing.T
	houses []*house
	cookie string
	name   string
	rnd    *rand.Rand

	epoch  string
	cursor int64
	texts  []string
	todo   []string // not yet acknowledged
}

// TestRandomClients lets clients drop, resume and repeat themselves at two
// workers whose doorbells get lost: in the end each holds exactly the log.
func TestRandomClients(t *testing.T) {
	store := chat.NewMemory()
	bus := &lossyBus{rnd: rand.New(rand.NewPCG(1, 2))}
	var houses []*house
	for i := range 2 {
		h := open(t, store, func(_ *Options, o *chat.Options) { o.Bus = lossyPort{bus, i} })
		houses = append(houses, h)
	}
	bus.join(houses)

	const people, posts = 8, 25
	var roaming sync.WaitGroup
	var all []*roamer
	for i := range people {
		name := fmt.Sprint("Roamer ", i)
		r := &roamer{t: t, houses: houses, cookie: houses[0].guest(name), name: name, rnd: rand.New(rand.NewPCG(7, uint64(i)))}
		for n := range posts {
			r.todo = append(r.todo, fmt.Sprintf("%d-%d", i, n))
		}
		all = append(all, r)
		roaming.Go(func() { r.roam(people * posts) })
	}
	roaming.Wait()

	log, err := store.After(t.Context(), "lobby", 0, people*posts+1)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, e := range log {
		want = append(want, e.Text)
	}
	if len(want) != people*posts {
		t.Fatalf("the log has %d events, want %d", len(want), people*posts)
	}
	for _, r := range all {
		if !slices.Equal(r.texts, want) {
			t.Errorf("%s holds %d texts, not the log", r.name, len(r.texts))
		}
	}
}

// roam goes on until it holds everything.
func (r *roamer) roam(total int) {
	end := time.Now().Add(3 * patience)
	for len(r.texts) < total || len(r.todo) > 0 {
		if time.Now().After(end) {
			r.t.Errorf("%s: %d texts and %d to post when time ran out", r.name, len(r.texts), len(r.todo))
			return
		}
		r.visit()
	}
}

// visit connects, says hello and all it has to say, listens for a while and
// drops.
func (r *roamer) visit() {
	h := r.houses[r.rnd.IntN(len(r.houses))]
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Duration(20+r.rnd.IntN(200))*time.Millisecond)
	defer cancel()
	c, _, err := ws.Dial(ctx, h.url+"/ws", ws.DialOptions{
		Header: map[string][]string{"Cookie": {r.cookie}, "Origin": {h.url}}, HTTP: nil,
	})
	if err != nil {
		return // time ran out in the handshake
	}
	defer c.CloseNow()
	say := wire.AppendLine(nil, &wire.Hello{T: wire.KindHello, V: 1, Epoch: r.epoch, Rooms: map[string]int64{"lobby": r.cursor}})
	for _, text := range r.todo[:min(len(r.todo), 10)] {
		say = wire.AppendLine(say, &wire.Post{T: wire.KindPost, Room: "lobby", Nonce: text, Text: text})
	}
	if c.Write(ctx, ws.Text, say) != nil {
		return
	}
	for {
		frame, err := c.Read(ctx)
		if err != nil {
			return
		}
		for _, line := range wire.Lines(frame) {
			m, err := wire.ParseServer(line)
			if err != nil {
				r.t.Errorf("line %s: %v", line, err)
			}
			r.hear(m)
		}
	}
}

func (r *roamer) hear(m any) {
	switch m := m.(type) {
	case *wire.Welcome:
		r.epoch = m.Epoch
	case *wire.Reset:
		r.t.Errorf("%s: reset %+v of a cursor at %d", r.name, m, r.cursor)
	case *wire.Event:
		if m.Seq != r.cursor+1 {
			r.t.Errorf("%s: got seq %d after %d", r.name, m.Seq, r.cursor)
		}
		r.cursor = m.Seq
		r.texts = append(r.texts, m.Text)
	case *wire.Ack:
		r.todo = slices.DeleteFunc(r.todo, func(s string) bool { return s == m.Nonce })
	}
}

// lossyBus joins hubs and loses every third message.
type lossyBus struct {
	mu   sync.Mutex
	rnd  *rand.Rand
	hubs []*chat.Hub
}

type lossyPort struct {
	bus *lossyBus
	i   int
}

func (b *lossyBus) join(houses []*house) {
	b.mu.Lock()
	for _, h := range houses {
		b.hubs = append(b.hubs, h.hub)
	}
	b.mu.Unlock()
	for _, h := range houses {
		h.hub.Peers(len(houses) - 1)
	}
}

func (p lossyPort) Publish(data []byte) {
	p.bus.mu.Lock()
	defer p.bus.mu.Unlock()
	for i, h := range p.bus.hubs {
		if i != p.i && p.bus.rnd.IntN(3) > 0 {
			h.Deliver(data)
		}
	}
}
