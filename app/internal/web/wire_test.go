package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

const hello = `{"t":"hello","v":1,"rooms":{"lobby":0}}`

func TestTwoPeopleTalk(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann, bob := h.meet(h.guest("Ann"), hello), h.meet(h.guest("Bob"), hello)
	seek[*wire.Live](bob)

	ann.say(`{"t":"post","room":"lobby","nonce":"n1","text":"hello, <Bob> & 🎈"}`)
	if ack := seek[*wire.Ack](ann); ack.Seq != 1 || ack.Nonce != "n1" || ack.TS == 0 {
		t.Errorf("got %+v, want an ack of n1 at 1", ack)
	}
	ev := seek[*wire.Event](bob)
	if ev.Seq != 1 || ev.Text != "hello, <Bob> & 🎈" || ev.User.Name != "Ann" || ev.Nonce != "n1" || ev.Kind != wire.EventPost {
		t.Errorf("got %+v, want Ann's post", ev)
	}
}

func TestResume(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann, cookie := h.meet(h.guest("Ann"), hello), h.guest("Bob")
	bob := h.meet(cookie, hello)
	ann.say(post("n1", "one"))
	seek[*wire.Event](bob)
	bob.ws.CloseNow()
	ann.say(post("n2", "two"), post("n3", "three"))
	take3 := []int64{seek[*wire.Ack](ann).Seq, seek[*wire.Ack](ann).Seq, seek[*wire.Ack](ann).Seq}
	if fmt.Sprint(take3) != "[1 2 3]" {
		t.Errorf("got acks %v, want 1 2 3", take3)
	}

	again := h.dial(cookie)
	again.say(fmt.Sprintf(`{"t":"hello","v":1,"epoch":%q,"rooms":{"lobby":1}}`, h.hub.Epoch()))
	if w := take[*wire.Welcome](again); w.User.Name != "Bob" || w.Epoch != h.hub.Epoch() || w.PingMS <= 0 {
		t.Errorf("got %+v, want Bob's welcome", w)
	}
	for want := int64(2); want <= 3; want++ {
		if ev := take[*wire.Event](again); ev.Seq != want {
			t.Errorf("got seq %d, want %d", ev.Seq, want)
		}
	}
	if live := seek[*wire.Live](again); live.Seq != 3 {
		t.Errorf("live at %d, want 3", live.Seq)
	}
	if pres := seek[*wire.Pres](again); pres.N != 2 || len(pres.Users) != 2 {
		t.Errorf("got %+v, want both", pres)
	}
}

func TestResetWhenTooFarBehind(t *testing.T) {
	h := open(t, filled(t, 600))
	c := h.meet(h.guest("Ann"), hello)
	if r := take[*wire.Reset](c); r.After != 550 || r.Head != 600 {
		t.Errorf("got %+v, want after 550 of 600", r)
	}
	for want := int64(551); want <= 600; want++ {
		if ev := take[*wire.Event](c); ev.Seq != want {
			t.Fatalf("got seq %d, want %d", ev.Seq, want)
		}
	}
	c.say(`{"t":"get","room":"lobby","before":551,"limit":10}`)
	if p := seek[*wire.Page](c); len(p.Events) != 10 || p.Events[0].Seq != 541 || !p.More {
		t.Errorf("got %d events from %v, want 541 to 550 and more", len(p.Events), p.Events)
	}
	c.say(`{"t":"get","room":"lobby","after":0,"limit":10}`, `{"t":"get","room":"lobby","after":595}`)
	if p := take[*wire.Page](c); len(p.Events) != 10 || p.Events[0].Seq != 1 || !p.More {
		t.Errorf("got %+v, want 1 to 10 and more", p)
	}
	if p := take[*wire.Page](c); len(p.Events) != 5 || p.More {
		t.Errorf("got %+v, want the last five", p)
	}
}

func TestSameNonceSameSeq(t *testing.T) {
	h := open(t, chat.NewMemory())
	cookie := h.guest("Ann")
	ann := h.meet(cookie, hello)
	ann.say(post("n1", "one"), post("n1", "one"), post("n2", "two"))
	for _, want := range []int64{1, 1, 2} {
		if ack := seek[*wire.Ack](ann); ack.Seq != want {
			t.Errorf("got %+v, want seq %d", ack, want)
		}
	}
	again := h.meet(cookie, hello)
	again.say(post("n1", "one"))
	if ack := seek[*wire.Ack](again); ack.Seq != 1 {
		t.Errorf("from another connection: got %+v, want seq 1", ack)
	}
}

