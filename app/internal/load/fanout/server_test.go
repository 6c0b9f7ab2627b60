package fanout

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a server may take to listen, and to say what it should.
const patience = 30 * time.Second

// build makes a program of a package or module.
func build(b *testing.B, dir, name string) string {
	b.Helper()
	program := filepath.Join(b.TempDir(), name)
	c := exec.Command("go", "build", "-trimpath", "-o", program, ".")
	c.Dir = dir
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly -buildvcs=false")
	if out, err := c.CombinedOutput(); err != nil {
		b.Skipf("%s cannot be built: %v: %s", name, err, out)
	}
	return program
}

// server is a process that serves.
type server struct {
	addr string
	pid  int
}

// tick is the unit of times in /proc (sysconf(_SC_CLK_TCK) is 100 everywhere).
const tick = 10 * time.Millisecond

// cpu returns how much of the processors' time it has had: fields 14 and 15 of
// proc_pid_stat(5).
func (s server) cpu(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')'):]))
	user, err := strconv.Atoi(fields[12])
	system, err2 := strconv.Atoi(fields[13])
	if err := errors.Join(err, err2); err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * tick
}

// serveOurs starts the chat on an embedded store of its own, as anybody would.
func serveOurs(b *testing.B) server {
	b.Helper()
	c := exec.Command(build(b, filepath.Join("..", "..", ".."), "app"), "serve", "--listen", "127.0.0.1:0", "--data", b.TempDir())
	out, err := c.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	return started(b, c, out, func(line string) string {
		var said struct{ Msg, Addr string }
		if json.Unmarshal([]byte(line), &said) != nil || said.Msg != "listening" {
			return ""
		}
		return said.Addr
	})
}

// servePlain starts a server that prints its URL, and is built of a folder here.
func servePlain(b *testing.B, dir string, args ...string) server {
	b.Helper()
	c := exec.Command(build(b, dir, dir), args...)
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	return started(b, c, out, func(line string) string { return strings.TrimPrefix(line, "http://") })
}

// started starts a server that ends with the benchmark, and tells its address in
// a line.
func started(b *testing.B, c *exec.Cmd, out io.Reader, addr func(line string) string) server {
	b.Helper()
	in, err := c.StdinPipe() // ends when we do
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	var reading sync.WaitGroup
	b.Cleanup(func() {
		in.Close()
		c.Process.Kill()
		reading.Wait()
		c.Wait()
	})
	late := time.AfterFunc(patience, func() { c.Process.Kill() })
	defer late.Stop()
	for s := bufio.NewScanner(out); s.Scan(); {
		if a := addr(s.Text()); a != "" {
			reading.Go(func() { io.Copy(io.Discard, out) })
			return server{a, c.Process.Pid}
		}
	}
	b.Fatalf("%s does not listen", c)
	return server{}
}
