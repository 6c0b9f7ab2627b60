package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// workflow is what these tests read of a workflow of GitHub's.
type workflow struct {
	On          map[string]yaml.Node `yaml:"on"`
	Permissions map[string]string    `yaml:"permissions"`
	Concurrency struct {
		Group            string `yaml:"group"`
		CancelInProgress string `yaml:"cancel-in-progress"`
	} `yaml:"concurrency"`
	Jobs map[string]job `yaml:"jobs"`
}

type job struct {
	Needs       string            `yaml:"needs"`
	RunsOn      yaml.Node         `yaml:"runs-on"`
	Uses        string            `yaml:"uses"`
	If          string            `yaml:"if"`
	Permissions map[string]string `yaml:"permissions"`
	Timeout     int               `yaml:"timeout-minutes"`
	Steps       []struct {
		Name string            `yaml:"name"`
		If   string            `yaml:"if"`
		Uses string            `yaml:"uses"`
		With map[string]string `yaml:"with"`
		Env  map[string]string `yaml:"env"`
		Run  string            `yaml:"run"`
	} `yaml:"steps"`
}

func readWorkflow(t *testing.T, name string) (w workflow) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", ".github", "workflows", name))
	if err == nil {
		err = yaml.Unmarshal(text, &w)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// tool builds a tool at its exact version, or skips the test where that is not to
// be had.
func (b *builder) tool(t testing.TB, path string) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	name, _, _ := strings.Cut(filepath.Base(path), "@")
	if built := b.built[path]; built != "" {
		return built
	}
	c := exec.Command("go", "install", path)
	c.Env = append(os.Environ(), "GOBIN="+b.dir, "GOFLAGS=", "CGO_ENABLED=0") // static: it also runs where other libraries are
	if out, err := c.CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("%s cannot be built: %v: %s", path, err, out))
	}
	if b.built == nil {
		b.built = map[string]string{}
	}
	b.built[path] = filepath.Join(b.dir, name)
	return b.built[path]
}

