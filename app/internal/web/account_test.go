package web

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

const (
	password = "battery staple 9"
	another  = "correct horse 11"
)

// person is a browser: it keeps its cookie.
type person struct {
	h      *house
	cookie string
}

// identity is what /api/session says.
type identity struct {
	User, Name   string
	Guest, Admin bool
}

func (h *house) person(name string) *person { return &person{h, h.guest(name)} }

// ask makes a request with the cookie, and takes the one it is given.
func (p *person) ask(method, path, body string) (*http.Response, string) {
	p.h.t.Helper()
	resp, got := p.h.do(method, path, body, http.Header{"Cookie": {p.cookie}})
	for _, c := range resp.Cookies() {
		p.cookie = c.Name + "=" + c.Value
	}
	return resp, got
}

// must is ask that has to succeed.
func (p *person) must(method, path, body string) string {
	p.h.t.Helper()
	resp, got := p.ask(method, path, body)
	if resp.StatusCode/100 != 2 {
		p.h.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, got)
	}
	return got
}

func (p *person) who() (id identity) {
	p.h.t.Helper()
	if err := json.Unmarshal([]byte(p.must("GET", "/api/session", "")), &id); err != nil {
		p.h.t.Fatal(err)
	}
	return id
}

// keep makes a guest who keeps the name.
func (h *house) keep(name string) *person {
	h.t.Helper()
	p := h.person(name)
	p.must("POST", "/api/account", `{"password":"`+password+`"}`)
	return p
}

// refused wants an error of a kind.
func (p *person) refused(method, path, body string, status int, code kind) {
	p.h.t.Helper()
	resp, got := p.ask(method, path, body)
	wantError(p.h.t, resp, got, status, code)
}

// ends wants a connection to be closed with a code, soon.
func (c *talker) ends(code int) {
	c.t.Helper()
	start := time.Now()
	if got := c.closed(); got != code {
		c.t.Errorf("closed with %d, want %d", got, code)
	}
	if d := time.Since(start); d > 2*time.Second {
		c.t.Errorf("closed after %v", d)
	}
}

// A connection that ends for two reasons tells the first one, whichever goroutine is
// quicker: the second only follows from it.
func TestTheFirstReasonCounts(t *testing.T) {
	h := open(t, chat.NewMemory())
	cookie := h.guest("Ann")
	for range 50 {
		tab := h.meet(cookie, hello)
		for _, c := range h.server.snapshot(nil) {
			c.endAside(ending{wire.CloseSessionGone, "renewed"})
			c.endAside(ending{wire.CloseSignedOut, "signed_out"})
		}
		tab.ends(wire.CloseSessionGone)
	}
}

