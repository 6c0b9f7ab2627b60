package handover

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/web"
	"github.com/simpletalk/simpletalk/proto"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// Clients talk on while one worker after the other takes them over: nobody is
// disconnected or told anything twice.
func TestClientsTalkOn(t *testing.T) {
	const people, posts = 10, 40
	b := newBoss(t, 100)
	store := chat.NewMemory()
	now := b.start(store)
	now.takeOver()
	var all []*talker
	for i := range people {
		all = append(all, b.meet(fmt.Sprint("Guest ", i)))
	}
	settle(all...)
	var talking sync.WaitGroup
	for _, c := range all {
		talking.Go(func() { c.talk(posts, people*posts) })
	}
	for range 5 {
		time.Sleep(30 * time.Millisecond)
		next := b.start(store)
		late := now.moveTo(next)
		for range late.Late {
			next.follow(now)
		}
		now.drain(proto.WhyDeploy)
		now.hasEnded()
		now = next
	}
	talking.Wait()
	if got := now.server.Conns(); got != people {
		t.Errorf("the last worker has %d connections, want %d", got, people)
	}
}

// talk posts, one text after the other, and reads everybody's.
func (c *talker) talk(posts, total int) {
	said, seq := 0, int64(0)
	for seq < int64(total) || said < posts {
		if said == 0 {
			c.say(post(fmt.Sprint(c.name[6:], "-", said)))
		}
		m, err := c.next()
		if err != nil {
			c.t.Errorf("%s, at %d: %v", c.name, seq, err)
			return
		}
		switch m := m.(type) {
		case *wire.Event:
			if m.Seq != seq+1 {
				c.t.Errorf("%s: got seq %d after %d", c.name, m.Seq, seq)
				return
			}
			seq = m.Seq
		case *wire.Ack:
			if said++; said < posts {
				time.Sleep(2 * time.Millisecond)
				c.say(post(fmt.Sprint(c.name[6:], "-", said)))
			}
		case *wire.Nak:
			c.t.Errorf("%s: %+v", c.name, m)
			return
		case *wire.Ping:
		default:
			c.t.Errorf("%s was told %T %+v", c.name, m, m)
		}
		if said == 0 && seq == 0 { // its own first ack is still to come
			continue
		}
	}
}

// slowStore is a store whose commits wait.
type slowStore struct {
	*chat.Memory
	entered, leave chan struct{}
}

func (s *slowStore) Append(ctx context.Context, d []chat.Draft) ([]chat.Appended, error) {
	s.entered <- struct{}{}
	<-s.leave
	return s.Memory.Append(ctx, d)
}

// Who is being handled when the others move follows with its answer, and is
// not seen to go.
func TestAStragglerFollows(t *testing.T) {
	for name, busy := range map[string]time.Duration{"soon": 0, "in the drain": 3200 * time.Millisecond} {
		t.Run(name, func(t *testing.T) { follows(t, busy) })
	}
}

func follows(t *testing.T, busy time.Duration) {
	b := newBoss(t, 10)
	memory := chat.NewMemory()
	slow := &slowStore{Memory: memory, entered: make(chan struct{}), leave: make(chan struct{})}
	old := b.start(slow)
	old.takeOver()
	ann, bob := b.meet("Ann"), b.meet("Bob")
	settle(ann, bob)
	bob.say(post("n1"))
	<-slow.entered
	next := b.start(memory)
	elsewhere := time.AfterFunc(30*time.Millisecond, func() { // while Ann stands still already
		memory.Append(context.Background(), []chat.Draft{{Room: "lobby", Kind: wire.EventPost, User: chat.User{ID: "x", Name: "X"}, Nonce: "n", Text: "text"}})
		old.hub.Deliver([]byte(`{"heads":{"lobby":1}}`))
	})
	defer elsewhere.Stop()
	if frozen := old.moveTo(next); frozen.N != 1 || len(frozen.Late) != 1 {
		t.Fatalf("%+v, want one and one late", frozen)
	}
	old.drain(proto.WhyDeploy)
	ann.say(post("n2"))
	if ack := seek[*wire.Ack](ann); ack.Seq != 2 {
		t.Errorf("got %+v, want 2", ack)
	}
	time.Sleep(busy)
	slow.leave <- struct{}{}
	if ack := seek[*wire.Ack](bob); ack.Nonce != "n1" || ack.Seq != 3 {
		t.Errorf("got %+v, want n1 at 3", ack)
	}
	next.follow(old)
	old.hasEnded()
	bob.say(post("n3"))
	if ack := seek[*wire.Ack](bob); ack.Seq != 4 {
		t.Errorf("got %+v, want 4", ack)
	}
	time.Sleep(300 * time.Millisecond)
	for _, l := range append(ann.quiet(), bob.quiet()...) {
		if _, ok := l.(*wire.Event); !ok {
			t.Errorf("told %T %+v", l, l)
		}
	}
	if n := next.server.Conns(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// A swap that is taken back was a pause.
func TestTakenBack(t *testing.T) {
	b := newBoss(t, 10)
	store := chat.NewMemory()
	old := b.start(store)
	old.takeOver()
	ann := b.meet("Ann")
	settle(ann)
	next := b.start(store)
	old.freeze(next, versionTimed)
	ann.say(post("n1"))
	old.say(proto.Resume{Swap: b.swap})
	if ack := seek[*wire.Ack](ann); ack.Seq != 1 {
		t.Errorf("got %+v", ack)
	}
	next.conn.Close()
	next.hasEnded() // and closes what it holds, which is not its own
	for _, l := range ann.quiet() {
		if _, ok := l.(*wire.Event); !ok {
			t.Errorf("told %T %+v", l, l)
		}
	}
	bob := b.meet("Bob")
	if p := seek[*wire.Pres](bob); p.N != 2 {
		t.Errorf("Bob sees %+v, want two", p)
	}
}

// A WebSocket that is asked for over an old HTTP connection, at a worker that
// has been replaced, is opened and moves on at once, whether it drains already
// or not.
func TestAnOldHTTPConnectionOpensAWebSocket(t *testing.T) {
	for _, draining := range []bool{false, true} {
		t.Run(fmt.Sprint("draining ", draining), func(t *testing.T) {
			b := newBoss(t, 10)
			store := chat.NewMemory()
			old := b.start(store)
			old.takeOver()
			cookie := b.guest("Ann")
			client, one := oneConnection(t)
			req, _ := http.NewRequest("GET", "http://"+b.addr+"/healthz", nil)
			req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}} // as the next one: a client keeps such connections apart
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			next := b.start(store)
			old.moveTo(next)
			if draining {
				old.drain(proto.WhyDeploy)
				time.Sleep(100 * time.Millisecond)
			}
			var moving sync.WaitGroup
			moving.Go(func() {
				next.follow(old)
			})
			c := b.dialOver(client, "Ann", cookie)
			moving.Wait()
			if *one != 1 {
				t.Fatalf("%d connections were made, want the old one", *one)
			}
			c.say(hello)
			if w := seek[*wire.Welcome](c); w.User.Name != "Ann" {
				t.Errorf("got %+v", w)
			}
			if !draining {
				old.drain(proto.WhyDeploy)
			}
			old.hasEnded()
			c.say(post("n1"))
			seek[*wire.Ack](c)
		})
	}
}