func TestActionlintFindsNothing(t *testing.T) {
	c := exec.Command(binaries.tool(t, "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"), "-no-color")
	c.Dir = filepath.Join("..", "..")
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// What a workflow uses is pinned, may do no more than it needs, and ends.
func TestWorkflowsAreBounded(t *testing.T) {
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	pinned := regexp.MustCompile(`^(\./|[^@]+@(v\d+\.\d+\.\d+|[0-9a-f]{40})$)`)
	for _, f := range files {
		name := filepath.Base(f)
		w := readWorkflow(t, name)
		if w.Permissions == nil {
			t.Errorf("%s: no permissions are set: all would be given", name)
		}
		for id, j := range w.Jobs {
			var runsOn []string
			if j.RunsOn.Kind == yaml.SequenceNode {
				j.RunsOn.Decode(&runsOn)
			}
			if selfHosted := len(runsOn) > 0; selfHosted != (name == "deploy.yml" && id == "deploy") {
				t.Errorf("%s: job %s runs on %v: the machine that serves is for the job that deploys alone", name, id, runsOn)
			}
			if j.Uses == "" && j.Timeout == 0 {
				t.Errorf("%s: job %s has no timeout-minutes", name, id)
			}
			for _, s := range j.Steps {
				if s.Uses != "" && !pinned.MatchString(s.Uses) {
					t.Errorf("%s: job %s: %s is not pinned", name, id, s.Uses)
				}
				if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != "false" {
					t.Errorf("%s: job %s leaves its token in the checkout", name, id)
				}
			}
		}
	}
}

// The deploy job is for what is on main, or chosen by somebody who may; what it
// does is one command, which works by hand and under act as well.
func TestTheDeployJobIsOneCommand(t *testing.T) {
	w := readWorkflow(t, "deploy.yml")
	var push struct{ Branches []string }
	trigger := w.On["push"]
	if err := trigger.Decode(&push); err != nil {
		t.Fatal(err)
	}
	if _, byHand := w.On["workflow_dispatch"]; len(w.On) != 2 || !byHand || fmt.Sprint(push.Branches) != "[main]" {
		t.Errorf("triggers are %v: a fork must not have any", w.On)
	}
	if len(w.Permissions) != 0 || w.Concurrency.Group == "" || w.Concurrency.CancelInProgress != "false" {
		t.Errorf("permissions %v, concurrency %+v", w.Permissions, w.Concurrency)
	}
	j := w.Jobs["deploy"]
	if j.Needs != "ci" || w.Jobs["ci"].Uses != "./.github/workflows/ci.yml" || len(j.Permissions) != 0 || j.If != "" {
		t.Errorf("the job is %+v", j)
	}
	if len(j.Steps) != 2 {
		t.Fatalf("%d steps, want the download and the deploy", len(j.Steps))
	}
	download, deploy := j.Steps[0], j.Steps[1]
	if download.If != "${{ !env.ACT }}" || !strings.HasPrefix(download.Uses, "actions/download-artifact@") || download.With["path"] != "/opt/simpletalk/incoming" {
		t.Errorf("the first step is %+v", download)
	}
	if deploy.If != "" || !strings.HasPrefix(deploy.Run, "/opt/simpletalk/current/supervisor deploy --artifact /opt/simpletalk/incoming/") || strings.ContainsAny(deploy.Run, "\n;&|") {
		t.Errorf("the second step is %+v", deploy)
	}
	if strings.Contains(deploy.Run, "${{") {
		t.Errorf("an expression in a command lets its value be a command: %s", deploy.Run)
	}
	for _, name := range regexp.MustCompile(`--env (\w+)`).FindAllStringSubmatch(deploy.Run, -1) {
		if !strings.Contains(deploy.Env[name[1]], "secrets."+name[1]) {
			t.Errorf("%s is not given: %v", name[1], deploy.Env)
		}
	}
}

// checkout copies what git knows of, or would take in.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c := exec.Command("bash", "-c", `git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d "" f; do [ -e "$f" ] && printf "%s\0" "$f"; done | tar -c --null -T - | tar -x -C "$0"`, dir)
	c.Dir = filepath.Join("..", "..")
	if out, err := c.CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("the sources cannot be copied: %v: %s", err, out))
	}
	return dir
}

// A dependency that is not what go.mod and go.sum say stops the pipeline at its
// first command: before anything is built, and long before the site.
func TestThePipelineStopsAtAWrongDependency(t *testing.T) {
	build := readWorkflow(t, "ci.yml").Jobs["build"]
	var commands []string
	for _, s := range build.Steps {
		if s.Run != "" {
			commands = append(commands, s.Run)
		}
	}
	if len(commands) == 0 || commands[0] != "make check" {
		t.Fatalf("the commands are %q", commands)
	}
	const sum = "github.com/coder/websocket v1.8.15 h1:"
	for name, c := range map[string]struct{ file, old, new, want string }{
		"as it is":           {"go.sum", sum, sum, ""},
		"another checksum":   {"go.sum", sum, sum + "AAAA", "websocket"},
		"a checksum missing": {"go.sum", sum, "#", "go.sum"},
		"an unused module":   {"go.mod", "go 1.26.0\n", "go 1.26.0\n\nrequire rsc.io/quote v1.5.2\n", "rsc.io/quote"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := checkout(t)
			path := filepath.Join(dir, c.file)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), c.old) {
				t.Fatalf("%s has no %q", c.file, c.old)
			}
			if err := os.WriteFile(path, []byte(strings.Replace(string(text), c.old, c.new, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			check := exec.Command("bash", "-e", "-c", commands[0])
			check.Dir = dir
			check.Env = append(os.Environ(), "GOFLAGS=-mod=readonly")
			out, err := check.CombinedOutput()
			if right := c.want == ""; right != (err == nil) || !strings.Contains(string(out), c.want) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