func TestEveryMistakeHasItsAnswer(t *testing.T) {
	for _, tt := range []struct {
		name  string
		say   []string
		fresh bool // before hello
		want  wire.Code
		nak   bool
	}{
		{name: "no JSON", say: []string{`{"t":`}, want: wire.CodeBadJSON},
		{name: "invalid UTF-8", say: []string{"{\"t\":\"ping\xff\"}"}, want: wire.CodeBadJSON},
		{name: "an array", say: []string{`[1]`}, want: wire.CodeBadField},
		{name: "no kind", say: []string{`{}`}, want: wire.CodeBadField},
		{name: "unknown kind", say: []string{`{"t":"dance"}`}, want: wire.CodeUnknown},
		{name: "kind of a server", say: []string{`{"t":"ack"}`}, want: wire.CodeUnknown},
		{name: "bad room", say: []string{`{"t":"join","room":"No Room","seq":0}`}, want: wire.CodeBadField},
		{name: "bad seq", say: []string{`{"t":"join","room":"x","seq":-2}`}, want: wire.CodeBadField},
		{name: "get both ways", say: []string{`{"t":"get","room":"lobby","before":1,"after":1}`}, want: wire.CodeBadField},
		{name: "before hello", fresh: true, say: []string{`{"t":"ping"}`}, want: wire.CodeOrder},
		{name: "post before hello", fresh: true, say: []string{post("n1", "x")}, want: wire.CodeOrder},
		{name: "hello twice", say: []string{hello}, want: wire.CodeOrder},
		{name: "leave of a closed room", say: []string{`{"t":"leave","room":"x"}`}, want: wire.CodeNotJoined},
		{name: "get of a closed room", say: []string{`{"t":"get","room":"x","after":0}`}, want: wire.CodeNotJoined},
		{name: "post without nonce", say: []string{`{"t":"post","room":"lobby","text":"x"}`}, want: wire.CodeBadField},
		{name: "post to a closed room", say: []string{`{"t":"post","room":"x","nonce":"n","text":"x"}`}, want: wire.CodeNotJoined, nak: true},
		{name: "blank post", say: []string{post("n", "  ")}, want: wire.CodeBadField, nak: true},
		{name: "bidi override", say: []string{post("n", "a\\u202eb")}, want: wire.CodeBadField, nak: true},
		{name: "too many rooms", say: tooManyJoins(), want: wire.CodeTooMany},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := open(t, chat.NewMemory())
			c := h.dial(h.guest("Ann"))
			if !tt.fresh {
				c.say(hello)
				seek[*wire.Live](c)
			}
			c.say(tt.say...)
			if tt.nak {
				if n := seek[*wire.Nak](c); n.Code != tt.want || n.Msg == "" || n.RetryMS != 0 || n.Nonce != "n" {
					t.Errorf("got %+v, want a final nak %s", n, tt.want)
				}
			} else if e := seek[*wire.Err](c); e.Code != tt.want || e.Msg == "" || strings.Contains(e.Msg, "\n") {
				t.Errorf("got %+v, want err %s in one line", e, tt.want)
			}
			if !tt.fresh { // and the conversation goes on
				c.say(`{"t":"ping"}`)
				seek[*wire.Pong](c)
			}
		})
	}
}

func tooManyJoins() (lines []string) {
	for i := range wire.MaxRooms {
		lines = append(lines, fmt.Sprintf(`{"t":"join","room":"r%d","seq":0}`, i))
	}
	return lines
}

func TestClosedForGood(t *testing.T) {
	for _, tt := range []struct {
		name string
		typ  ws.Type
		data string
		want int
	}{
		{"binary", ws.Binary, hello, wire.CloseBadFrame},
		{"another version", ws.Text, `{"t":"hello","v":2,"rooms":{}}`, wire.CloseVersion},
		{"too big", ws.Text, strings.Repeat(" ", wire.MaxFrame+1), wire.CloseTooBig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := open(t, chat.NewMemory())
			c := h.dial(h.guest("Ann"))
			c.ws.Write(context.Background(), tt.typ, []byte(tt.data))
			if got := c.closed(); got != tt.want {
				t.Errorf("closed with %d, want %d", got, tt.want)
			}
		})
	}
}

func TestHelloMustComeInTime(t *testing.T) {
	h := open(t, chat.NewMemory(), func(o *Options, _ *chat.Options) { o.HelloTimeout = 50 * time.Millisecond })
	if got := h.dial(h.guest("Ann")).closed(); got != wire.CloseHelloMissed {
		t.Errorf("closed with %d, want %d", got, wire.CloseHelloMissed)
	}
}

