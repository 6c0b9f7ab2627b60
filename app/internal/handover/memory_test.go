//go:build !race

package handover // the race detector's own memory is not what is measured

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/web"
)

// serveForMeasurement is the worker of TestKeptMemory, in a process of its own:
// it prints its address and ends with its input. Its supervisor keeps nothing.
func serveForMeasurement(t *testing.T) {
	b := newBoss(t, 20_000)
	b.forgets = true
	w := b.start(chat.NewMemory(), func(o *web.Options) { o.MaxConns = 1 << 20 })
	w.takeOver()
	fmt.Println("COOKIE", b.guest("Idle"), b.addr)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		debug.FreeOSMemory() // what the collector and the scavenger do in a few idle minutes
		fmt.Println("COLLECTED", w.keeper.Kept(), w.server.Conns())
	}
}

// TestKeptMemory measures the resident memory of a connection that is kept, has
// said hello and is silent, after a collection.
func TestKeptMemory(t *testing.T) {
	if os.Getenv(idleVar) != "" {
		serveForMeasurement(t)
		return
	}
	const n, limit = 5000, 10.5
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKeptMemory$")
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
		t.Fatalf("the worker does not say %s", word)
		return "", ""
	}
	cookie, addr := says("COOKIE")
	rss := func(want int) int {
		time.Sleep(time.Second)
		io.WriteString(in, "\n")
		if kept, conns := says("COLLECTED"); kept != strconv.Itoa(want) || conns != kept {
			t.Errorf("%s kept and %s connections, want %d", kept, conns, want)
		}
		return resident(t, cmd.Process.Pid)
	}
	const warm = 200 // pools and stacks of a busy start
	defer idle(t, addr, cookie, warm)()
	before := rss(warm)
	defer idle(t, addr, cookie, n)()
	each := float64(rss(warm+n)-before) / n / 1024
	t.Logf("%.1f KiB per kept connection (%d of them, %s)", each, n, runtime.Version())
	if each > limit {
		t.Errorf("%.1f KiB per kept connection, want at most %.1f", each, limit)
	}
}

// idle connects n clients that say hello and no more.
func idle(t *testing.T, addr, cookie string, n int) (stop func()) {
	var conns []net.Conn
	for range n {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nCookie: %s\r\nConnection: Upgrade\r\n"+
			"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", addr, addr, cookie)
		resp, err := http.ReadResponse(bufio.NewReaderSize(c, 16), nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("handshake: %v %v", resp, err)
		}
		c.Write(append([]byte{0x81, 0x80 | byte(len(hello)), 0, 0, 0, 0}, hello...)) // a zero mask
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
