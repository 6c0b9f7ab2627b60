// Package servertest gives tests servers that others have written, each in a
// process of its own. Their programs are modules of their own, so that nothing
// they need becomes a dependency of the chat. Only tests import it.
package servertest

import (
	"bufio"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// patience is how long a server may take to listen.
const patience = 30 * time.Second

// Server is a server's process. Its program prints the URL it is reached at and
// serves until its standard input ends. It is for one goroutine.
type Server struct {
	t    testing.TB
	cmd  *exec.Cmd
	in   io.Closer
	addr string
}

// Start starts c, which runs until the test is over, and returns when it listens.
func Start(t testing.TB, c *exec.Cmd) *Server {
	t.Helper()
	s := &Server{t: t}
	s.start(c)
	t.Cleanup(s.Kill)
	return s
}

// Addr is where it listens, HOST:PORT.
func (s *Server) Addr() string { return s.addr }

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

// Restart kills it and starts c in its place.
func (s *Server) Restart(c *exec.Cmd) {
	s.t.Helper()
	s.Kill()
	s.start(c)
}

func (s *Server) start(c *exec.Cmd) {
	s.t.Helper()
	c.Stderr = os.Stderr
	in, err := c.StdinPipe() // it ends when we do, whatever happens to us
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd, s.in = c, in
	s.addr = s.firstURL(out).Host
}

// firstURL reads the line by which a server says that it listens.
func (s *Server) firstURL(out io.ReadCloser) *url.URL {
	s.t.Helper()
	late := time.AfterFunc(patience, func() { out.Close() })
	defer late.Stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.Kill()
		s.t.Fatalf("the server does not listen: %v", err)
	}
	u, err := url.Parse(strings.TrimSpace(line))
	if err != nil {
		s.Kill()
		s.t.Fatal(err)
	}
	return u
}
