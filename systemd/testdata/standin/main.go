//go:build linux

// Command standin takes the supervisor's place under its unit: it keeps the
// unit's side of every promise, and nothing of the supervisor's own.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	state    = "/run/simpletalk"
	data     = "/var/lib/simpletalk"
	pidFile  = state + "/supervisor.pid"
	upgraded = "STANDIN_UPGRADED"
)

func main() {
	log.SetFlags(0)
	switch command := strings.Join(os.Args[1:], " "); command {
	case "run --state /run/simpletalk --config /etc/simpletalk/supervisor.toml":
		run()
	case "reload --wait --state /run/simpletalk":
		os.Exit(reload())
	default:
		log.Fatal("unexpected arguments: ", command)
	}
}

// told returns what the test has written to a file in the data folder.
func told(name string) string {
	b, _ := os.ReadFile(filepath.Join(data, name))
	return strings.TrimSpace(string(b))
}

func run() {
	if told("crash") != "" {
		log.Fatal("crashing as told")
	}
	l := listener()
	go serve(l)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	must(os.WriteFile(pidFile+".new", []byte(strconv.Itoa(os.Getpid())), 0o644))
	must(os.Chown(pidFile+".new", -1, os.Getgid())) // as for the control socket of a group
	must(os.Rename(pidFile+".new", pidFile))
	if os.Getenv(upgraded) == "" {
		notify("READY=1")
	}
	log.Print("running")
	go watchdog()
	if <-signals == syscall.SIGHUP {
		upgrade(l)
		return
	}
	time.Sleep(300 * time.Millisecond)
	log.Print("drained")
}

// listener is the socket of simpletalk.socket.
func listener() net.Listener {
	if n, name := os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES"); n != "1" || name != "http" {
		log.Fatalf("LISTEN_FDS=%s LISTEN_FDNAMES=%s", n, name)
	}
	if os.Getenv(upgraded) != "" {
		must(syscall.SetNonblock(3, true)) // exec.Cmd has made it blocking
	}
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, 3, syscall.F_GETFL, 0)
	if errno != 0 || flags&syscall.O_NONBLOCK == 0 {
		log.Fatal("the socket is blocking: ", errno)
	}
	l, err := net.FileListener(os.NewFile(3, "http"))
	must(err)
	return l
}

// serve answers each client with this process's id.
func serve(l net.Listener) {
	for {
		c, err := l.Accept()
		must(err)
		fmt.Fprint(c, os.Getpid())
		c.Close()
	}
}

// upgrade lets a process that this one starts take over.
func upgrade(l net.Listener) {
	f, err := l.(*net.TCPListener).File()
	must(err)
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Env = append(os.Environ(), upgraded+"=1")
	c.Stderr = os.Stderr
	c.ExtraFiles = []*os.File{f}
	must(c.Start())
	want := strconv.Itoa(c.Process.Pid)
	for id, _ := os.ReadFile(pidFile); string(id) != want; id, _ = os.ReadFile(pidFile) {
		time.Sleep(5 * time.Millisecond)
	}
}

// reload ends with the verdict that the test has written, 0 by default. It has
// the supervisor upgrade itself first if the test says so.
func reload() int {
	if told("upgrade") != "" {
		old, err := os.ReadFile(pidFile)
		must(err)
		pid, err := strconv.Atoi(string(old))
		must(err)
		must(syscall.Kill(pid, syscall.SIGHUP))
		for end := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				log.Fatal("it is still there")
			}
		}
	}
	verdict, _ := strconv.Atoi(told("verdict"))
	return verdict
}

func watchdog() {
	for range time.Tick(time.Second) {
		notify("WATCHDOG=1")
	}
}

func notify(what string) {
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	must(err)
	_, err = io.WriteString(c, what)
	must(err)
	c.Close()
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
