// Package natstest gives tests a real NATS server, and a way to it that fails as
// networks do. Only tests import it.
package natstest

import (
	"bufio"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a server may take to listen.
const patience = 30 * time.Second

// Server is a NATS server in a process of its own. It ends with the test.
type Server struct {
	t      testing.TB
	config string // what it is told beside its address
	addr   string // HOST:PORT
	cmd    *exec.Cmd
	in     io.Closer
}

// Start starts a server with further lines of configuration. The test is skipped
// where the server cannot be built, or fails if REQUIRE_ALL=1.
func Start(t testing.TB, config string) *Server {
	t.Helper()
	s := &Server{t: t, config: config, addr: "127.0.0.1:-1"} // it chooses a port
	s.start()
	t.Cleanup(s.Kill)
	return s
}

// Addr is where it listens, HOST:PORT.
func (s *Server) Addr() string { return s.addr }

// URL is where it listens, without any secret.
func (s *Server) URL() string { return "nats://" + s.addr }

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

// Restart starts it again at its address, with another configuration.
func (s *Server) Restart(config string) {
	s.t.Helper()
	s.Kill()
	s.config = config
	s.start()
}

func (s *Server) start() {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "nats.conf")
	if err := os.WriteFile(path, []byte("listen: "+s.addr+"\n"+s.config), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(Program(s.t), path)
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

// built is the program, made once for all tests of a process.
var built struct {
	sync.Mutex
	path string
	err  error
}

// Program returns the path of the server's executable: natsserver CONFIG.
func Program(t testing.TB) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if built.path == "" && built.err == nil {
		built.path, built.err = build()
	}
	if built.err != nil {
		lacking(t, fmt.Sprint("the NATS server cannot be built: ", built.err))
	}
	return built.path
}

// build puts the program into the user's cache directory. Go's own cache makes
// that a matter of moments when it is there already.
func build() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "simpletalk")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "natsserver")
	part := fmt.Sprintf("%s.%d", program, os.Getpid()) // several processes may build it
	c := exec.Command("go", "build", "-o", part, ".")
	c.Dir = filepath.Join(filepath.Dir(here), "..", "natsserver")
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly -buildvcs=false")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return program, os.Rename(part, program)
}

// lacking skips the test, or fails it where everything is required.
func lacking(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal("REQUIRE_ALL=1, but ", what)
	}
	t.Skip(what)
}
