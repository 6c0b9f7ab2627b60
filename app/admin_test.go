//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/mongo/mongotest"
	wire "github.com/simpletalk/simpletalk/proto/chat"
	"github.com/simpletalk/simpletalk/proto/ws"
)

// site is two workers on one store, and the command line beside them.
type site struct {
	t       *testing.T
	env     []string
	dir     string
	workers [2]string // addresses
	http    *http.Client
}

func newSite(t *testing.T, env []string) *site {
	t.Helper()
	s := &site{t: t, env: env, dir: t.TempDir(), http: &http.Client{Transport: &http.Transport{}}}
	for i := range s.workers {
		cmd := app(t, "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(s.dir, "data"))
		cmd.Env = append(cmd.Env, env...)
		s.workers[i] = start(t, cmd)
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
	}
	t.Cleanup(s.http.CloseIdleConnections)
	return s
}

// ask makes a request of a worker, and returns the cookie it gave.
func (s *site) ask(worker int, method, path, body, cookie string) (status int, answer, given string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.workers[worker]+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Cookie", cookie)
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	for _, c := range resp.Cookies() {
		given = c.Name + "=" + c.Value
	}
	return resp.StatusCode, string(b), given
}

// guest signs somebody in, at the first worker.
func (s *site) guest(name string) (cookie string) {
	s.t.Helper()
	status, answer, cookie := s.ask(0, "POST", "/api/session", `{"name":"`+name+`"}`, "")
	if status != http.StatusOK {
		s.t.Fatalf("sign in: %d %s", status, answer)
	}
	return cookie
}

// tab is a WebSocket to a worker.
type tab struct {
	t *testing.T
	c *ws.Client
}

func (s *site) tab(worker int, cookie string) *tab {
	s.t.Helper()
	url := "http://" + s.workers[worker]
	c, _, err := ws.Dial(s.t.Context(), url+"/ws", ws.DialOptions{Header: http.Header{"Cookie": {cookie}, "Origin": {url}}, HTTP: s.http})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.CloseNow() })
	w := &tab{s.t, c}
	w.say(`{"t":"hello","v":1,"rooms":{"lobby":0}}`)
	return w
}

func (w *tab) say(line string) {
	w.t.Helper()
	if err := w.c.Write(w.t.Context(), ws.Text, []byte(line)); err != nil {
		w.t.Fatal(err)
	}
}

// await reads until a line is as wanted, or the end; it returns the close code.
func (w *tab) await(wanted func(m any) bool) (code int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for {
		frame, err := w.c.Read(ctx)
		var closed *ws.CloseError
		if errors.As(err, &closed) {
			return closed.Code
		}
		if err != nil {
			w.t.Fatalf("read: %v", err)
		}
		for _, line := range wire.Lines(frame) {
			if m, err := wire.ParseServer(line); err == nil && wanted(m) {
				return 0
			}
		}
	}
}

// ends wants the connection to be closed with a code, soon.
func (w *tab) ends(code int) {
	w.t.Helper()
	began := time.Now()
	if got := w.await(func(any) bool { return false }); got != code {
		w.t.Errorf("closed with %d, want %d", got, code)
	}
	if took := time.Since(began); took > 5*time.Second {
		w.t.Errorf("closed after %v", took)
	}
}

// admin runs app admin and returns what it said.
func (s *site) admin(args ...string) string {
	s.t.Helper()
	out, errOut, code := s.tryAdmin(args...)
	if code != exitOK || errOut != "" {
		s.t.Fatalf("admin %v: %d %s", args, code, errOut)
	}
	return out
}

func (s *site) tryAdmin(args ...string) (out, errOut string, code int) {
	s.t.Helper()
	args = append([]string{"admin"}, args...)
	if len(s.env) == 0 {
		args = append(args, "--data", "data")
	}
	return runApp(s.t, s.dir, s.env, "", args...)
}

// What an administrator says on the command line is done at once in every worker
// on the store, whichever that is.
func TestAdmin(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { administrate(t, newSite(t, nil)) })
	t.Run("MongoDB", func(t *testing.T) {
		server := mongotest.Start(t)
		uri := "mongodb://user:" + password + "@" + server.Addr() + "/?authMechanism=PLAIN"
		administrate(t, newSite(t, []string{"MONGODB_URI=" + uri}))
	})
}

