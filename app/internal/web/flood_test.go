package web

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// Passwords can be tried a few times, from one address and from all.
func TestBruteForce(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann := h.keep("Ann")
	try := func(name, addr string) (int, string) {
		resp, _ := h.do("POST", "/api/session", `{"name":"`+name+`","password":"a wrong password"}`, from(addr))
		return resp.StatusCode, resp.Header.Get("Retry-After")
	}
	for i := range triesHere.burst {
		if status, _ := try([]string{"Ann", "ANN", "ａnn"}[i%3], "203.0.113.9"); status != http.StatusForbidden {
			t.Fatalf("try %d: got %d", i, status)
		}
	}
	if status, wait := try("Ann", "203.0.113.9"); status != http.StatusTooManyRequests || wait == "" {
		t.Errorf("once more: got %d, Retry-After %q", status, wait)
	}
	if status, _ := try("Bob", "203.0.113.9"); status != http.StatusForbidden {
		t.Errorf("another name: got %d", status)
	}
	resp, body := h.do("POST", "/api/session", `{"name":"Ann","password":"`+password+`"}`, from("198.51.100.7"))
	if resp.StatusCode != http.StatusOK {
		t.Errorf("whose name it is, from elsewhere: got %d %s", resp.StatusCode, body)
	}
	for n := 0; ; n++ { // a net of addresses
		status, _ := try("Ann", fmt.Sprintf("10.0.%d.%d", n/250, n%250))
		if status == http.StatusTooManyRequests {
			break
		}
		if n > 3*tries.burst {
			t.Fatal("passwords can be tried without end")
		}
	}
	ann.who() // whoever is signed in stays so
}

// Whoever sends the header a byte at a time is cut off after a while.
func TestSlowHandshake(t *testing.T) {
	t.Parallel()
	h := open(t, chat.NewMemory())
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			c, err := net.Dial("tcp", h.addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			began := time.Now()
			io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\n")
			go func() {
				for range 60 {
					time.Sleep(500 * time.Millisecond)
					if _, err := io.WriteString(c, "X: y\r\n"); err != nil {
						return
					}
				}
			}()
			c.SetReadDeadline(time.Now().Add(2 * headerTimeout))
			io.Copy(io.Discard, c)
			if took := time.Since(began); took > headerTimeout+5*time.Second {
				t.Errorf("cut after %v, want %v", took, headerTimeout)
			}
		})
	}
	resp, _ := h.do("GET", "/healthz", "", nil)
	if resp.StatusCode != http.StatusOK {
		t.Errorf("meanwhile others get %d", resp.StatusCode)
	}
	all.Wait()
}

// One address has so many WebSockets, and keeps nobody else out.
func TestConnectionsOfOneAddress(t *testing.T) {
	const most = 20
	h := open(t, chat.NewMemory(), func(o *Options, _ *chat.Options) { o.MaxPerClient = most })
	header := from("2001:db8:1:2::1")
	header.Set("Origin", h.url)
	header.Set("Cookie", h.guest("Eve"))
	var open []*ws.Client
	for i := range 3 * most {
		header.Set("X-Forwarded-For", fmt.Sprintf("2001:db8:1:2::%x", i+1)) // all of one customer
		switch status, c := h.knock(header); {
		case i < most && status != http.StatusSwitchingProtocols, i >= most && status != http.StatusServiceUnavailable:
			t.Fatalf("connection %d: got %d", i, status)
		case c != nil:
			open = append(open, c)
		}
	}
	header.Set("X-Forwarded-For", "2001:db8:1:3::1")
	if status, _ := h.knock(header); status != http.StatusSwitchingProtocols {
		t.Errorf("a neighbour: got %d", status)
	}
	open[0].CloseNow()
	header.Set("X-Forwarded-For", "2001:db8:1:2::1")
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if status, _ := h.knock(header); status == http.StatusSwitchingProtocols {
			break
		}
		if time.Now().After(end) {
			t.Fatal("after one has gone there is no place")
		}
	}
	refused := 0
	for range addressUpgrades.burst {
		if status, _ := h.knock(header); status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused == 0 {
		t.Error("an address can try as often as it likes")
	}
}