// oneConnection returns a client and how many connections it has made.
func oneConnection(t *testing.T) (*http.Client, *int) {
	n := 0
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		n++
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}}
	t.Cleanup(client.CloseIdleConnections)
	return client, &n
}

// A worker that cannot keep a connection says goodbye to it, and only to it.
func TestWhatCannotBeKeptIsToldGoodbye(t *testing.T) {
	b := newBoss(t, 1)
	store := chat.NewMemory()
	old := b.start(store)
	old.takeOver()
	kept, other := b.meet("Kept"), b.meet("Other")
	next := b.start(store)
	old.moveTo(next)
	old.drain(proto.WhyDeploy)
	lines, code := other.closed()
	if _, bye := lines[len(lines)-1].(*wire.Bye); code != wire.CloseRestart || !bye {
		t.Errorf("closed with %d after %+v, want bye and %d", code, lines, wire.CloseRestart)
	}
	old.hasEnded()
	for _, l := range kept.quiet() {
		if _, bye := l.(*wire.Bye); bye {
			t.Error("a client that moves is told bye")
		}
	}
}

// A stop does not spare anybody.
func TestAStopClosesEverybody(t *testing.T) {
	b := newBoss(t, 10)
	w := b.start(chat.NewMemory())
	w.takeOver()
	ann := b.meet("Ann")
	w.drain(proto.WhyStop)
	if _, code := ann.closed(); code != wire.CloseGoingAway {
		t.Errorf("closed with %d, want %d", code, wire.CloseGoingAway)
	}
	w.hasEnded()
}

// The wait for hello goes on in the next worker, and stands still with its
// connection.
func TestTheWaitForHelloTravels(t *testing.T) {
	b := newBoss(t, 10)
	store := chat.NewMemory()
	const limit = 3 * time.Second // long enough to tell a wait that goes on from one that begins anew
	short := func(o *web.Options) { o.HelloTimeout, o.PingEvery = limit, 100*time.Millisecond }
	old := b.start(store, short)
	old.takeOver()
	next := b.start(store, short) // before the wait begins: it may take as long
	began := time.Now()
	c := b.dial("Ann")
	time.Sleep(limit * 2 / 3)
	old.moveTo(next)
	moved := time.Now()
	if _, code := c.closed(); code != wire.CloseHelloMissed {
		t.Errorf("closed with %d, want %d", code, wire.CloseHelloMissed)
	}
	if took := time.Since(began); took < limit {
		t.Errorf("closed after %v, want %v", took, limit)
	}
	if took := time.Since(moved); took > limit*2/3 {
		t.Errorf("closed %v after the move, want about %v: the wait began anew", took, limit/3)
	}
}

