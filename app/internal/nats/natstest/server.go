// Package natstest gives tests a real NATS server, and a way to it that fails as
// networks do. Only tests import it.
package natstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/simpletalk/simpletalk/proto/servertest"
)

// Server is a NATS server in a process of its own. It ends with the test.
type Server struct {
	*servertest.Server
	t testing.TB
}

// Start starts a server with further lines of configuration. The test is skipped
// where the server cannot be built, or fails if REQUIRE_ALL=1.
func Start(t testing.TB, config string) *Server {
	t.Helper()
	const anyPort = "127.0.0.1:-1"
	return &Server{servertest.Start(t, exec.Command(Program(t), write(t, anyPort, config))), t}
}

// URL is where it listens, without any secret.
func (s *Server) URL() string { return "nats://" + s.Addr() }

// Restart starts it again at its address, with another configuration.
func (s *Server) Restart(config string) {
	s.t.Helper()
	s.Server.Restart(exec.Command(Program(s.t), write(s.t, s.Addr(), config)))
}

// Program returns the path of the server's executable: natsserver CONFIG.
func Program(t testing.TB) string {
	t.Helper()
	return servertest.Build(t, "../natsserver")
}

func write(t testing.TB, addr, config string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(path, []byte("listen: "+addr+"\n"+config), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