// Thousands of connections that say nothing do not keep others out, and end.
func TestSilentConnections(t *testing.T) {
	h := open(t, chat.NewMemory(), func(o *Options, _ *chat.Options) {
		o.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} // so loopback is somebody
	})
	var silent []net.Conn
	defer func() {
		for _, c := range silent {
			c.Close()
		}
	}()
	for range 1000 {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 6, 6, 6)}}).Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		silent = append(silent, c)
	}
	closed := 0
	for end := time.Now().Add(10 * time.Second); closed < len(silent)-maxPerClient && time.Now().Before(end); {
		closed = 0 // the server closes them in its own time
		for _, c := range silent {
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				closed++
			}
		}
	}
	if closed < len(silent)-maxPerClient {
		t.Errorf("%d of %d silent connections were closed, want all but %d", closed, len(silent), maxPerClient)
	}
	if resp, _ := h.do("GET", "/healthz", "", nil); resp.StatusCode != http.StatusOK {
		t.Errorf("meanwhile another address gets %d", resp.StatusCode)
	}
}

// Rooms come into being by talking; nobody fills the list with them, not by being
// quicker than the server learns that they are new.
func TestRoomNameFlood(t *testing.T) {
	h := open(t, chat.NewMemory())
	eve := h.meet(h.guest("Eve"), `{"t":"hello","v":1,"rooms":{}}`)
	made, naks := 0, 0
	for i := range 5 * userRooms.burst / 2 { // no more lines than a connection may say at once
		room := fmt.Sprint("flood", i)
		post := `{"t":"post","room":"` + room + `","nonce":"n","text":"x"}`
		if i < 3 { // it must not count as the room's first
			eve.say(post)
			if nak := seek[*wire.Nak](eve); nak.Code != wire.CodeNotJoined {
				t.Errorf("before it is open: got %+v", nak)
			}
		}
		eve.say(`{"t":"join","room":"`+room+`","seq":0}`, post)
		for {
			m, err := eve.next()
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := m.(*wire.Ack); ok {
				made++
				break
			}
			if nak, ok := m.(*wire.Nak); ok {
				if nak.Code != wire.CodeRate || nak.RetryMS == 0 {
					t.Errorf("got %+v", nak)
				}
				naks++
				break
			}
		}
	}
	if made < userRooms.burst-1 || made > userRooms.burst+3 || naks == 0 {
		t.Errorf("%d rooms were made, %d refused, want about %d", made, naks, userRooms.burst)
	}
	_, body := h.do("GET", "/api/rooms", "", nil)
	if got := strings.Count(body, `"head":1`); got != made {
		t.Errorf("%d rooms are listed with a message, want %d", got, made)
	}
}

// The answer to nonsense is many times as long: who goes on with it is closed, and
// what stands behind it is not done.
func TestNonsenseWithoutEnd(t *testing.T) {
	h := open(t, chat.NewMemory())
	for what, line := range map[string]string{
		"no JSON": "x\n", "of no kind": "{}\n", "no nonce": `{"t":"post"}` + "\n", "hello": hello + "\n",
	} {
		t.Run(what, func(t *testing.T) {
			c := h.meet(h.guest("Eve "+what), hello)
			c.t = t
			c.say(strings.Repeat(line, 200) + `{"t":"post","room":"lobby","nonce":"n","text":"behind"}`)
			answers := 0
			var closed *ws.CloseError
			for closed == nil {
				m, err := c.next()
				if _, ok := m.(*wire.Err); ok {
					answers++
				}
				if err != nil && !errors.As(err, &closed) {
					t.Fatal(err)
				}
			}
			if closed.Code != wire.CloseBadFrame || answers > 2*bucketBurst {
				t.Errorf("closed with %d after %d answers", closed.Code, answers)
			}
		})
	}
	if _, body := h.do("GET", "/api/rooms/lobby/events", "", nil); strings.Contains(body, "behind") {
		t.Errorf("what stood behind was done: %s", body)
	}
}

