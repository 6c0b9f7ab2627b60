package pm2

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// imported is what the supervisor reads in what comes out of an ecosystem.
func imported(t *testing.T, name, text string) (string, *config.File) {
	t.Helper()
	path := write(t, name, text)
	e, err := Read(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	out := e.TOML()
	f, err := config.Load(write(t, "supervisor.toml", out), false)
	if err != nil {
		t.Fatalf("%v in\n%s", err, out)
	}
	return out, f
}

const sample = `{
  "apps": [{
    "name": "my api",
    "script": "server.js",
    "args": "--port 80 'two words'",
    "cwd": "api",
    "node_args": ["--max-old-space-size=200"],
    "exec_mode": "cluster_mode",
    "instances": 1,
    "kill_timeout": 1600,
    "wait_ready": true,
    "listen_timeout": 8000,
    "max_memory_restart": "300M",
    "cron_restart": "0 4 * * *",
    "restart_delay": 3000,
    "min_uptime": "1m",
    "out_file": "logs/out.log",
    "error_file": "logs/err.log",
    "log_date_format": "YYYY",
    "max_restarts": 10,
    "watch": ["src"],
    "vizion": false,
    "frobnicate": 3,
    "env": {"NODE_ENV": "test", "PORT": 3000, "A-B": "x", "QUOTED": "\"\\\n$x"},
    "env_production": {"NODE_ENV": "production"}
  }, {
    "name": "my-api",
    "script": "./bin/worker",
    "interpreter": "none",
    "autorestart": false,
    "instances": "max"
  }, {
    "script": "job.py",
    "max_memory_restart": "much",
    "cron_restart": "0 0 4 * * *"
  }, {
    "name": "shell",
    "script": "npm start"
  }],
  "deploy": {"production": {"user": "node"}}
}`

func TestAnEcosystemBecomesAConfiguration(t *testing.T) {
	out, f := imported(t, "ecosystem.json", sample)
	if len(f.Programs) != 4 {
		t.Fatalf("%d programs in\n%s", len(f.Programs), out)
	}
	api, worker, job, shell := f.Programs[0], f.Programs[1], f.Programs[2], f.Programs[3]
	for _, check := range []struct {
		what      string
		got, want any
	}{
		{"name", api.Name, "my-api"},
		{"command", strings.Join(api.Command, "|"), "node|--max-old-space-size=200|server.js|--port|80|two words"},
		{"dir", filepath.Base(api.Dir), "api"},
		{"kill_timeout", api.KillTimeout, 1600 * time.Millisecond},
		{"ready_timeout", api.ReadyTimeout, 8 * time.Second},
		{"ready_after with wait_ready", api.ReadyAfter, time.Duration(0)},
		{"memory_max", api.MemoryMax, int64(300 << 20)},
		{"cron", api.Cron, "0 4 * * *"},
		{"restart.min", api.Restart.Min, 3 * time.Second},
		{"restart.reset_after", api.Restart.ResetAfter, time.Minute},
		{"restart.on", api.Restart.On.String(), "always"},
		{"log.file", filepath.Base(api.LogFile.Path), "out.log"},
		{"log.format", api.LogFile.Format, "time"},
		{"NODE_ENV", api.Env["NODE_ENV"], "test"},
		{"PORT", api.Env["PORT"], "3000"},
		{"QUOTED", api.Env["QUOTED"], "\"\\\n$x"},
		{"NODE_ENV of production", api.Named["production"].Env["NODE_ENV"], "production"},
		{"second name", worker.Name, "my-api-2"},
		{"second command", strings.HasSuffix(worker.Command[0], "/bin/worker"), true},
		{"second restart", worker.Restart.On.String(), "never"},
		{"ready_after", worker.ReadyAfter, time.Second},
		{"python", strings.Join(job.Command, "|"), "python3|job.py"},
		{"third name", job.Name, "job"},
		{"shell", strings.Join(shell.Command, "|"), "/bin/sh|-c|exec npm start"},
	} {
		if check.got != check.want {
			t.Errorf("%s: got %v, want %v", check.what, check.got, check.want)
		}
	}
	for _, want := range []string{
		`# deploy: not carried over: put a build in place`,
		`# name "my api": changed`,
		`# exec_mode "cluster_mode": not carried over`,
		`# error_file "logs/err.log": standard output and error are kept in one file`,
		`# log_date_format "YYYY": `,
		`# max_restarts 10: not carried over: a program is started again for ever`,
		`# watch ["src"]: not carried over: run 'supervisor watch'`,
		`# frobnicate 3: not carried over: there is nothing like it here`,
		`# env "A-B": no shell can name that variable`,
		`# instances "max": write how many`,
		`# max_memory_restart "much": write it as memory_max`,
		`# cron_restart "0 0 4 * * *": a schedule has five fields here`,
		`# wait_ready: instead of process.send('ready')`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "vizion") {
		t.Errorf("what is off is spoken of:\n%s", out)
	}
}

func TestInstancesAreCarriedOver(t *testing.T) {
	e, err := Read(t.Context(), write(t, "e.json", `{"script": "a.js", "instances": 4}`))
	if err != nil {
		t.Fatal(err)
	}
	if out := e.TOML(); !strings.Contains(out, "\ninstances = 4\n") {
		t.Errorf("got\n%s", out)
	}
}

func TestJavaScriptIsReadByNode(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		if os.Getenv("REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	_, f := imported(t, "ecosystem.config.js", `
console.log("chatter");
const port = 1 + 2;
module.exports = { apps: [{ name: "api", script: "server.js", env: { PORT: port } }] };
`)
	if got := f.Programs[0].Env["PORT"]; got != "3" {
		t.Errorf("PORT is %q", got)
	}
	_, err := Read(t.Context(), write(t, "bad.js", "module.exports = { apps: nothing }"))
	if err == nil || !strings.Contains(err.Error(), "bad.js: node: exit status 1: ReferenceError: nothing is not defined") {
		t.Errorf("of a mistake: %v", err)
	}
}

func TestJavaScriptWithoutNode(t *testing.T) {
	path := write(t, "e.js", "")
	t.Setenv("PATH", t.TempDir())
	if _, err := Read(t.Context(), path); err == nil || !strings.Contains(err.Error(), "it takes node to read it") {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNoEcosystem(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"a.json": {"{", "it is no JSON"},
		"b.json": {`{"apps": []}`, "it has no apps"},
		"c.json": {`{"apps": [{"name": "x"}]}`, "app 1 has no script"},
		"d.json": {`[1]`, "app 1 has no script"},
		"e.yaml": {"apps:", ".yaml files cannot be read"},
	} {
		if _, err := Read(t.Context(), write(t, name, test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	if _, err := Read(t.Context(), filepath.Join(t.TempDir(), "none.json")); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestSplit(t *testing.T) {
	for text, want := range map[string][]string{
		"":               nil,
		" a  b ":         {"a", "b"},
		`a 'b c' "d 'e"`: {"a", "b c", "d 'e"},
		`--x="1 2"`:      {"--x=1 2"},
		`'' x`:           {"", "x"},
	} {
		if got := split(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// Whatever is in a file, what comes out is a configuration, or was refused.
func FuzzImport(f *testing.F) {
	f.Add(sample)
	f.Add(`{"script": "\u007f\u0000x", "args": ["\"\\"], "env": {"A": "\ud800"}, "name": "# \n["}`)
	f.Add(`[{"script": "a.js", "max_memory_restart": "1.5G", "kill_timeout": -1, "min_uptime": {}, "env_x": {"B": null}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		if !json.Valid([]byte(text)) {
			return
		}
		e, err := decode([]byte(text))
		if err != nil {
			return
		}
		e.Path = "/srv/ecosystem.json"
		out := e.TOML()
		if _, err := config.Load(write(t, "supervisor.toml", out), false); err != nil && !onlyValues(err) {
			t.Errorf("%v in\n%s", err, out)
		}
	})
}

// onlyValues reports whether all that is wrong is values that were as wrong in
// the ecosystem, such as a path with a zero byte; those an operator sees in
// `supervisor check`.
func onlyValues(err error) bool {
	for line := range strings.Lines(err.Error()) {
		known := false
		for _, w := range []string{"command", "dir must", "log.file", "instances", "cron", "restart", "kill_timeout", "ready", "memory_max", "writes "} {
			known = known || strings.Contains(line, w)
		}
		if !known || strings.Contains(line, "unknown key") {
			return false
		}
	}
	return true
}