func TestSilentClient(t *testing.T) {
	h := open(t, chat.NewMemory(), func(o *Options, _ *chat.Options) {
		o.PingEvery, o.SilenceLimit = 50*time.Millisecond, 200*time.Millisecond
	})
	quiet := h.meet(h.guest("Quiet"), hello)
	lively := h.meet(h.guest("Lively"), hello)
	var pings atomic.Int64
	stop := make(chan struct{})
	var answering sync.WaitGroup
	answering.Go(func() {
		for {
			m, err := lively.next()
			if err != nil {
				return
			}
			if _, ok := m.(*wire.Ping); ok {
				pings.Add(1)
				lively.ws.Write(context.Background(), ws.Text, []byte(`{"t":"pong"}`))
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	if got := quiet.closed(); got != wire.CloseSilent {
		t.Errorf("closed with %d, want %d", got, wire.CloseSilent)
	}
	time.Sleep(300 * time.Millisecond)
	close(stop)
	answering.Wait()
	if pings.Load() < 3 || h.server.Conns() != 1 {
		t.Errorf("a client that answers: %d pings, %d connections left, want some and 1", pings.Load(), h.server.Conns())
	}
}

func TestTooFast(t *testing.T) {
	h := open(t, chat.NewMemory())
	c := h.meet(h.guest("Ann"), hello)
	var lines []string
	for i := range bucketBurst + 5 {
		lines = append(lines, post(fmt.Sprint("n", i), "x"))
	}
	c.say(lines...)
	nak := seek[*wire.Nak](c)
	if nak.Code != wire.CodeRate || nak.RetryMS <= 0 || nak.RetryMS > 1000 {
		t.Fatalf("got %+v, want a rate nak to retry soon", nak)
	}
	time.Sleep(time.Duration(nak.RetryMS) * time.Millisecond * 5)
	c.say(post(nak.Nonce, "x"))
	for {
		if ack := seek[*wire.Ack](c); ack.Nonce == nak.Nonce {
			return
		}
	}
}

// away is a store that fails when told to.
type away struct {
	*chat.Memory
	mu  sync.Mutex
	err error
}

func (a *away) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

func (a *away) mood() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

func (a *away) Append(ctx context.Context, d []chat.Draft) ([]chat.Appended, error) {
	if err := a.mood(); err != nil {
		return nil, err
	}
	return a.Memory.Append(ctx, d)
}

func (a *away) Before(ctx context.Context, room string, seq int64, n int) ([]chat.Event, error) {
	if err := a.mood(); err != nil {
		return nil, err
	}
	return a.Memory.Before(ctx, room, seq, n)
}

func (a *away) PostsBefore(ctx context.Context, room string, seq int64, n int) ([]chat.Event, error) {
	if err := a.mood(); err != nil {
		return nil, err
	}
	return a.Memory.PostsBefore(ctx, room, seq, n)
}

func (a *away) Session(ctx context.Context, hash [32]byte) (chat.Session, error) {
	if err := a.mood(); err != nil {
		return chat.Session{}, err
	}
	return a.Memory.Session(ctx, hash)
}

func (a *away) Ping(context.Context) error { return a.mood() }

func TestStoreAway(t *testing.T) {
	store := &away{Memory: chat.NewMemory()}
	h := open(t, store)
	cookie := h.guest("Ann")
	c := h.meet(cookie, hello)
	seek[*wire.Live](c)
	for _, tt := range []struct {
		err    error
		code   wire.Code
		status int
	}{
		{chat.ErrUnavailable, wire.CodeUnavailable, http.StatusServiceUnavailable},
		{chat.ErrFull, wire.CodeStorageFull, http.StatusInsufficientStorage},
		{chat.ErrCorrupt, wire.CodeUnavailable, http.StatusInternalServerError},
	} {
		store.fail(fmt.Errorf("secret detail: %w", tt.err))
		c.say(post("n1", "x"))
		if nak := seek[*wire.Nak](c); nak.Code != tt.code || nak.RetryMS <= 0 || strings.Contains(nak.Msg, "secret") {
			t.Errorf("%v: got %+v, want %s with retry_ms", tt.err, nak, tt.code)
		}
		c.say(`{"t":"get","room":"lobby","before":9}`)
		if e := seek[*wire.Err](c); e.Code != wire.CodeUnavailable {
			t.Errorf("%v: got %+v, want %s", tt.err, e, wire.CodeUnavailable)
		}
		if resp, _ := h.do("GET", "/readyz", "", nil); resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%v: readyz %d", tt.err, resp.StatusCode)
		}
		if resp, _ := h.do("GET", "/api/session", "", http.Header{"Cookie": {cookie}}); resp.StatusCode != tt.status {
			t.Errorf("%v: got status %d, want %d", tt.err, resp.StatusCode, tt.status)
		}
	}
	store.fail(nil)
	c.say(post("n1", "x"))
	if ack := seek[*wire.Ack](c); ack.Seq != 1 {
		t.Errorf("got %+v, want the post at 1", ack)
	}
}

// heard is a log handler that tells when a message was logged.
type heard struct {
	msg  string
	once sync.Once
	ch   chan struct{}
}

func listenFor(msg string) *heard { return &heard{msg: msg, ch: make(chan struct{})} }

func (h *heard) Enabled(context.Context, slog.Level) bool { return true }
func (h *heard) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *heard) WithGroup(string) slog.Handler            { return h }
func (h *heard) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.msg {
		h.once.Do(func() { close(h.ch) })
	}
	return nil
}

// drained reads events to the end. It returns the seq of the last one, which all
// before it lead up to, and the close code.
func (c *talker) drained() (last int64, code int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		frame, err := c.ws.Read(ctx)
		if e := (*ws.CloseError)(nil); errors.As(err, &e) {
			return last, e.Code
		}
		if err != nil {
			c.t.Fatalf("after event %d: %v", last, err)
		}
		for _, line := range wire.Lines(frame) {
			m, err := wire.ParseServer(line)
			if err != nil {
				c.t.Fatal(err)
			}
			if ev, ok := m.(*wire.Event); ok {
				if ev.Seq != last+1 {
					c.t.Fatalf("got seq %d after %d", ev.Seq, last)
				}
				last = ev.Seq
			}
		}
	}
}

