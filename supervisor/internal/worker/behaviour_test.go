package worker

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
)

// behave is a worker's main.
func behave(how string) {
	how, argument, _ := strings.Cut(how, " ")
	switch how {
	case "environment":
		fmt.Println("pid", os.Getpid())
		for _, v := range os.Environ() {
			fmt.Println("env", v)
		}
	case "descriptors":
		listDescriptors()
	case "arguments":
		fmt.Println(os.Args)
	case "directory":
		dir, _ := os.Getwd()
		fmt.Println(dir)
	case "wait":
		linger()
	case "exit":
		code, _ := strconv.Atoi(argument)
		os.Exit(code)
	case "write":
		fmt.Print("one\ntwo without an end")
		fmt.Fprint(os.Stderr, "three\nfour without an end")
	case "burst":
		os.Stdout.Write(bytes.Repeat([]byte("0123456789abcde\n"), burstSize/16))
	case "notify":
		notify(argument)
		linger()
	case "raw":
		raw(argument)
		linger()
	case "join":
		join()
	case "chatter":
		chatter()
	case "foster":
		foster(argument)
	case "beget":
		beget(argument)
	default:
		fmt.Println("unknown behaviour", how)
		os.Exit(99)
	}
}

// linger lives on until it is ended, and no longer than any test.
func linger() { time.Sleep(time.Hour) }

// burstSize is more than any pipe holds.
const burstSize = 5 << 20

// listDescriptors prints what this process was given, without what the runtime
// opened for itself.
func listDescriptors() {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "anon_inode:") || strings.HasPrefix(to, "/sys/fs/cgroup/") || strings.HasPrefix(to, "/proc/") {
			continue
		}
		to, _, _ = strings.Cut(to, ":")
		fmt.Println(e.Name(), to)
	}
}

// notify says something as sd_notify(3) does.
func notify(what string) {
	c, err := net.Dial("unixgram", os.Getenv(proto.EnvNotify))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, datagram := range strings.Split(what, "|") {
		c.Write([]byte(strings.ReplaceAll(datagram, ",", "\n")))
	}
}

// raw writes a packet to the control socket that no worker of ours would.
func raw(packet string) {
	fd, _ := strconv.Atoi(os.Getenv(proto.EnvControl))
	if packet == "huge" {
		packet = strings.Repeat("x", proto.MaxPacket+1)
	}
	if _, err := unix.Write(fd, []byte(packet)); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// chatter says something on its control socket and writes a line, again and
// again, numbered from 1.
func chatter() {
	fd, _ := strconv.Atoi(os.Getenv(proto.EnvControl))
	for n := 1; ; n++ {
		packet, _ := proto.Encode(proto.Stats{Conns: n})
		if _, err := unix.Write(fd, packet); err != nil {
			os.Exit(1)
		}
		fmt.Println(n)
		time.Sleep(time.Millisecond)
	}
}

// join is a good worker.
func join() {
	w, err := proto.Join(proto.Build{Version: "v1", Commit: "abc"}, nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("generation", w.Generation())
	w.Ready()
	w.Run(context.Background(), proto.Handler{Drain: func(context.Context, proto.Drain) {}})
}

// beget leaves a process behind that would live for long, in the worker's group
// or, "away", in a session of its own.
func beget(where string) {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), envBehaviour+"=wait")
	c.Stdout = os.Stdout // so that the pipe stays open as long as it lives
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: where == "away"}
	if err := c.Start(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(c.Process.Pid)
}
