package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto/address"
	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
	"github.com/simpletalk/simpletalk/supervisor/internal/listener"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
	"github.com/simpletalk/simpletalk/supervisor/internal/record"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
)

// stage is a fleet whose programs are all stopped, so that no process runs, and
// whose configuration a test writes.
type stage struct {
	*Fleet
	dir  string
	file *config.File
}

// newStage returns a fleet of programs, each of which an operator has stopped.
func newStage(t *testing.T, programs ...config.Program) *stage {
	t.Helper()
	s := &stage{dir: t.TempDir(), file: &config.File{Programs: programs}}
	changes, _, err := record.Open(filepath.Join(s.dir, "record"))
	if err != nil {
		t.Fatal(err)
	}
	err = changes.Update(func(r *record.Record) {
		for _, p := range programs {
			r.Stopped[p.Name] = true
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Fleet, err = New(Parts{
		Load: func() (*config.File, error) { return s.file, nil }, From: "supervisor.toml",
		Record: changes, Sockets: new(listener.Set), Store: fdstore.New(nil, nil), Output: logs.NewOutput(io.Discard),
		Book: new(supervise.Book), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.begin()
	t.Cleanup(func() {
		s.quit(errors.New("the test is over"))
		s.running.Wait()
		s.Sockets.Close()
	})
	return s
}

func named(names ...string) []config.Program {
	var all []config.Program
	for _, name := range names {
		all = append(all, config.NewProgram(name, []string{"/bin/true"}))
	}
	return all
}

func listen(t *testing.T, name, where string) config.Listen {
	t.Helper()
	a, err := address.Parse(where)
	if err != nil {
		t.Fatal(err)
	}
	return config.Listen{Name: name, Address: a}
}

func TestWhatIsWanted(t *testing.T) {
	s := newStage(t, named("b", "a")...)
	s.file.Listens = []config.Listen{listen(t, "http", "127.0.0.1:0"), listen(t, "admin", "127.0.0.1:1")}
	s.file.Programs[0].Listen = []string{"http"}
	err := s.Record.Update(func(r *record.Record) {
		smtp := []record.Listen{{Name: "smtp", Address: "127.0.0.1:2"}}
		r.Added["z"] = record.Program{Command: []string{"/bin/z"}, Dir: "/srv", Env: map[string]string{"A": "1"}, Listen: smtp}
		r.Added["m"] = record.Program{Command: []string{"/bin/m"}, Listen: smtp}
		r.Added["a"] = record.Program{Command: []string{"/bin/other"}}
		r.Added["no command"] = record.Program{Command: []string{"/bin/x"}}
		r.Added["empty"] = record.Program{}
		r.Added["nowhere"] = record.Program{Command: []string{"/bin/x"}, Listen: []record.Listen{{Name: "x", Address: "?"}}}
	})
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := s.wanted()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range wanted.all {
		got = append(got, fmt.Sprint(w.Name, " ", w.Command, " ", w.from, " ", w.Listen, len(w.sockets)))
	}
	want := []string{
		"b [/bin/true] supervisor.toml [http] 1",
		"a [/bin/true] supervisor.toml [] 0", // not what was recorded under its name
		"m [/bin/m] run time [smtp] 1",
		"z [/bin/z] run time [smtp] 1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("wanted are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var sockets []string
	for _, l := range wanted.listens() {
		sockets = append(sockets, l.Name)
	}
	if want := []string{"http", "admin", "smtp"}; !slices.Equal(sockets, want) {
		t.Errorf("sockets %v, want %v", sockets, want)
	}
	if z, ok := wanted.find("z"); !ok || z.Dir != "/srv" || z.Env["A"] != "1" || !z.atRun || z.Bake != config.NewProgram("", nil).Bake {
		t.Errorf("z is %+v, %t", z, ok)
	}
	if _, ok := wanted.find("empty"); ok {
		t.Error("a program without a command is wanted")
	}
}

func TestWhatIsStarted(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	inPath := filepath.Join(os.Getenv("PATH"), "served")
	if err := os.WriteFile(inPath, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, command, dir, build, want string }{
		{"absolute", "/opt/current/app", "/srv", "", "/opt/current/app"},
		{"relative to its folder", "bin/app", "/srv", "", "/srv/bin/app"},
		{"searched for", "served", "/srv", "", inPath},
		{"a build in its place", "served", "/srv", "/opt/42/app", "/opt/42/app"},
		{"not to be found", "unserved", "/srv", "", `command "unserved": not found in $PATH`},
	} {
		got, err := executable(c.command, c.dir, c.build)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestPlanHasTheWholeEnvironment(t *testing.T) {
	t.Setenv("OURS", "1")
	t.Setenv("LISTEN_FDS", "7")
	t.Setenv("OVER", "from the supervisor")
	p := named("app")[0]
	p.Env = map[string]string{"OVER": "from the file"}
	s := newStage(t, p)
	w, _ := s.wantedWith(s.file).find("app")
	plan, err := s.plan(w, logs.NewRing(0), "")
	if err != nil {
		t.Fatal(err)
	}
	env := plan.Launcher.(*supervise.Program).Env
	for _, v := range []string{"OURS=1", "OVER=from the file"} {
		if !slices.Contains(env, v) {
			t.Errorf("%s is missing", v)
		}
	}
	if slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, "LISTEN_") || v == "OVER=from the supervisor" }) {
		t.Errorf("it inherits too much: %v", env)
	}
}

func TestPlanOfASocketThatIsClosed(t *testing.T) {
	s := newStage(t, named("app")...)
	w := wish{Program: named("app")[0], sockets: []config.Listen{listen(t, "http", "127.0.0.1:0")}}
	if _, err := s.plan(w, logs.NewRing(0), ""); err == nil || !strings.Contains(err.Error(), "is not open any more") {
		t.Errorf("error %v", err)
	}
}

// secret is the value of every variable in the tests.
const secret = "hunter2"

func TestNoValueOfTheEnvironmentIsTold(t *testing.T) {
	p := named("app")[0]
	p.Env = map[string]string{"TOKEN": secret, "PASSWORD": secret}
	p.User = &config.Credential{UID: 1, GID: 2}
	p.MemoryMax = 1 << 30
	p.Health.HTTP = "/readyz"
	s := newStage(t, p)
	p.EnvFiles = []config.EnvFile{{Path: filepath.Join(s.dir, "env")}}
	if err := os.WriteFile(p.EnvFiles[0].Path, []byte("FILED="+secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if told := fmt.Sprint(settings(p)); strings.Contains(told, secret) {
		t.Errorf("settings tell it: %s", told)
	}
	d, err := s.Describe(t.Context(), "app")
	if err != nil {
		t.Fatal(err)
	}
	if told := fmt.Sprintf("%+v", d); strings.Contains(told, secret) || !slices.Equal(d.Env, []string{"PASSWORD", "TOKEN"}) {
		t.Errorf("the description tells %s", told)
	}
}

func TestTargets(t *testing.T) {
	s := newStage(t, named("a", "b", "c")...)
	b, _ := s.find("b")
	b.note(b.chosen(), false)
	for _, c := range []struct {
		name, want string
		asked      []string
	}{
		{"all that nobody has stopped", "b", nil},
		{"stopped ones by their names, each once", "c a", []string{"c", "a", "c"}},
		{"one that is not there", `no program "d": there is a, b, c`, []string{"a", "d"}},
	} {
		var names []string
		targets, err := s.targets(c.asked)
		for _, p := range targets {
			names = append(names, p.name)
		}
		got := strings.Join(names, " ")
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// One mistake rejects the deploy of all, and what was opened for it is closed.
func TestReloadIsCheckedAsAWhole(t *testing.T) {
	s := newStage(t, named("a", "b")...)
	wrong := named("a", "b", "new")
	wrong[1].EnvFiles = []config.EnvFile{{Path: filepath.Join(s.dir, "none")}}
	s.file = &config.File{Programs: wrong, Listens: []config.Listen{listen(t, "http", "127.0.0.1:0")}}
	r, err := s.Deploy(t.Context(), control.DeployRequest{Programs: []string{"a", "b"}}, "me")
	if err != nil || len(r.Deploys) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, d := range s.Book.Deploys() {
		if d.Verdict != control.Rejected || !strings.Contains(d.Reason, "none: no such file") || d.By != "me" {
			t.Errorf("deploy of %s: %+v", d.Program, d)
		}
	}
	if open := s.Sockets.All(); len(open) != 0 {
		t.Errorf("open sockets: %v", open)
	}
	if all := s.all(); len(all) != 2 {
		t.Errorf("%d programs", len(all))
	}
}

// When everything is stopped there is no deploy that could be rejected.
func TestMistakeIsToldWhenEverythingIsStopped(t *testing.T) {
	s := newStage(t, named("a")...)
	mistake := errors.New("supervisor.toml:1:1: a mistake")
	s.Load = func() (*config.File, error) { return nil, mistake }
	if _, err := s.Deploy(t.Context(), control.DeployRequest{}, "me"); !errors.Is(err, control.ErrMistake) || !errors.Is(err, mistake) {
		t.Errorf("error %v", err)
	}
}

func TestHistoryIsInTheOrderOfTime(t *testing.T) {
	s := newStage(t, named("a", "b")...)
	a, _ := s.find("a")
	b, _ := s.find("b")
	for i := range 10 {
		a.ring.Add(logs.Origin{Gen: 1}, false, fmt.Append(nil, 2*i))
		b.ring.Add(logs.Origin{Gen: 1}, i%2 == 0, fmt.Append(nil, 2*i+1))
	}
	for _, c := range []struct {
		name, want string
		query      control.LogQuery
	}{
		{"all", "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19", control.LogQuery{}},
		{"the last of all programs", "17 18 19", control.LogQuery{Lines: 3}},
		{"of one", "14 16 18", control.LogQuery{Lines: 3, Programs: []string{"a"}}},
		{"of standard error", "9 13 17", control.LogQuery{Lines: 3, Err: true}},
		{"of the future", "", control.LogQuery{Since: time.Now().Add(time.Hour)}},
	} {
		var got []string
		err := s.Logs(t.Context(), c.query, func(l logs.Line) error {
			got = append(got, l.Text)
			return nil
		})
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, %v, want %s", c.name, got, err, c.want)
		}
	}
}

// While programs write on, every line is told once, and those of a program in
// their order.
func TestFollowTellsEveryLineOnce(t *testing.T) {
	const lines = 500
	s := newStage(t, named("a", "b")...)
	write := func(p *program, from, to int) {
		for i := from; i < to; i++ {
			p.ring.Add(logs.Origin{Gen: 1}, false, fmt.Append(nil, i))
		}
	}
	for _, p := range s.all() {
		write(p, 0, lines/2)
	}
	wrote := make(chan struct{}, 2)
	for _, p := range s.all() {
		go func() { write(p, lines/2, lines); wrote <- struct{}{} }()
	}
	enough := errors.New("enough")
	next := map[string]int{}
	told := 0
	err := s.Logs(t.Context(), control.LogQuery{Follow: true}, func(l logs.Line) error {
		if want := fmt.Sprint(next[l.Program]); l.Text != want || l.Lost > 0 {
			t.Errorf("%s: line %q (lost %d), want %s", l.Program, l.Text, l.Lost, want)
			return enough
		}
		next[l.Program]++
		if told++; told == 2*lines {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("error %v, want that of the reader", err)
	}
	<-wrote
	<-wrote
}

// Who follows and has had enough is told nothing more.
func TestFollowEndsAtTheReadersError(t *testing.T) {
	s := newStage(t, named("a", "b", "c", "d")...)
	for range 50 {
		for _, p := range s.all() {
			p.ring.Add(logs.Origin{Gen: 1}, false, []byte("hello"))
		}
		enough, calls := errors.New("enough"), 0
		err := followAll(t.Context(), s.all(), map[*program]uint64{}, control.LogQuery{}, func(logs.Line) error {
			calls++
			return enough
		})
		if !errors.Is(err, enough) || calls != 1 {
			t.Fatalf("error %v after %d calls, want one", err, calls)
		}
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	s := newStage(t, named("a", "b")...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Logs(ctx, control.LogQuery{Follow: true}, func(logs.Line) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