// basin is a socket that can be emptied before anybody looks at what it held: who
// parses as it reads may have less than [ws.Linger] for all of it.
type basin struct {
	net.Conn
	held *bytes.Reader // nil: read from the socket
}

func (b *basin) Read(p []byte) (int, error) {
	if b.held != nil {
		return b.held.Read(p)
	}
	return b.Conn.Read(p)
}

// empty reads until the server ends the connection.
func (b *basin) empty() {
	all, _ := io.ReadAll(b.Conn) // how it ends says what it held
	b.held = bytes.NewReader(all)
}

// TestSlowClient: it is closed with a code that means reconnect, holds up
// nobody, and has lost nothing when it comes back.
func TestSlowClient(t *testing.T) {
	slowLog, store := listenFor("client does not read"), chat.NewMemory()
	h := open(t, store, func(o *Options, _ *chat.Options) {
		o.WriteTimeout, o.Log = time.Second, slog.New(slowLog)
	})
	slowCookie := h.guest("Slow")
	small := &net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<10) })
	}}
	var socket *basin
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := small.DialContext(ctx, network, addr)
		socket = &basin{Conn: conn}
		return socket, err
	}}
	defer transport.CloseIdleConnections()
	slow := h.dialWith(slowCookie, &http.Client{Transport: transport})
	slow.say(hello)
	seek[*wire.Live](slow)

	quick := h.meet(h.guest("Quick"), hello)

	// More than socket buffers hold, stored by another worker.
	const n = 450
	appendTexts(t, store, n, strings.Repeat("🎈", wire.MaxText-100))
	h.hub.Deliver([]byte(fmt.Sprintf(`{"heads":{"lobby":%d}}`, n)))
	for seek[*wire.Event](quick).Seq < n { // it does not wait for the slow one
	}
	select {
	case <-slowLog.ch:
	case <-time.After(patience):
		t.Fatal("the slow client was not noticed")
	}
	socket.empty()
	last, code := slow.drained()
	if code != wire.CloseSlow {
		t.Errorf("closed with %d, want %d", code, wire.CloseSlow)
	}
	if last == n {
		t.Fatal("everything fitted into the socket: the client was not slow")
	}
	again := h.meet(slowCookie, fmt.Sprintf(`{"t":"hello","v":1,"epoch":%q,"rooms":{"lobby":%d}}`, h.hub.Epoch(), last))
	for last < n {
		ev := take[*wire.Event](again)
		if last++; ev.Seq != last {
			t.Fatalf("after resuming: got seq %d, want %d", ev.Seq, last)
		}
	}
}

func post(nonce, text string) string {
	b, err := json.Marshal(strings.ReplaceAll(text, "\\u202e", "\u202e"))
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"t":"post","room":"lobby","nonce":%q,"text":%s}`, nonce, b)
}

// filled returns a store with n events in the lobby.
func filled(t testing.TB, n int) *chat.Memory {
	m := chat.NewMemory()
	appendTexts(t, m, n, "text")
	return m
}

func appendTexts(t testing.TB, m *chat.Memory, n int, text string) {
	var drafts []chat.Draft
	for i := range n {
		drafts = append(drafts, chat.Draft{
			Room: "lobby", Kind: wire.EventPost, User: chat.User{ID: "x", Name: "X"},
			Nonce: fmt.Sprint(i), Text: text,
		})
	}
	if _, err := m.Append(context.Background(), drafts); err != nil {
		t.Fatal(err)
	}
}
