package e2e

import (
	"bytes"
	"encoding/json"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/simpletalk/simpletalk"

// pkg is what these tests need of `go list -json`.
type pkg struct {
	ImportPath string
	Dir        string
	Standard   bool
	Module     *struct{ Path string }
	GoFiles    []string
	Imports    []string
}

// list returns the packages that patterns and, with deps, their dependencies
// name.
func list(t *testing.T, args ...string) map[string]pkg {
	t.Helper()
	c := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Standard,Module,GoFiles,Imports"}, args...)...)
	c.Dir = filepath.Join("..", "..")
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	if err := c.Run(); err != nil {
		t.Fatalf("go list: %v: %s", err, errOut.String())
	}
	pkgs := map[string]pkg{}
	for d := json.NewDecoder(&out); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs[p.ImportPath] = p
	}
}

// Each third-party module has one importing package, so that replacing it is
// the work of an afternoon. x/sys is the system itself; cobra has one in each
// program, because neither may import the other.
func TestEachModuleHasOneImporter(t *testing.T) {
	importer := map[string][]string{
		"golang.org/x/sys":                    nil, // anybody
		"github.com/charmbracelet/bubbletea":  {module + "/supervisor/internal/monit"},
		"github.com/charmbracelet/lipgloss":   {module + "/supervisor/internal/monit"},
		"github.com/charmbracelet/x/ansi":     {module + "/supervisor/internal/monit"},
		"github.com/cloudflare/tableflip":     {module + "/supervisor/internal/upgrade"},
		"github.com/coder/websocket":          {module + "/proto/ws"},
		"github.com/coreos/go-systemd/v22":    {module + "/supervisor/internal/sdnotify"},
		"github.com/DeRuina/timberjack":       {module + "/supervisor/internal/logs"},
		"github.com/fatih/color":              {module + "/supervisor"},
		"github.com/fsnotify/fsnotify":        {module + "/supervisor/internal/watch"},
		"github.com/nats-io/nats.go":          {module + "/app/internal/nats"},
		"github.com/pelletier/go-toml/v2":     {module + "/supervisor/internal/config"},
		"github.com/prometheus/client_golang": {module + "/app/internal/metrics"},
		"github.com/rivo/uniseg":              {module + "/app/internal/auth"},
		"github.com/robfig/cron/v3":           {module + "/supervisor/internal/config"},
		"github.com/schollz/progressbar/v3":   {module + "/supervisor"},
		"github.com/spf13/cobra":              {module + "/app", module + "/supervisor"},
		"github.com/spf13/pflag":              {module + "/app"},
		"github.com/VictoriaMetrics/metrics":  {module + "/supervisor/internal/metrics"},
		"go.mau.fi/util":                      {module + "/app/internal/auth"},
		"go.mongodb.org/mongo-driver/v2":      {module + "/app/internal/mongo"},
		"go.uber.org/goleak":                  {module + "/proto/leaktest"},
		"golang.org/x/crypto":                 {module + "/app/internal/auth"},
		"golang.org/x/text":                   {module + "/app/internal/auth"},
		"golang.org/x/time":                   {module + "/app/internal/web"},
		"modernc.org/sqlite":                  {module + "/app/internal/sqlite"},
	}
	importers := map[string]map[string]bool{}
	all := list(t, "-deps", "./...")
	for path, p := range all {
		if !ours(path) {
			continue
		}
		for _, i := range p.Imports {
			if m := all[i].Module; m != nil && m.Path != module {
				if importers[m.Path] == nil {
					importers[m.Path] = map[string]bool{}
				}
				importers[m.Path][path] = true
			}
		}
	}
	for m, by := range importers {
		allowed, known := importer[m]
		if !known {
			t.Errorf("module %s is imported by %v: enter it here with the one package that may", m, slices.Sorted(maps.Keys(by)))
		}
		for path := range by {
			if allowed != nil && !slices.Contains(allowed, path) {
				t.Errorf("module %s is imported by %s, only %v may", m, path, allowed)
			}
		}
	}
}

// The supervisor stays in memory for as long as its machine is up, and with it all
// of its executable. Protobuf's generated types are reached by reflection, for whose
// sake the linker keeps every exported method in the program, whoever calls it: more
// than a quarter of the executable was there for nothing else.
func TestTheSupervisorIsWithoutProtobuf(t *testing.T) {
	const protobuf = "google.golang.org/protobuf/"
	for path, p := range list(t, "-deps", "./supervisor") {
		for _, i := range p.Imports {
			if strings.HasPrefix(i, protobuf) && !strings.HasPrefix(path, protobuf) {
				t.Errorf("%s imports %s, and the supervisor is built on it", path, i)
			}
		}
	}
}

// What a package may be built on, beside the standard library.
func TestWhoMayImportWhom(t *testing.T) {
	all := list(t, "./...")
	for path, p := range all {
		for _, i := range p.Imports {
			switch {
			case under(path, "supervisor") && under(i, "app"), under(path, "app") && under(i, "supervisor"):
				t.Errorf("%s imports %s: the supervisor and the app share proto only", path, i)
			case under(path, "proto") && (under(i, "app") || under(i, "supervisor")):
				t.Errorf("%s imports %s: proto is for everybody", path, i)
			case path == module+"/proto" && strings.Contains(i, ".") && !strings.HasPrefix(i, "golang.org/x/sys/"):
				t.Errorf("%s imports %s: it keeps to the standard library and x/sys", path, i)
			case path == module+"/app/internal/chat" && strings.Contains(i, ".") && i != module+"/proto/chat":
				t.Errorf("%s imports %s: the domain keeps to the standard library and the wire", path, i)
			}
		}
	}
}

func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

func under(path, folder string) bool {
	return path == module+"/"+folder || strings.HasPrefix(path, module+"/"+folder+"/")
}

// Every package says once what it is.
func TestEveryPackageHasOneComment(t *testing.T) {
	for path, p := range list(t, "./...") {
		comments := 0
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				comments++
			}
		}
		if comments != 1 && len(p.GoFiles) > 0 {
			t.Errorf("%s has %d package comments, want 1", path, comments)
		}
	}
}

// The tree shows the architecture: nothing else stands at the top.
func TestTheTopLevelIsFixed(t *testing.T) {
	allowed := []string{
		"supervisor", "app", "proto", "systemd", "nginx", ".github", ".ci",
		"go.mod", "go.sum", "Makefile", "README.md", "LICENSE", ".gitignore",
	}
	c := exec.Command("git", "ls-files")
	c.Dir = filepath.Join("..", "..")
	out, err := c.Output()
	if err != nil {
		if _, statErr := os.Stat(filepath.Join("..", "..", ".git")); statErr != nil {
			skip(t, "this is no git checkout: the tree has no list of its own files")
		}
		t.Fatal(err)
	}
	for _, f := range strings.Fields(string(out)) {
		if top, _, _ := strings.Cut(f, "/"); !slices.Contains(allowed, top) {
			t.Errorf("%s: %s does not belong at the top level", f, top)
		}
	}
}
