package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
)

// backend is a supervisor that is told what to answer.
type backend struct {
	status Status
	err    error
	steps  chan Step // of the deploy "one"
	lines  []logs.Line
	asked  []string // of what changes or tells something
}

func (b *backend) Status(context.Context) (Status, error) { return b.status, b.err }

func (b *backend) Describe(_ context.Context, program string) (Description, error) {
	if program != "chat" {
		return Description{}, Refuse(ErrNoProgram, "no program %q: there is chat", program)
	}
	return Description{From: "here", Settings: []Setting{{"bake", "30s"}}}, b.err
}

func (b *backend) Deploy(_ context.Context, r DeployRequest, by string) (Requested, error) {
	b.asked = append(b.asked, fmt.Sprintf("deploy %v %q %t by %s", r.Programs, r.Build, r.Rollback, by))
	return Requested{ID: "one", Deploys: []Ticket{{"one", "chat"}}}, b.err
}

func (b *backend) Operate(_ context.Context, program string, op Operation) (Done, error) {
	b.asked = append(b.asked, string(op)+" "+program)
	return Done{Program: program, State: "running", Warning: "not recorded"}, b.err
}

func (b *backend) Add(_ context.Context, p NewProgram) (Done, error) {
	b.asked = append(b.asked, fmt.Sprintf("add %+v", p))
	return Done{Program: p.Name, State: "running"}, b.err
}

func (b *backend) Scale(_ context.Context, program string, instances int) (Done, error) {
	return Done{Program: program, State: fmt.Sprintf("%d run", instances)}, b.err
}

func (b *backend) Environment(_ context.Context, program string) (Environment, error) {
	secret := "hunter2"
	return Environment{Program: program, Gen: 3, Variables: []Variable{{"PASSWORD", &secret}}}, b.err
}

func (b *backend) Signal(_ context.Context, program, signal string) (Done, error) {
	b.asked = append(b.asked, "signal "+signal+" "+program)
	return Done{Program: program, State: "running"}, b.err
}

func (b *backend) Logs(ctx context.Context, q LogQuery, each func(logs.Line) error) error {
	b.asked = append(b.asked, fmt.Sprintf("logs %+v", q))
	for _, l := range b.lines {
		if err := each(l); err != nil {
			return err
		}
	}
	if q.Follow {
		<-ctx.Done()
		return ctx.Err()
	}
	return b.err
}

