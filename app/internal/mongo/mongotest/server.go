// Package mongotest gives tests a server to talk to that was written by others,
// and a way to it that fails as networks do. Only tests import it.
package mongotest

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take to listen.
const patience = 30 * time.Second

// Server is a FerretDB in a process of its own, on a data directory of its own.
// It ends with the test.
type Server struct {
	t    testing.TB
	dir  string
	cmd  *exec.Cmd
	in   io.Closer
	addr string // HOST:PORT
}

// Start starts a server with no data. The test is skipped where FerretDB cannot
// be built, or fails if REQUIRE_ALL=1.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), addr: "127.0.0.1:0"}
	s.start(build(t))
	t.Cleanup(s.Kill)
	return s
}

// Addr is where it listens.
func (s *Server) Addr() string { return s.addr }

// URI names a database of the server.
func (s *Server) URI(database string) string { return "mongodb://" + s.addr + "/" + database }

// Kill ends it at once, as kill -9 does.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.in.Close()
	s.cmd = nil
}

// Restart starts it again on its data, at its address.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	s.start(build(s.t))
}

func (s *Server) start(program string) {
	s.t.Helper()
	s.cmd = exec.Command(program, s.dir, s.addr)
	s.cmd.Stderr = os.Stderr
	in, err := s.cmd.StdinPipe() // it ends when we do, whatever happens to us
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.in = in
	late := time.AfterFunc(patience, func() { out.Close() })
	defer late.Stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.t.Fatalf("the server does not listen: %v", err)
	}
	u, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = u.Host
}

// build returns the program, which it builds once for each version of its
// sources and of Go and keeps in the user's cache directory.
func build(t testing.TB) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	source := filepath.Join(filepath.Dir(here), "..", "ferretdb")
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOARCH)
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		b, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			t.Fatal(err)
		}
		h.Write(b)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	program := filepath.Join(cache, "simpletalk", fmt.Sprintf("ferretdb-%x", h.Sum(nil)[:8]))
	if err := buildOnce(source, program); err != nil {
		lacking(t, fmt.Sprint("FerretDB cannot be built: ", err))
	}
	return program
}

// buildOnce builds program if it is not there. Of several processes that want it
// one builds, the others wait.
func buildOnce(source, program string) error {
	if err := os.MkdirAll(filepath.Dir(program), 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(program+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if _, err := os.Stat(program); err == nil {
		return nil
	}
	return compile(source, program)
}

// compile has the program appear in one step: it may be killed on the way.
func compile(source, program string) error {
	part := program + ".part"
	c := exec.Command("go", "build", "-o", part, ".")
	c.Dir = source
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly -buildvcs=false")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return os.Rename(part, program)
}

// lacking skips the test, or fails it where everything is required.
func lacking(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal("REQUIRE_ALL=1, but ", what)
	}
	t.Skip(what)
}
