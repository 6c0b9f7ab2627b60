package e2e

import (
	"bufio"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// backend is a server that the chat needs beside itself. It says on its standard
// output by which URL it is reached, and ends with its standard input.
type backend struct {
	addr    string // host:port
	process *exec.Cmd
	in      io.Closer
}

// startBackend starts a server, which ends with the test.
func startBackend(t testing.TB, c *exec.Cmd) *backend {
	t.Helper()
	c.Stderr = os.Stderr
	in, err := c.StdinPipe() // it ends when we do, whatever happens to us
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	b := &backend{process: c, in: in}
	t.Cleanup(b.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s does not listen: %v", c.Path, err)
	}
	u, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	b.addr = u.Host
	return b
}

// kill ends it by kill -9. It may have ended before.
func (b *backend) kill() {
	b.in.Close()
	b.process.Process.Kill()
	b.process.Wait()
}

// module returns the path of a server of the tests of an adapter of the app's. It
// is a module of its own, which may be missing where there is no way to get it.
func (b *builder) module(t testing.TB, adapter, name string) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if path := b.built[name]; path != "" {
		return path
	}
	path := filepath.Join(b.dir, name)
	c := exec.Command("go", "build", "-o", path, ".")
	c.Dir = filepath.Join("..", "..", "app", "internal", adapter, name)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		skip(t, name+" cannot be built: "+err.Error()+": "+string(out))
	}
	if b.built == nil {
		b.built = map[string]string{}
	}
	b.built[name] = path
	return path
}