func administrate(t *testing.T, s *site) {
	eve := s.guest("Eve")
	tabs := []*tab{s.tab(0, eve), s.tab(1, eve)}
	bob := []*tab{s.tab(0, s.guest("Bob")), s.tab(1, s.guest("Rob"))}
	tabs[0].say(`{"t":"post","room":"lobby","nonce":"n","text":"rude"}`)

	if out := s.admin("sessions", "eve"); !strings.HasPrefix(out, "Eve (") || !strings.Contains(out, "): guest\nsince ") || !strings.Contains(out, `"Go-http-client/1.1"`) {
		t.Errorf("sessions: %q", out)
	}
	// Two workers that no supervisor connects tell each other nothing.
	if code := bob[0].await(func(m any) bool { e, ok := m.(*wire.Event); return ok && e.Text == "rude" }); code != 0 {
		t.Fatalf("closed with %d", code)
	}
	for range 2 { // twice is once
		if out := s.admin("delete", "lobby", "1"); out != "deleted message 1 of room lobby\n" {
			t.Errorf("delete: %q", out)
		}
	}
	for _, w := range bob {
		if code := w.await(func(m any) bool {
			e, ok := m.(*wire.Event)
			return ok && e.Kind == wire.EventDel && e.Of == 1 && e.User.Name == "operator"
		}); code != 0 {
			t.Fatalf("closed with %d", code)
		}
	}
	_, page, _ := s.ask(1, "GET", "/api/rooms/lobby/events", "", eve)
	if strings.Contains(page, "rude") || !strings.Contains(page, `"head":2,`) {
		t.Errorf("after the deletion the room says %s", page)
	}

	if out := s.admin("ban", "EVE"); !strings.HasPrefix(out, "banned Eve (") {
		t.Errorf("ban: %q", out)
	}
	for _, w := range tabs {
		w.ends(wire.CloseBanned)
	}
	for worker := range s.workers {
		if status, answer, _ := s.ask(worker, "GET", "/api/session", "", eve); status != http.StatusForbidden || !strings.Contains(answer, `"banned"`) {
			t.Errorf("a banned user: %d %s", status, answer)
		}
	}
	if out := s.admin("sessions", "Eve"); !strings.Contains(out, "guest, banned since ") {
		t.Errorf("sessions: %q", out)
	}
	s.admin("unban", "Eve")
	tabs = []*tab{s.tab(0, eve), s.tab(1, eve)}

	if out := s.admin("rename", "Eve", "Evelyn"); !strings.HasPrefix(out, "renamed Eve to Evelyn (") {
		t.Errorf("rename: %q", out)
	}
	for _, w := range tabs {
		w.ends(wire.CloseSessionGone)
	}
	var who struct{ User, Name string }
	_, answer, _ := s.ask(1, "GET", "/api/session", "", eve)
	if err := json.Unmarshal([]byte(answer), &who); err != nil || who.Name != "Evelyn" {
		t.Errorf("renamed: %s", answer)
	}
	rights(t, s, eve, who.User)
	mistakes(t, s)
}

// rights makes an account an administrator, who may then delete what others say.
func rights(t *testing.T, s *site, cookie, id string) {
	if _, said, code := s.tryAdmin("grant", id); code != exitError || !strings.Contains(said, "they are a guest") {
		t.Errorf("a guest: %d %q", code, said)
	}
	status, answer, cookie := s.ask(0, "POST", "/api/account", `{"password":"battery staple 9"}`, cookie)
	if status != http.StatusOK {
		t.Fatalf("keep: %d %s", status, answer)
	}
	w := s.tab(1, cookie)
	if out := s.admin("grant", "Evelyn"); out != "an administrator now: Evelyn ("+id+")\n" {
		t.Errorf("grant: %q", out)
	}
	w.ends(wire.CloseSessionGone)
	if _, answer, _ := s.ask(0, "GET", "/api/session", "", cookie); !strings.Contains(answer, `"guest":false,"admin":true`) {
		t.Errorf("an administrator is %s", answer)
	}
	if out := s.admin("sessions", "Evelyn"); !regexp.MustCompile(`\): account since 2\d{3}-.*, administrator\n`).MatchString(out) {
		t.Errorf("sessions: %q", out)
	}
	w = s.tab(1, cookie)
	other := s.tab(1, s.guest("Olga"))
	other.say(`{"t":"post","room":"lobby","nonce":"o","text":"spam"}`)
	var seq int64
	w.await(func(m any) bool {
		e, ok := m.(*wire.Event)
		if ok && e.Text == "spam" {
			seq = e.Seq
		}
		return seq > 0
	})
	line, _ := json.Marshal(map[string]any{"t": "del", "room": "lobby", "nonce": "d", "of": seq})
	w.say(string(line))
	if code := other.await(func(m any) bool { e, ok := m.(*wire.Event); return ok && e.Kind == wire.EventDel && e.Of == seq }); code != 0 {
		t.Errorf("closed with %d", code)
	}
	s.admin("revoke", "Evelyn")
	w.ends(wire.CloseSessionGone)
}

// mistakes get one line that says what would be right.
func mistakes(t *testing.T, s *site) {
	for _, tt := range []struct {
		args string
		want string
	}{
		{"ban Nobody", "nobody is called"},
		{"rename Bob Evelyn", "is kept"},
		{"rename Bob admin", "taken for the chat itself"},
		{"rename Bob Аnn", "of one script"},
		{"delete lobby 99", "room lobby has no message 99"},
		{"delete lobby 2", "is no message but something about one (del)"},
		{"delete lobby x", `"x" must be a number`},
		{"delete Lobby 1", "room name"},
	} {
		out, said, code := s.tryAdmin(strings.Fields(tt.args)...)
		if code != exitError || out != "" || strings.Count(said, "\n") != 1 || !strings.Contains(said, tt.want) {
			t.Errorf("%s: %d %q %q, want %q", tt.args, code, out, said, tt.want)
		}
	}
}

func TestAdminUsage(t *testing.T) {
	for args, want := range map[string]string{
		"admin":                       "a command is missing",
		"admin ban":                   "accepts 1 arg",
		"admin rename Ann":            "accepts 2 arg",
		"admin banish Ann":            `"banish"`,
		"serve --signup code:letmein": "--signup: must be open or closed",
		"serve --signup nobody":       "--signup: must be open or closed",
	} {
		_, said, code := runApp(t, t.TempDir(), nil, "", strings.Fields(args)...)
		if code != exitUsage || !strings.Contains(said, want) || strings.Contains(said, "letmein") || strings.Count(said, "\n") != 1 {
			t.Errorf("%s: %d %q, want %q", args, code, said, want)
		}
	}
	if _, said, code := runApp(t, t.TempDir(), nil, "", "admin", "ban", "Ann", "--data", "none"); code != exitError || !strings.Contains(said, "holds no store") {
		t.Errorf("no store: %d %q", code, said)
	}
	_, said, code := runApp(t, t.TempDir(), []string{"SIGNUP=code:short"}, "", "serve")
	if code != exitUsage || !strings.Contains(said, "SIGNUP: code: needs a secret of at least 8") || strings.Contains(said, "short") {
		t.Errorf("a short code: %d %q", code, said)
	}
}