func TestKeepingAName(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann := h.person("Ann")
	guest := ann.who()
	before := ann.cookie
	tab := h.meet(ann.cookie, hello)
	for body, code := range map[string]kind{
		`{"password":"short"}`:           kindBadField,
		`{"password":"password1"}`:       kindBadField,
		`{"password":"ann","x":1}`:       kindBadBody,
		`{"password":"annannann\u0000"}`: kindBadField,
	} {
		ann.refused("POST", "/api/account", body, 400, code)
	}
	ann.must("POST", "/api/account", `{"password":"`+password+`"}`)
	tab.ends(wire.CloseSessionGone)
	if got, want := ann.who(), (identity{User: guest.User, Name: "Ann"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if ann.cookie == before {
		t.Error("the token is the one of before")
	}
	old := person{h, before}
	old.refused("GET", "/api/session", "", 401, kindNoSession)
	old.refused("POST", "/api/account", `{"password":"`+another+`"}`, 401, kindNoSession)
	ann.refused("POST", "/api/account", `{"password":"`+another+`"}`, 409, kindKeptAlready)

	eve := &person{h: h}
	for _, name := range []string{"Ann", "ANN", "ａｎｎ"} {
		eve.refused("POST", "/api/session", `{"name":"`+name+`"}`, 409, kindNameKept)
	}
	phone := &person{h: h}
	phone.refused("POST", "/api/session", `{"name":"Ann","password":"`+another+`"}`, 403, kindPassword)
	phone.refused("POST", "/api/session", `{"name":"Nobody","password":"`+another+`"}`, 403, kindPassword)
	phone.refused("POST", "/api/session", `{"name":"Ann","password":""}`, 403, kindPassword)
	phone.must("POST", "/api/session", `{"name":"ann","password":"`+password+`"}`)
	if got := phone.who(); got != ann.who() {
		t.Errorf("elsewhere: got %+v, want %+v", got, ann.who())
	}
}

func TestWhoKeepsANameHasIt(t *testing.T) {
	h := open(t, chat.NewMemory())
	first, second := h.person("Ann"), h.person("Ann") // both are away, so both are called so
	second.must("POST", "/api/account", `{"password":"`+password+`"}`)
	first.refused("GET", "/api/session", "", 401, kindNoSession)
	first.refused("POST", "/api/account", `{"password":"`+password+`"}`, 401, kindNoSession)
	first.refused("POST", "/api/session", `{"name":"Ann"}`, 409, kindNameKept)
	first.must("POST", "/api/session", `{"name":"Anna"}`)

	here := h.person("Bob")
	h.meet(here.cookie, hello)
	late := &person{h: h}
	late.refused("POST", "/api/session", `{"name":"bob"}`, 409, kindNameTaken)
}

func TestChangingThePassword(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann := h.keep("Ann")
	phone := &person{h: h}
	phone.must("POST", "/api/session", `{"name":"Ann","password":"`+password+`"}`)
	there, here := h.meet(phone.cookie, hello), h.meet(ann.cookie, hello)
	before := ann.cookie
	ann.refused("PUT", "/api/account/password", `{"old":"`+another+`","new":"`+another+`"}`, 403, kindPassword)
	ann.refused("PUT", "/api/account/password", `{"old":"`+password+`","new":"password"}`, 400, kindBadField)
	ann.must("PUT", "/api/account/password", `{"old":"`+password+`","new":"`+another+`"}`)
	there.ends(wire.CloseSignedOut)
	here.ends(wire.CloseSessionGone)
	if ann.cookie == before || ann.who().Name != "Ann" {
		t.Errorf("who changed it is %+v, with the old token: %v", ann.who(), ann.cookie == before)
	}
	phone.refused("GET", "/api/session", "", 401, kindNoSession)
	(&person{h, before}).refused("GET", "/api/session", "", 401, kindNoSession)
	phone.refused("POST", "/api/session", `{"name":"Ann","password":"`+password+`"}`, 403, kindPassword)
	phone.must("POST", "/api/session", `{"name":"Ann","password":"`+another+`"}`)
	guest := h.person("Gus")
	guest.refused("PUT", "/api/account/password", `{"old":"","new":"`+another+`"}`, 403, kindPassword)
}

func TestSigningOut(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann := h.keep("Ann")
	var others [3]*person
	var tabs [3]*talker
	for i := range others {
		others[i] = &person{h: h}
		others[i].must("POST", "/api/session", `{"name":"Ann","password":"`+password+`"}`)
		tabs[i] = h.meet(others[i].cookie, hello)
	}
	mine := h.meet(ann.cookie, hello)
	var list []struct {
		ID, Agent     string
		Created, Seen int64
		Here          bool
	}
	if err := json.Unmarshal([]byte(ann.must("GET", "/api/sessions", "")), &list); err != nil || len(list) != 4 {
		t.Fatalf("got %+v, %v, want 4 sessions", list, err)
	}
	here := 0
	for _, s := range list {
		if s.Here {
			here++
		}
		if s.ID == "" || s.Created == 0 || s.Seen == 0 || !strings.HasPrefix(s.Agent, "Go-http-client") || strings.Contains(ann.cookie, s.ID) {
			t.Errorf("got %+v", s)
		}
	}
	if here != 1 || !list[3].Here {
		t.Errorf("%d sessions are here, and the oldest is: %v", here, list[3].Here)
	}
	ann.must("DELETE", "/api/sessions/"+list[2].ID, "") // the first of the others
	tabs[0].ends(wire.CloseSignedOut)
	others[0].refused("GET", "/api/session", "", 401, kindNoSession)
	ann.refused("DELETE", "/api/sessions/"+list[2].ID, "", 404, kindNotFound)
	h.person("Eve").refused("DELETE", "/api/sessions/"+list[1].ID, "", 404, kindNotFound) // somebody else's

	others[1].must("DELETE", "/api/session", "")
	tabs[1].ends(wire.CloseSignedOut)
	ann.must("DELETE", "/api/sessions", "")
	tabs[2].ends(wire.CloseSignedOut)
	mine.say(`{"t":"ping"}`)
	take[*wire.Pong](mine)
	nobody := &person{h: h}
	for _, r := range [][2]string{{"GET", "/api/sessions"}, {"DELETE", "/api/sessions"}, {"DELETE", "/api/sessions/x"}} {
		nobody.refused(r[0], r[1], "", 401, kindNoSession)
	}
}

func TestDeletingAnAccount(t *testing.T) {
	h := open(t, chat.NewMemory())
	ann := h.keep("Ann")
	user := ann.who().User
	c := h.meet(ann.cookie, hello)
	c.say(`{"t":"post","room":"lobby","nonce":"n","text":"stays"}`)
	seek[*wire.Ack](c)
	ann.refused("DELETE", "/api/account", `{"password":"`+another+`"}`, 403, kindPassword)
	ann.must("DELETE", "/api/account", `{"password":"`+password+`"}`)
	c.ends(wire.CloseSignedOut)
	ann.refused("GET", "/api/session", "", 401, kindNoSession)
	(&person{h: h}).refused("POST", "/api/session", `{"name":"Ann","password":"`+password+`"}`, 403, kindPassword)

	bob := h.meet(h.guest("Bob"), hello)
	e := seek[*wire.Event](bob)
	if want := (wire.User{ID: user, Name: chat.DeletedUser}); e.User != want || e.Text != "stays" {
		t.Errorf("got %+v, want the text by %+v", e, want)
	}
	h.person("Ann").must("POST", "/api/account", `{"password":"`+another+`"}`) // the name is free

	gus := h.person("Gus")
	gus.must("DELETE", "/api/account", `{"password":""}`)
	gus.refused("GET", "/api/session", "", 401, kindNoSession)
}

func TestSignupModes(t *testing.T) {
	for mode, codes := range map[string]map[string]kind{
		"":                    {"": "", "anything": ""},
		"open":                {"": ""},
		"closed":              {"": kindSignupClosed, "letmein-please": kindSignupClosed},
		"code:letmein-please": {"": kindSignupCode, "letmein": kindSignupCode, "letmein-please": ""},
	} {
		t.Run(mode, func(t *testing.T) {
			signup, err := auth.ParseSignup(mode)
			if err != nil {
				t.Fatal(err)
			}
			store := chat.NewMemory()
			h := open(t, store, func(o *Options, _ *chat.Options) {
				o.Auth = auth.New(auth.Options{Store: store, Present: nobodyHere{}, Signup: signup})
			})
			want := string(signup.Mode())
			if _, body := h.do("GET", "/api/site", "", nil); body != `{"signup":"`+want+`"}`+"\n" {
				t.Errorf("site: %s, want %s", body, want)
			}
			for code, want := range codes {
				ann := h.person("Ann" + strings.Repeat("x", len(code)))
				body := `{"password":"` + password + `","code":"` + code + `"}`
				if want == "" {
					ann.must("POST", "/api/account", body)
				} else {
					ann.refused("POST", "/api/account", body, 403, want)
				}
			}
		})
	}
	for _, bad := range []string{"open ", "code", "code:", "code:short", "cod:letmein-please", "letmein-please"} {
		if _, err := auth.ParseSignup(bad); err == nil || strings.Contains(err.Error(), "letmein") || strings.Contains(err.Error(), "short") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

type nobodyHere struct{}

func (nobodyHere) NameTaken(string, string) bool { return false }

// Two workers on one store, without a bus: what one does ends connections of the
// other, and so does a command that is neither.
func TestChangesReachEveryWorker(t *testing.T) {
	store := chat.NewMemory()
	here, there := open(t, store), open(t, store)
	admin := auth.New(auth.Options{Store: store, Present: nobodyHere{}})
	ann := here.keep("Ann")
	user := ann.who().User
	elsewhere := &person{there, ann.cookie}
	for what, do := range map[string]struct {
		change func() error
		code   int
	}{
		"ban":      {func() error { return admin.Ban(t.Context(), user) }, wire.CloseBanned},
		"rename":   {func() error { _, err := admin.Rename(t.Context(), user, "Annika"); return err }, wire.CloseSessionGone},
		"rights":   {func() error { return admin.SetAdmin(t.Context(), user, true) }, wire.CloseSessionGone},
		"sign out": {func() error { ann.must("DELETE", "/api/session", ""); return nil }, wire.CloseSignedOut},
	} {
		t.Run(what, func(t *testing.T) {
			ann.cookie = ""
			ann.must("POST", "/api/session", `{"name":"`+nameOf(t, store, user)+`","password":"`+password+`"}`)
			elsewhere.cookie = ann.cookie
			tabs := []*talker{here.meet(ann.cookie, hello), there.meet(ann.cookie, hello)}
			bystander := there.meet(there.guest("By "+what), hello)
			if err := do.change(); err != nil {
				t.Fatal(err)
			}
			for _, tab := range tabs {
				tab.ends(do.code)
			}
			bystander.say(`{"t":"ping"}`)
			take[*wire.Pong](bystander)
			if what != "ban" {
				return
			}
			elsewhere.refused("GET", "/api/session", "", 403, kindBanned)
			resp, body := there.do("GET", "/ws", "", http.Header{"Cookie": {elsewhere.cookie}, "Origin": {there.url}})
			wantError(t, resp, body, 403, kindBanned)
			(&person{h: there}).refused("POST", "/api/session", `{"name":"`+nameOf(t, store, user)+`","password":"`+password+`"}`, 403, kindBanned)
			elsewhere.refused("POST", "/api/session", `{"name":"Somebody"}`, 403, kindBanned)
			if err := admin.Unban(t.Context(), user); err != nil {
				t.Fatal(err)
			}
			elsewhere.who()
		})
	}
}

// A worker that drains lets its clients go one by one. Whoever is banned meanwhile
// does not wait for their turn.
func TestChangesReachADrainingWorker(t *testing.T) {
	store := chat.NewMemory()
	old := open(t, store)
	eve := old.person("Eve")
	var tabs [10]*talker
	for i := range tabs {
		tabs[i] = old.meet(eve.cookie, hello)
	}
	user := eve.who().User
	old.http.CloseIdleConnections()
	ctx, cancel := context.WithCancel(t.Context())
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		old.server.Drain(ctx, wire.WhyDeploy, 1) // a second from one to the next
	}()
	defer func() { cancel(); <-drained }()
	for !old.server.isDraining() {
		time.Sleep(time.Millisecond)
	}
	if err := auth.New(auth.Options{Store: store, Present: nobodyHere{}}).Ban(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	began, banned := time.Now(), 0
	for _, tab := range tabs {
		if tab.closed() == wire.CloseBanned {
			banned++
		}
	}
	if took := time.Since(began); took > 5*time.Second || banned < len(tabs)/2 {
		t.Errorf("%d of %d connections were closed as banned, after %v", banned, len(tabs), took)
	}
}

func nameOf(t *testing.T, s chat.Store, user string) string {
	t.Helper()
	a, err := s.Account(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	return a.User.Name
}
