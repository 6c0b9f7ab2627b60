// Package e2e runs both programs together: real processes, real sockets, a
// real browser. It holds tests only.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) {
	if addr := os.Getenv(envPlain); addr != "" {
		if err := servePlain(addr); err != nil {
			fmt.Fprintln(os.Stderr, "plain:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	dir, err := os.MkdirTemp("", "simpletalk-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries.dir = dir
	code := leaktest.Run(m)
	os.RemoveAll(dir)
	os.Exit(code)
}

// binaries are the programs under test, built once for all tests that need
// them.
var binaries = &builder{}

type builder struct {
	dir   string
	mu    sync.Mutex
	built map[string]string
}

// supervisor returns the path of the supervisor's executable.
func (b *builder) supervisor(t testing.TB) string { return b.build(t, "supervisor", "test", raceBuild) }

// lean returns that of one without the race detector, whose memory is its own.
func (b *builder) lean(t testing.TB) string { return b.build(t, "supervisor", "lean", false) }

// app returns the path of the app's executable, stamped with commit.
func (b *builder) app(t testing.TB, commit string) string {
	return b.build(t, "app", commit, raceBuild)
}

func (b *builder) build(t testing.TB, program, commit string, race bool) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	name := program + "-" + commit
	if path := b.built[name]; path != "" {
		return path
	}
	path := filepath.Join(b.dir, name)
	args := []string{"build", "-o", path, "-ldflags", "-X main.version=e2e -X main.commit=" + commit}
	env := "CGO_ENABLED=0"
	if race {
		args, env = append(args, "-race"), "CGO_ENABLED=1"
	}
	c := exec.Command("go", append(args, "github.com/simpletalk/simpletalk/"+program)...)
	c.Env = append(os.Environ(), env)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", program, err, out)
	}
	if b.built == nil {
		b.built = map[string]string{}
	}
	b.built[name] = path
	return path
}

// skip ends a test that cannot run here, or fails it where every part of the
// system has to be there.
func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal("REQUIRE_ALL=1, but ", why)
	}
	t.Skip(why)
}