func (b *backend) Follow(ctx context.Context, id string, each func(Step) error) error {
	if id != "one" {
		return ErrNoDeploy
	}
	for {
		select {
		case s, more := <-b.steps:
			if !more {
				return errors.New("the book burned")
			}
			if err := each(s); err != nil {
				return err
			}
			if s.Deploy.Verdict != Pending {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// serve answers operators for b. stop ends it and waits for its end.
func serve(t *testing.T, b Backend) (c *Client, stop func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := (&Server{Backend: b, Log: slog.New(slog.DiscardHandler)}).Serve(ctx, l); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	stop = func() { cancel(); serving.Wait() }
	t.Cleanup(stop)
	return NewClient(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}), stop
}

func TestStatus(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := Status{
		PID: 7, Version: "v1", Commit: "abc", Started: at,
		Listen: []Listen{{"http", "127.0.0.1:3000"}},
		Programs: []Program{{Name: "chat", Instances: []Instance{{
			State: "running", Gen: 3, PID: 8, Build: Build{Path: "/srv/app", SHA256: "ff"}, StartedAt: &at,
			Restarts: 2, LastExit: "killed by SIGSEGV", Conns: 5, RSSBytes: 1 << 20,
			Draining: []Draining{{Gen: 2, PID: 6, Conns: 1, Deadline: at}},
		}}}},
		Deploys: []Deploy{{ID: "one", Program: "chat", Verdict: Accepted, At: at, SwappedMS: 12}},
	}
	c, _ := serve(t, &backend{status: want})
	got, err := c.Status(t.Context())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// Programs read this: a name that changed would break them.
func TestTheNamesOfTheContract(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	got, err := json.Marshal(Status{
		Programs: []Program{{Instances: []Instance{{StartedAt: &at, Draining: []Draining{{}}}}}},
		Deploys:  []Deploy{{}},
		Listen:   []Listen{{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pid", "version", "programs", "name", "instances", "index", "state", "gen", "build", "path",
		"commit", "sha256", "started_at", "restarts", "last_exit", "conns", "rss_bytes", "draining", "deadline", "deploys", "id",
		"program", "verdict", "reason", "at", "swapped_ms", "listen", "address"} {
		if !strings.Contains(string(got), `"`+name+`":`) {
			t.Errorf("%q is missing in %s", name, got)
		}
	}
}

func TestADeployIsFollowedToItsVerdict(t *testing.T) {
	b := &backend{steps: make(chan Step)}
	c, _ := serve(t, b)
	asked, err := c.Deploy(t.Context(), DeployRequest{})
	id := asked.ID
	if err != nil || id != "one" || asked.Deploys[0] != (Ticket{"one", "chat"}) {
		t.Fatalf("Deploy: %+v, %v", asked, err)
	}
	pending := &Deploy{ID: "one", Verdict: Pending}
	rejected := &Deploy{ID: "one", Verdict: Rejected, Reason: "exit status 3"}
	told := make(chan string)
	go func() {
		for _, s := range []Step{{Step: "requested", Deploy: pending}, {Step: "spawned", Deploy: pending}, {Step: "rejected", Deploy: rejected}} {
			b.steps <- s
			if got := <-told; got != s.Step { // each at once, not when all is over
				t.Errorf("told %q, want %q", got, s.Step)
			}
		}
	}()
	var steps []string
	got, err := c.Follow(t.Context(), id, func(s Step) {
		steps = append(steps, s.Step)
		told <- s.Step
	})
	if err != nil || !reflect.DeepEqual(got, *rejected) {
		t.Errorf("got %+v, %v; want %+v", got, err, *rejected)
	}
	if want := []string{"requested", "spawned", "rejected"}; !slices.Equal(steps, want) {
		t.Errorf("steps %v, want %v", steps, want)
	}
}

func TestAnUnknownDeploy(t *testing.T) {
	c, _ := serve(t, &backend{})
	_, err := c.Follow(t.Context(), "two", func(Step) {})
	if err == nil || err.Error() != ErrNoDeploy.Error() {
		t.Errorf("got %v, want %v", err, ErrNoDeploy)
	}
}

func TestARefusalIsToldAsItIs(t *testing.T) {
	c, _ := serve(t, &backend{err: errors.New("the supervisor is stopping")})
	if _, err := c.Status(t.Context()); err == nil || err.Error() != "the supervisor is stopping" {
		t.Errorf("Status: %v", err)
	}
	if _, err := c.Deploy(t.Context(), DeployRequest{}); err == nil || err.Error() != "the supervisor is stopping" {
		t.Errorf("Deploy: %v", err)
	}
}

// status asks without the client, which never asks for anything wrong.
func status(t *testing.T, c *Client, method, path string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://supervisor"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}

func TestWhatTheAPIRefuses(t *testing.T) {
	c, _ := serve(t, &backend{})
	for request, want := range map[string]int{
		"GET /v1/deploys/two/steps": http.StatusNotFound,
		"GET /v1/reload":            http.StatusMethodNotAllowed,
		"POST /v1/status":           http.StatusMethodNotAllowed,
		"GET /v2/status":            http.StatusNotFound,
		"GET /":                     http.StatusNotFound,
		"GET /v1/programs/nosuch":   http.StatusNotFound,
		"GET /v1/logs?lines=many":   http.StatusBadRequest,
		"GET /v1/logs?since=soon":   http.StatusBadRequest,
		"POST /v1/programs/a/b/c":   http.StatusNotFound,
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := status(t, c, method, path); got != want {
			t.Errorf("%s: %d, want %d", request, got, want)
		}
	}
}

// following follows a deploy until its first step has been told.
func following(t *testing.T, c *Client, b *backend) (ended chan error) {
	t.Helper()
	began := make(chan struct{}, 10)
	ended = make(chan error, 1)
	go func() {
		_, err := c.Follow(t.Context(), "one", func(Step) { began <- struct{}{} })
		ended <- err
	}()
	b.steps <- Step{Step: "requested", Deploy: &Deploy{ID: "one", Verdict: Pending}}
	<-began
	return ended
}

func TestASupervisorThatEndsBeforeTheVerdict(t *testing.T) {
	for name, end := range map[string]func(b *backend, stop func()){
		"by itself":       func(_ *backend, stop func()) { stop() },
		"with its answer": func(b *backend, _ func()) { close(b.steps) },
	} {
		t.Run(name, func(t *testing.T) {
			b := &backend{steps: make(chan Step)}
			c, stop := serve(t, b)
			ended := following(t, c, b)
			end(b, stop)
			err := <-ended
			if err == nil || !strings.Contains(err.Error(), "follow deploy one: the supervisor ended before the verdict") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The verdict of a deploy that the stop rejected still reaches who waits.
func TestTheEndWaitsForAVerdict(t *testing.T) {
	b := &backend{steps: make(chan Step)}
	c, stop := serve(t, b)
	ended := following(t, c, b)
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	b.steps <- Step{Step: "rejected", Deploy: &Deploy{ID: "one", Verdict: Rejected}}
	if err := <-ended; err != nil {
		t.Errorf("got %v, want the verdict", err)
	}
	<-stopped
}

func TestNoSupervisor(t *testing.T) {
	c := NewClient(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(t.TempDir(), "none"))
	})
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Status: %v", err)
	}
	if _, err := c.Deploy(t.Context(), DeployRequest{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Deploy: %v", err)
	}
	if _, err := c.Follow(t.Context(), "one", func(Step) {}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Follow: %v", err)
	}
}

func TestAnAnswerThatIsNone(t *testing.T) {
	for name, body := range map[string]string{"nothing": "", "text": "hello"} {
		t.Run(name, func(t *testing.T) {
			c := NewClient(func(context.Context) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					defer theirs.Close()
					buf := make([]byte, 4096)
					theirs.Read(buf)
					io.WriteString(theirs, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"+body)
				}()
				return ours, nil
			})
			if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "read the supervisor's answer") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestASocketThatFailsIsAnError(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := (&Server{Backend: &backend{}, Log: slog.New(slog.DiscardHandler)}).Serve(t.Context(), l); err == nil {
		t.Error("Serve returned no error")
	}
}

func TestWhatIsAskedArrives(t *testing.T) {
	b := &backend{lines: []logs.Line{{Program: "chat", Origin: logs.Origin{Gen: 3}, Text: "hello", Err: true}}}
	c, _ := serve(t, b)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ctx := t.Context()
	var seen []logs.Line
	for _, ask := range []func() error{
		func() error {
			_, err := c.Deploy(ctx, DeployRequest{Programs: []string{"chat"}, Build: "/srv/new"})
			return err
		},
		func() error { _, err := c.Deploy(ctx, DeployRequest{Rollback: true}); return err },
		func() error {
			d, err := c.Operate(ctx, "chat", OpStop)
			if d != (Done{"chat", "running", "not recorded"}) {
				t.Errorf("done %+v", d)
			}
			return err
		},
		func() error { _, err := c.Signal(ctx, "chat", "USR1"); return err },
		func() error {
			_, err := c.Add(ctx, NewProgram{Name: "mail", Command: []string{"/bin/maild"}})
			return err
		},
		func() error {
			return c.Logs(ctx, LogQuery{Programs: []string{"chat"}, Lines: 3, Since: at, Err: true}, func(l logs.Line) error {
				seen = append(seen, l)
				return nil
			})
		},
	} {
		if err := ask(); err != nil {
			t.Error(err)
		}
	}
	me := userName(uint32(os.Geteuid())) + ", pid " + strconv.Itoa(os.Getpid())
	want := []string{
		`deploy [chat] "/srv/new" false by ` + me, `deploy [] "" true by ` + me, "stop chat", "signal USR1 chat",
		"add {Name:mail Command:[/bin/maild] Dir: Env:map[] Listen:[] ReadyAfter:}",
		"logs {Programs:[chat] Lines:3 Since:2026-01-02 03:04:05 +0000 UTC Err:true Follow:false}",
	}
	if !slices.Equal(b.asked, want) {
		t.Errorf("got  %q\nwant %q", b.asked, want)
	}
	if !reflect.DeepEqual(seen, b.lines) {
		t.Errorf("lines %+v, want %+v", seen, b.lines)
	}
}

// A typo in a request must not do something else than was meant.
func TestAMistakenRequestDoesNothing(t *testing.T) {
	b := &backend{}
	c, _ := serve(t, b)
	for _, body := range []string{`{"programms":["chat"]}`, `{"programs":"chat"}`, `{`, "\x00"} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://supervisor/v1/reload", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest || len(b.asked) != 0 {
			t.Errorf("%q: %d, and %q was asked", body, resp.StatusCode, b.asked)
		}
	}
	if _, err := c.Describe(t.Context(), "nosuch"); err == nil || !err.(*Refusal).Mistake() || err.Error() != `no program "nosuch": there is chat` {
		t.Errorf("got %v", err)
	}
}

func TestWhoFollowsLogsDoesNotHoldUpTheEnd(t *testing.T) {
	b := &backend{lines: []logs.Line{{Program: "chat", Text: "hello"}}}
	c, stop := serve(t, b)
	began, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- c.Logs(t.Context(), LogQuery{Follow: true}, func(logs.Line) error { close(began); return nil })
	}()
	<-began
	from := time.Now()
	stop()
	if took := time.Since(from); took > stopTime {
		t.Errorf("it took %v", took)
	}
	if err := <-ended; err != nil {
		t.Errorf("the follower got %v", err)
	}
}

func TestWhoMayChangeThings(t *testing.T) {
	self := uint32(os.Geteuid())
	other := self + 1
	for name, test := range map[string]struct {
		peer  peer
		group int
		want  bool
	}{
		"the owner":                     {peer{uid: self}, -1, true},
		"root":                          {peer{uid: 0}, -1, true},
		"somebody":                      {peer{uid: other, groups: []uint32{7}}, -1, false},
		"a member":                      {peer{uid: other, groups: []uint32{5, 7}}, 7, true},
		"no member":                     {peer{uid: other, groups: []uint32{5}}, 7, false},
		"nobody the kernel can tell of": {peer{err: errors.New("no")}, 7, false},
	} {
		if err := test.peer.mayChange(test.group); (err == nil) != test.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The kernel names this process, with every group it is in.
func TestThePeerIsWhoItIs(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	p := peerOf(accepted)
	groups, err := os.Getgroups()
	if p.err != nil || err != nil || p.pid != int32(os.Getpid()) || p.uid != uint32(os.Geteuid()) {
		t.Fatalf("got %+v, %v", p, err)
	}
	for _, g := range append(groups, os.Getegid()) {
		if !slices.Contains(p.groups, uint32(g)) {
			t.Errorf("group %d is missing in %v", g, p.groups)
		}
	}
	if got := peerOf(&net.IPConn{}); got.err == nil {
		t.Errorf("of no socket: %+v", got)
	}
}

// Names are for everybody who reaches the socket, values for who may change things.
func TestValuesOfTheEnvironment(t *testing.T) {
	c, _ := serve(t, &backend{})
	names, err := c.Environment(t.Context(), "chat", false)
	if err != nil || len(names.Variables) != 1 || names.Variables[0].Name != "PASSWORD" || names.Variables[0].Value != nil {
		t.Errorf("names: %+v, %v", names, err)
	}
	values, err := c.Environment(t.Context(), "chat", true)
	if err != nil || len(values.Variables) != 1 || values.Variables[0].Value == nil || *values.Variables[0].Value != "hunter2" {
		t.Errorf("values: %+v, %v", values, err)
	}
}