// Reading costs the store something as well.
func TestAPIFlood(t *testing.T) {
	h := open(t, filled(t, 10))
	eve := http.Header{"Cookie": {h.guest("Eve")}, "X-Forwarded-For": {"203.0.113.9"}}
	flood := func(path string, burst int, header http.Header) {
		t.Helper()
		refused := 0
		for range burst + burst/2 {
			resp, body := h.do("GET", path, "", header)
			if resp.StatusCode == http.StatusTooManyRequests {
				wantError(t, resp, body, http.StatusTooManyRequests, kindRate)
				refused++
			}
		}
		if refused == 0 {
			t.Errorf("%s can be asked as often as anybody likes", path)
		}
	}
	flood("/api/rooms/lobby/search?q=text", userLines.burst, eve) // by a user, from wherever
	flood("/api/rooms/lobby/events", 2*addressLines.burst, from("203.0.113.9"))
	flood("/readyz", addressLines.burst, from("203.0.113.9"))
	if resp, body := h.do("GET", "/api/rooms", "", from("203.0.113.10")); resp.StatusCode != http.StatusOK {
		t.Errorf("another address: %d %s", resp.StatusCode, body)
	}
	if resp, _ := h.do("GET", "/", "", from("203.0.113.9")); resp.StatusCode != http.StatusOK {
		t.Errorf("the page, which costs nothing: %d", resp.StatusCode)
	}
}

// The code of a sign-up can be tried so often, by all together.
func TestSignupCodeBruteForce(t *testing.T) {
	signup, err := auth.ParseSignup("code:letmein-please")
	if err != nil {
		t.Fatal(err)
	}
	store := chat.NewMemory()
	h := open(t, store, func(o *Options, _ *chat.Options) {
		o.Auth = auth.New(auth.Options{Store: store, Present: nobodyHere{}, Signup: signup})
	})
	eve := http.Header{"Cookie": {h.guest("Eve")}}
	for n := 0; ; n++ {
		eve.Set("X-Forwarded-For", fmt.Sprintf("10.0.%d.%d", n/250, n%250))
		resp, body := h.do("POST", "/api/account", fmt.Sprintf(`{"password":"%s","code":"guess-%d"}`, password, n), eve)
		if resp.StatusCode == http.StatusTooManyRequests {
			break
		}
		wantError(t, resp, body, http.StatusForbidden, kindSignupCode)
		if n > 3*tries.burst {
			t.Fatal("codes can be guessed without end")
		}
	}
}

// Who asks for much and does not read it holds a connection and the answer, but
// not for long.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	store := chat.NewMemory()
	for i := range 200 {
		text := strings.Repeat("\u2615", wire.MaxText)
		if _, err := store.Append(t.Context(), []chat.Draft{{Room: "lobby", Kind: wire.EventPost, User: chat.User{ID: "u", Name: "Ann"}, Nonce: fmt.Sprint(i), Text: text}}); err != nil {
			t.Fatal(err)
		}
	}
	h := open(t, store, func(o *Options, _ *chat.Options) { o.AnswerTimeout = 5 * time.Second })
	var slow []net.Conn
	for range 4 {
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.(*net.TCPConn).SetReadBuffer(4 << 10)
		io.WriteString(c, strings.Repeat("GET /api/rooms/lobby/events?limit=200 HTTP/1.1\r\nHost: x\r\n\r\n", 10)) // more than a kernel holds
		slow = append(slow, c)
	}
	for end := time.Now().Add(patience); h.plain() < len(slow); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d connections ask", h.plain(), len(slow))
		}
	}
	for end := time.Now().Add(2 * patience); h.plain() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d connections are still held", h.plain(), len(slow))
		}
	}
	c := h.meet(h.guest("Bob"), hello) // a WebSocket is no answer
	time.Sleep(6 * time.Second)
	c.say(`{"t":"ping"}`)
	seek[*wire.Pong](c)
}

// plain counts the connections that are in the middle of a request.
func (h *house) plain() (n int) {
	h.server.mu.Lock()
	defer h.server.mu.Unlock()
	for _, state := range h.server.plain {
		if state == http.StateActive {
			n++
		}
	}
	return n
}
