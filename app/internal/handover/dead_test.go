package handover

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/web"
	"github.com/simpletalk/simpletalk/proto"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
	"golang.org/x/sys/unix"
)

// dead is a worker that was killed after it had opened connections: it reads
// and answers nothing.
type dead struct {
	*boss
	records *proto.Arena
	conns   []*ws.Conn // the library closes what is forgotten
}

func (b *boss) startDead() *dead {
	fd, err := unix.FcntlInt(uintptr(b.arena), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	records, err := proto.MapArena(fd)
	unix.Close(fd)
	if err != nil {
		b.t.Fatal(err)
	}
	b.gen++
	d := &dead{boss: b, records: records}
	if !records.Claim(proto.Owner{}, proto.Owner{Generation: uint32(b.gen), Phase: proto.PhaseServing}) {
		b.t.Fatal("the arena has an owner")
	}
	b.t.Cleanup(func() {
		for _, c := range d.conns {
			c.CloseNow()
		}
	})
	return d
}

// open opens a connection of a user, which the boss keeps. broken ones were
// being written to.
func (d *dead) open(name string, greeted, broken bool) *talker {
	d.t.Helper()
	known := map[string]any{"id": "id-" + name, "name": name, "session": make([]byte, 32), "later": 1}
	if greeted {
		known["greeted"], known["rooms"] = true, []string{"lobby"}
	}
	meta, err := json.Marshal(known)
	if err != nil {
		d.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	opened := make(chan struct{})
	h := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(opened)
		c, err := ws.Accept(w, r, ws.Options{Keep: func(fd int, id uint64) *proto.Record {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.kept[id] = &kept{fd: fd, meta: meta}
			r, _ := d.records.Allocate(id)
			return &r
		}})
		if err != nil {
			d.t.Error(err)
		}
		if broken {
			c.SetRecord(nil)
			c.Write([]byte(`{"t":"ping"}`))
		}
		d.conns = append(d.conns, c)
	})}
	go h.Serve(l)
	defer h.Close()
	client := &http.Client{Transport: &http.Transport{}}
	d.t.Cleanup(client.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := ws.Dial(ctx, "http://"+l.Addr().String(), ws.DialOptions{HTTP: client})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { c.CloseNow() })
	<-opened
	return &talker{t: d.t, name: name, ws: c}
}

// After a crash clients are asked where they are, told nothing before they
// answer, and nobody sees them go.
func TestAfterACrash(t *testing.T) {
	b := newBoss(t, 10)
	d := b.startDead()
	store := chat.NewMemory()
	ann, bob, fresh, broken := d.open("Ann", true, false), d.open("Bob", true, false), d.open("Fresh", false, false), d.open("Broken", true, true)
	ann.say(`{"t":"join","room":"den","seq":0}`, post("n0"), `{"t":`) // nobody has read it
	for _, c := range []*talker{ann, bob, fresh} {
		c.say(`{"t":"ping"}`)
	}
	w := b.start(store)
	if live := w.takeOver(); live.N != 3 || live.Broken != 1 {
		t.Fatalf("%+v, want 3 and one broken", live)
	}
	for _, c := range []*talker{ann, bob, fresh} {
		if m, err := c.next(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if _, ok := m.(*wire.Resync); !ok {
			t.Errorf("%s is told %T %+v first, want a resync", c.name, m, m)
		}
	}
	for _, c := range []*talker{ann, bob, fresh} {
		seek[*wire.Pong](c)
	}
	if lines := ann.quiet(); len(lines) > 0 {
		t.Errorf("before its hello Ann is told %T %+v", lines[0], lines[0])
	}
	if _, err := broken.next(); err != nil { // the frame that was being written
		t.Error(err)
	}
	if _, err := broken.next(); err == nil {
		t.Error("who was in mid-message goes on")
	}

	ann.say(hello, post("n0"), post("n1"))
	for want := int64(1); want <= 2; want++ {
		if ack := seek[*wire.Ack](ann); ack.Seq != want {
			t.Errorf("got %+v, want %d", ack, want)
		}
	}
	ann.say(hello) // the answer to a resync of a worker before
	if w := seek[*wire.Welcome](ann); w.User.Name != "Ann" {
		t.Errorf("got %+v", w)
	}
	p := seek[*wire.Pres](ann)
	var names []string
	for _, u := range p.Users {
		names = append(names, u.Name)
	}
	if want := []string{"Ann", "Bob", "Broken"}; !slices.Equal(names, want) {
		t.Errorf("Ann sees %q, want %q", names, want)
	}
	time.Sleep(300 * time.Millisecond)
	bob.say(hello)
	seek[*wire.Pres](bob)
	time.Sleep(300 * time.Millisecond)
	for _, l := range ann.quiet() {
		if p, ok := l.(*wire.Pres); ok {
			t.Errorf("Ann is told %+v", p)
		}
	}
	fresh.say(hello)
	seek[*wire.Welcome](fresh)
	next := b.start(store) // and what was asked for travels
	w.moveTo(next)
	bob.say(hello)
	seek[*wire.Welcome](bob)
}

// A client that does not answer a resync, because it is too old to know it, is
// closed so that it comes back.
func TestWhoDoesNotAnswerAResyncIsClosed(t *testing.T) {
	b := newBoss(t, 10)
	d := b.startDead()
	ann := d.open("Ann", true, false)
	w := b.start(chat.NewMemory(), func(o *web.Options) { o.HelloTimeout = 300 * time.Millisecond })
	w.takeOver()
	if _, code := ann.closed(); code != wire.CloseHelloMissed {
		t.Errorf("closed with %d, want %d", code, wire.CloseHelloMissed)
	}
}

// A meta that makes no sense refuses the worker that reads it, and no more.
func TestABadMetaRefuses(t *testing.T) {
	b := newBoss(t, 10)
	old := b.start(chat.NewMemory())
	old.takeOver()
	ann := b.meet("Ann")
	time.Sleep(50 * time.Millisecond)
	b.mu.Lock()
	for _, k := range b.kept {
		k.meta = []byte("{")
	}
	b.mu.Unlock()
	next := b.start(chat.NewMemory())
	b.swap++
	b.mu.Lock()
	for id, k := range b.kept {
		next.say(proto.Adopt{Swap: b.swap, Conns: []proto.Kept{{ID: id, Meta: k.meta}}}, k.fd)
	}
	b.mu.Unlock()
	select {
	case m := <-next.news:
		for m.Kind() != proto.KindRefused {
			m = <-next.news
		}
		if why := m.(proto.Refused).Why; why == "" {
			t.Error("no reason")
		}
	case <-time.After(patience):
		t.Fatal("not refused")
	}
	ann.quiet()
}
