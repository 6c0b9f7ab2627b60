// Package mongotest gives tests a server to talk to that was written by others,
// and a way to it that fails as networks do. Only tests import it.
package mongotest

import (
	"os/exec"
	"testing"

	"github.com/simpletalk/simpletalk/proto/servertest"
)

// Server is a FerretDB in a process of its own, on a data directory of its own.
// It ends with the test.
type Server struct {
	*servertest.Server
	program, dir string
}

// Start starts a server with no data. The test is skipped where FerretDB cannot
// be built, or fails if REQUIRE_ALL=1.
func Start(t testing.TB) *Server {
	t.Helper()
	program, dir := servertest.Build(t, "../ferretdb"), t.TempDir()
	return &Server{servertest.Start(t, exec.Command(program, dir)), program, dir}
}

// URI names a database of the server.
func (s *Server) URI(database string) string { return "mongodb://" + s.Addr() + "/" + database }

// Restart starts it again on its data, at its address.
func (s *Server) Restart() { s.Server.Restart(exec.Command(s.program, s.dir, s.Addr())) }
