package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// tinySource is a program that knows nothing of us: it says READY=1 as to
// systemd, and on the first socket it is given greets everybody with its build
// and $MODE and then echoes. It may write much, or take much memory.
const tinySource = `package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

var build string // set by the linker

func main() {
	if os.Args[1] == "ready" {
		ready()
		return
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	if n := os.Getenv("LISTEN_FDS"); n != "" && n != "0" {
		l, err := net.FileListener(os.NewFile(3, "listener"))
		if err != nil {
			panic(err)
		}
		go serve(l)
	}
	switch os.Args[1] {
	case "talk":
		go talk()
	case "hoard":
		hoard()
	}
	ready()
	<-ended
}

func ready() {
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		panic(err)
	}
	fmt.Fprint(c, "READY=1")
	c.Close()
}

func serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			fmt.Fprintf(c, "build %s mode %s\n", build, os.Getenv("MODE"))
			io.Copy(c, c)
			c.Close()
		}()
	}
}

var hoarded []byte

// hoard takes 64 MB.
func hoard() {
	hoarded = make([]byte, 64<<20)
	for i := 0; i < len(hoarded); i += 1 << 10 {
		hoarded[i] = 1
	}
}

func talk() {
	for n := 0; ; n++ {
		fmt.Printf("line %d: %04000d\n", n, 0)
		time.Sleep(40 * time.Millisecond)
	}
}
`

// tiny returns the path of a build of that program.
func (b *builder) tiny(t testing.TB, build string) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	path := filepath.Join(b.dir, "tiny-"+build)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	source := filepath.Join(b.dir, "tiny.go")
	if err := os.WriteFile(source, []byte(tinySource), 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("go", "build", "-o", path, "-ldflags", "-X main.build="+build, source)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build tiny: %v\n%s", err, out)
	}
	return path
}