// Neither silence nor a missed hello counts while a connection stands still:
// what the client said meanwhile has not been read.
func TestNobodyIsBlamedForAPause(t *testing.T) {
	const limit = time.Second // a busy machine needs some of it until all stand still
	short := func(o *web.Options) { o.HelloTimeout, o.SilenceLimit, o.PingEvery = limit, limit, limit/5 }
	for _, moves := range []bool{true, false} {
		t.Run(fmt.Sprint("moves ", moves), func(t *testing.T) {
			b := newBoss(t, 10)
			store := chat.NewMemory()
			old := b.start(store, short)
			old.takeOver()
			next := b.start(store, short)
			greeted, fresh := b.meet("Ann"), b.dial("Bob")
			b.keeps(2)
			old.freeze(next, versionTimed)
			greeted.say(post("n1"))
			fresh.say(hello)
			time.Sleep(limit * 3 / 2)
			if moves {
				old.proceed(next)
			} else {
				old.say(proto.Resume{Swap: b.swap})
			}
			seek[*wire.Ack](greeted)
			seek[*wire.Live](fresh)
		})
	}
}

// An emptied bucket is not filled by a move.
func TestTheBucketTravels(t *testing.T) {
	b := newBoss(t, 10)
	store := chat.NewMemory()
	old := b.start(store)
	old.takeOver()
	ann := b.meet("Ann")
	burst := func(from string) (lines []string) {
		for i := range 58 {
			lines = append(lines, post(fmt.Sprint(from, i)))
		}
		return lines
	}
	ann.say(burst("a")...)
	for range 58 {
		seek[*wire.Ack](ann)
	}
	next := b.start(store)
	old.moveTo(next)
	ann.say(burst("b")...)
	if n := seek[*wire.Nak](ann); n.Code != wire.CodeRate {
		t.Errorf("got %+v, want %s", n, wire.CodeRate)
	}
}

// What the next worker must know after a crash is told when it changes, and
// only then.
func TestNotes(t *testing.T) {
	b := newBoss(t, 10)
	store := chat.NewMemory()
	w := b.start(store)
	w.takeOver()
	c := b.meet("Ann")
	until := func(what string) {
		t.Helper()
		for end := time.Now().Add(patience); !strings.Contains(b.metas()[0], what); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the boss knows %s, want %s", b.metas(), what)
			}
		}
	}
	until(`"greeted":true,"rooms":["lobby"]`)
	c.say(`{"t":"join","room":"a","seq":0}`, `{"t":"join","room":"b","seq":0}`, `{"t":"leave","room":"lobby"}`)
	until(`"rooms":["a","b"]`)
	next := b.start(store)
	w.moveTo(next)
	c.say(`{"t":"leave","room":"a"}`)
	until(`"rooms":["b"]`)
}

// A build of the version before takes what this one writes in it, and the other
// way round; then waits and buckets start afresh.
func TestVersionsOverlap(t *testing.T) {
	full := web.ConnState{
		Member: &chat.MemberState{Seats: []chat.SeatState{{Room: "lobby", Phase: 2, Sent: 7, Told: 3, Since: 1}}},
		Asked:  true, AgeMS: 5, PingedMS: 6, Spent: 7,
	}
	for version, want := range map[int]web.ConnState{
		versionTimed: full,
		versionBare:  {Member: full.Member, Asked: true},
	} {
		b, err := encodeConn(version, full)
		if err != nil {
			t.Fatal(err)
		}
		later := strings.Replace(string(b), "{", `{"later":{"x":[1]},`, 1) // as a build after ours may write it
		got, err := decodeConn(version, []byte(later))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("version %d: got %+v, %v; want %+v", version, got, err, want)
		}
		if version == versionBare && strings.Contains(string(b), "ms") {
			t.Errorf("version %d has times: %s", version, b)
		}
	}
	for _, version := range []int{0, 3, 99} {
		_, a := encodeConn(version, full)
		_, b := decodeConn(version, []byte("{}"))
		_, c := encodeHub(version, chat.HubState{})
		_, d := decodeHub(version, []byte("{}"))
		if a == nil || b == nil || c == nil || d == nil {
			t.Errorf("version %d is guessed", version)
		}
	}
	b := newBoss(t, 10)
	store := chat.NewMemory()
	now := b.start(store)
	now.takeOver()
	ann := b.meet("Ann")
	settle(ann)
	for _, version := range []int{versionBare, versionTimed, versionBare} {
		next := b.start(store)
		now.freeze(next, version)
		now.proceed(next)
		now = next
		if lines := ann.quiet(); len(lines) > 0 {
			t.Errorf("version %d: told %+v", version, lines[0])
		}
	}
	ann.say(post("n1"))
	seek[*wire.Ack](ann)
}

// FuzzConnState: whatever state comes, there is an error or a state.
func FuzzConnState(f *testing.F) {
	f.Add(2, []byte(`{"member":{"r":[{"n":"lobby","p":2,"s":7}]},"spent":3}`))
	f.Add(1, []byte(`{"member":null}`))
	f.Fuzz(func(t *testing.T, version int, b []byte) {
		s, err := decodeConn(version, b)
		if err != nil {
			return
		}
		if !slices.Contains(Versions(), version) {
			t.Fatalf("version %d was read", version)
		}
		if _, err := encodeConn(version, s); err != nil {
			t.Fatal(err)
		}
	})
}
