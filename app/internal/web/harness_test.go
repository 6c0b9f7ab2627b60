package web

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// patience is how long a test waits for anything.
const patience = 10 * time.Second

// house is a running server on a store.
type house struct {
	t      testing.TB
	url    string
	addr   string
	hub    *chat.Hub
	server *Server
	http   *http.Client
}

// open starts a server on port 0; it ends with the test, if Drain does not end
// it before.
func open(t testing.TB, store chat.Store, change ...func(*Options, *chat.Options)) *house {
	t.Helper()
	ho := chat.Options{Store: store}
	o := Options{Store: store, Build: Build{Version: "v0", Commit: "c0", Gen: 3, PID: 4}}
	for _, f := range change {
		f(&o, &ho)
	}
	ho.NameKey = auth.NameKey
	hub := chat.NewHub(ho)
	o.Hub = hub
	if o.Auth == nil {
		o.Auth = auth.New(auth.Options{Store: store, Present: hub})
	}
	server, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	hubCtx, stopHub := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { hub.Run(hubCtx) })
	running.Go(func() {
		defer stopHub()
		if err := server.Run(ctx, l); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	transport := &http.Transport{}
	t.Cleanup(func() {
		cancel()
		running.Wait()
		transport.CloseIdleConnections()
	})
	return &house{
		t: t, addr: l.Addr().String(), url: "http://" + l.Addr().String(), hub: hub, server: server,
		http: &http.Client{Transport: transport, Timeout: patience},
	}
}

// guest signs somebody in and returns the cookie.
func (h *house) guest(name string) string {
	h.t.Helper()
	resp, body := h.do("POST", "/api/session", `{"name":"`+name+`"}`, nil)
	if resp.StatusCode != http.StatusOK {
		h.t.Fatalf("sign in: %d %s", resp.StatusCode, body)
	}
	c := resp.Cookies()[0]
	return c.Name + "=" + c.Value
}

// do makes a request; a body is sent as JSON unless header says otherwise.
func (h *house) do(method, path, body string, header http.Header) (*http.Response, string) {
	h.t.Helper()
	req, err := http.NewRequest(method, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		req.Header[k] = v
		if k == "Host" {
			req.Host = v[0]
		}
	}
	resp, err := h.http.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp, string(got)
}

// talker is a client of the wire.
type talker struct {
	t   testing.TB
	ws  *ws.Client
	got []any // lines read and not yet taken

	patience time.Duration // how long it waits for anything
}

// dial connects with a cookie.
func (h *house) dial(cookie string) *talker {
	h.t.Helper()
	return h.dialWith(cookie, h.http)
}

func (h *house) dialWith(cookie string, client *http.Client) *talker {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	header := http.Header{"Cookie": {cookie}, "Origin": {h.url}}
	c, _, err := ws.Dial(ctx, h.url+"/ws", ws.DialOptions{Header: header, HTTP: &http.Client{Transport: client.Transport}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.CloseNow() })
	return &talker{t: h.t, ws: c, patience: patience}
}

// meet dials and says hello.
func (h *house) meet(cookie, hello string) *talker {
	h.t.Helper()
	c := h.dial(cookie)
	c.say(hello)
	take[*wire.Welcome](c)
	return c
}

func (c *talker) say(lines ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.ws.Write(ctx, ws.Text, []byte(strings.Join(lines, "\n"))); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next line.
func (c *talker) next() (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.patience)
	defer cancel()
	for len(c.got) == 0 {
		frame, err := c.ws.Read(ctx)
		if err != nil {
			return nil, err
		}
		for _, line := range wire.Lines(frame) {
			m, err := wire.ParseServer(line)
			if err != nil {
				return nil, err
			}
			c.got = append(c.got, m)
		}
	}
	m := c.got[0]
	c.got = c.got[1:]
	return m, nil
}

// take reads until a line of kind M comes, and returns it; pres, ping and live
// may come at any time and are passed over.
func take[M any](c *talker) M {
	c.t.Helper()
	for {
		m, err := c.next()
		if err != nil {
			var want M
			c.t.Fatalf("waiting for a %T: %v", want, err)
		}
		switch m := m.(type) {
		case M:
			return m
		case *wire.Pres, *wire.Ping, *wire.Live:
		default:
			var want M
			c.t.Fatalf("got %+v, want a %T", m, want)
		}
	}
}

// seek is take that passes over everything else.
func seek[M any](c *talker) M {
	c.t.Helper()
	for {
		m, err := c.next()
		if err != nil {
			var want M
			c.t.Fatalf("waiting for a %T: %v", want, err)
		}
		if m, ok := m.(M); ok {
			return m
		}
	}
}

// closed reads to the end and returns the close code.
func (c *talker) closed() int {
	c.t.Helper()
	for {
		_, err := c.next()
		var e *ws.CloseError
		switch {
		case errors.As(err, &e):
			return e.Code
		case err != nil:
			c.t.Fatalf("waiting for a close: %v", err)
		}
	}
}
