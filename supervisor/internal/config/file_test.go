package config

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto/address"
)

var update = flag.Bool("update", false, "write the golden file anew")

// write makes a file of the name in a folder of its own.
func write(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, text string) *File {
	t.Helper()
	f, err := Load(write(t, "supervisor.toml", text), false)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// with returns a program that differs from the default one.
func with(name string, command []string, change func(*Program)) Program {
	p := NewProgram(name, command)
	change(&p)
	return p
}

func TestTheDesignsSample(t *testing.T) {
	f, err := Load("testdata/design.toml", false)
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(f.Path) || !strings.HasSuffix(f.Path, "/testdata/design.toml") {
		t.Errorf("its path is %s", f.Path)
	}
	f.Path = ""
	got, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/design.golden"
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(got) != string(want) {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

const full = `
[listen]
web = "unix:///run/web.sock?mode=0600"
http = "127.0.0.1:3000"

[program."mail.er"]
command = ["bin/mailer"]
env_file = "-env"

[program.chat]
command  = ["app", "serve", "./x", ""]
dir      = "../srv/./chat"
env      = { SIMPLETALK_DATA = "/srv/chat", _e1 = "" }
env_file = ["/etc/simpletalk/../env", "-more/env"]
listen   = ["http", "web"]
instances = 1
ready_timeout = "1m1s"
stop_signal = "SIGINT"
drain  = { handover = false, timeout = "1ms", rate = 1, generations = 50 }
bake   = "0s"
restart = { min = "1s", max = "1s", reset_after = "2s", on = [1, 75, "SIGSEGV", "TERM"] }
memory_max = "2G"
health = { http = "/ready?x=y", listen = "web", every = "1s", timeout = "3s", failures = 1 }

[program.chat.log]
memory = "64K"

[program.plain]
command = ["/bin/sleep", "9"]
listen = ["web"]
health.http = "/"
drain.timeout = "5s"
kill_timeout = "7s"
`

func TestAFileIsReadAsWritten(t *testing.T) {
	f := load(t, full)
	dir := filepath.Dir(f.Path)
	want := []Program{
		with("mail.er", []string{dir + "/bin/mailer"}, func(p *Program) {
			p.EnvFiles = []EnvFile{{dir + "/env", true}}
		}),
		with("chat", []string{"app", "serve", "./x", ""}, func(p *Program) {
			p.Dir = filepath.Dir(dir) + "/srv/chat"
			p.Env = map[string]string{"SIMPLETALK_DATA": "/srv/chat", "_e1": ""}
			p.EnvFiles = []EnvFile{{"/etc/env", false}, {dir + "/more/env", true}}
			p.Listen = []string{"http", "web"}
			p.ReadyTimeout = 61 * time.Second
			p.StopSignal = syscall.SIGINT
			p.KillTimeout = time.Millisecond
			p.Drain = Drain{false, time.Millisecond, 1, 50}
			p.Bake = 0
			p.Restart = Restart{time.Second, time.Second, 2 * time.Second,
				Policy{listed, []int{1, 75}, []syscall.Signal{syscall.SIGSEGV, syscall.SIGTERM}}}
			p.MemoryMax = 2 << 30
			p.Health = Health{"/ready?x=y", "web", time.Second, 3 * time.Second, 1}
			p.LogMemory = 64 << 10
		}),
		with("plain", []string{"/bin/sleep", "9"}, func(p *Program) {
			p.Listen = []string{"web"}
			p.Health.HTTP, p.Health.Listen = "/", "web"
			p.Drain.Timeout = 5 * time.Second
			p.KillTimeout = 7 * time.Second
		}),
	}
	for i, p := range f.Programs {
		if i < len(want) && !reflect.DeepEqual(p, want[i]) {
			t.Errorf("got %+v, want %+v", p, want[i])
		}
	}
	if len(f.Programs) != len(want) {
		t.Errorf("got %d programs, want %d", len(f.Programs), len(want))
	}
	listens := []Listen{
		{"web", address.Address{Network: "unix", Path: "/run/web.sock", Mode: 0o600}},
		{"http", address.Address{Network: "tcp", Host: "127.0.0.1", Port: 3000}},
	}
	if !reflect.DeepEqual(f.Listens, listens) {
		t.Errorf("got %+v, want %+v", f.Listens, listens)
	}
	if want := (Control{GID: -1}); f.Control != want {
		t.Errorf("got %+v, want %+v", f.Control, want)
	}
}

func TestWhatAProgramListensOn(t *testing.T) {
	const listens = "[listen]\nb = ':1'\na = ':2'\n"
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"the only program", "[program.x]\ncommand = ['x']\n", []string{"b", "a"}},
		{"one of two", "[program.x]\ncommand = ['x']\n[program.y]\ncommand = ['y']\n", nil},
		{"as it says", "[program.x]\ncommand = ['x']\nlisten = ['a']\n", []string{"a"}},
		{"none, as it says", "[program.x]\ncommand = ['x']\nlisten = []\n", []string{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := load(t, listens+test.text).Programs[0].Listen; !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTheOnlyProgramIsAskedByItsFirstListener(t *testing.T) {
	f := load(t, "listen = { b = ':1', a = ':2' }\nprogram.x = { command = ['x'], health.http = '/' }\n")
	if got := f.Programs[0].Health.Listen; got != "b" {
		t.Errorf("it is asked by %q, want b", got)
	}
}

func TestPathsAreThoseOfTheFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	real := filepath.Join(dir, "releases", "7")
	if err := os.MkdirAll(real, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("releases/7", "current"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("x.toml", []byte("[program.x]\ncommand = ['current/./x']\ndir = '.'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Load("x.toml", false)
	if err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.Programs[0].Command[0], wd+"/current/x"; got != want {
		t.Errorf("the command is %s, want %s", got, want)
	}
	if got := f.Programs[0].Dir; got != wd || f.Path != wd+"/x.toml" {
		t.Errorf("the folder is %s, the file %s; want them in %s", got, f.Path, wd)
	}
}

func TestAFileThatCannotBeRead(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none.toml")
	big := write(t, "big.toml", strings.Repeat("#\n", maxFile/2)+"#")
	var mistakes Mistakes
	if _, err := Load(missing, false); !errors.Is(err, fs.ErrNotExist) || errors.As(err, &mistakes) || !strings.Contains(err.Error(), missing) {
		t.Errorf("a missing one: %v", err)
	}
	if _, err := Load(filepath.Dir(missing), false); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Load(big, false); err == nil || err.Error() != "read configuration: "+big+" has more than 256K bytes" {
		t.Errorf("a big one: %v", err)
	}
	if _, err := Load(write(t, "full.toml", strings.Repeat("#\n", maxFile/2)), false); !errors.As(err, &mistakes) {
		t.Errorf("one that just fits: %v, want that it has no program", err)
	}
}
