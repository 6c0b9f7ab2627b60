//go:build !race

package web // the race detector's own memory is not what is measured

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// serveForMeasurement is the server of TestIdleMemory, in a process of its own:
// it prints its address and ends with its input.
func serveForMeasurement(t *testing.T) {
	h := open(t, chat.NewMemory(), func(o *Options, _ *chat.Options) { o.MaxConns = 1 << 20 })
	fmt.Println("COOKIE", h.guest("Idle"), h.addr)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		debug.FreeOSMemory() // what the collector and the scavenger do in a few idle minutes
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fmt.Println("COLLECTED", m.HeapInuse>>10, m.StackInuse>>10)
	}
}

// TestIdleMemory measures the resident memory of a connection that has said
// hello and is silent, after a collection.
func TestIdleMemory(t *testing.T) {
	if os.Getenv(idleVar) != "" {
		serveForMeasurement(t)
		return
	}
	const n = 2000
	cmd := exec.Command(os.Args[0], "-test.run", "^TestIdleMemory$")
	cmd.Env = append(os.Environ(), idleVar+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	lines := bufio.NewScanner(out)
	says := func(word string) (a, b string) {
		for lines.Scan() {
			if f := strings.Fields(lines.Text()); len(f) == 3 && f[0] == word {
				return f[1], f[2]
			}
		}
		t.Fatalf("the server does not say %s", word)
		return "", ""
	}
	cookie, addr := says("COOKIE")
	rss := func() int {
		time.Sleep(time.Second)
		io.WriteString(in, "\n")
		heap, stack := says("COLLECTED")
		t.Logf("heap %s KiB, stacks %s KiB", heap, stack)
		return resident(t, cmd.Process.Pid)
	}
	warm := idleClients(t, addr, cookie, 200) // pools and stacks of a busy start
	defer warm()
	before := rss()
	stop := idleClients(t, addr, cookie, n)
	defer stop()
	each := float64(rss()-before) / n / 1024
	t.Logf("%.1f KiB per idle connection (%d of them, %s)", each, n, runtime.Version())
	if each > 12 {
		t.Errorf("%.1f KiB per idle connection, want about 10", each)
	}
}

// idleClients connects n clients that say hello and no more.
func idleClients(t *testing.T, addr, cookie string, n int) (stop func()) {
	var conns []net.Conn
	for range n {
		conns = append(conns, rawClient(t, addr, cookie))
	}
	return func() {
		for _, c := range conns {
			c.Close()
		}
	}
}

// resident returns VmRSS of a process, in bytes.
func resident(t *testing.T, pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
