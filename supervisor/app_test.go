//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/simpletalk/simpletalk/proto"
)

// appBuild is what a build of app has been given to tell it from others and to
// behave by. The app in $PATH has none: it behaves as the file that is its first
// argument says, so that a script deploys by writing a file.
type appBuild struct{ name, behaviour string }

// markLength is how much stands at the end of a build's executable.
const markLength = 64

// mark is b at the end of its executable.
func (b appBuild) mark() []byte {
	return fmt.Appendf(nil, "%*s", markLength, "build "+b.name+" "+b.behaviour)
}

// readBuild finds out which build this process was started from, whatever has
// become of its file since.
func readBuild() (appBuild, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return appBuild{}, err
	}
	defer f.Close()
	mark := make([]byte, markLength)
	if _, err := f.Seek(-markLength, io.SeekEnd); err != nil {
		return appBuild{}, err
	}
	if _, err := io.ReadFull(f, mark); err != nil {
		return appBuild{}, err
	}
	if words := strings.Fields(string(mark)); len(words) == 3 && words[0] == "build" {
		return appBuild{words[1], words[2]}, nil
	}
	behaviour, err := os.ReadFile(os.Args[1])
	return appBuild{behaviour: strings.TrimSpace(string(behaviour))}, err
}

// app is the worker of the scripts. It leaves its pid in app.pid and its
// arguments in app.args, and tells every client its generation, the name of its
// build and the variables APP_… of its environment. It behaves
//
//	good      it drains at once
//	stubborn  it does not drain
//	never     it is never ready
//	crash     it ends with code 3 before it is ready
//	brief     it ends with code 3 soon after it is ready
//	well      it answers 200 to every HTTP request
//	sick      it answers 500
func app() {
	build, err := readBuild()
	if err != nil {
		quit(err)
	}
	os.WriteFile("app.args", []byte(strings.Join(os.Args, " ")+"\n"), 0o644)
	w := appWorker{appBuild: build, answer: build.greet, ready: func() {}, drain: func(context.Context) {}}
	switch build.behaviour {
	case "good":
	case "stubborn":
		w.drain = func(ctx context.Context) { <-ctx.Done() }
	case "never":
		time.Sleep(time.Hour)
	case "crash":
		crash()
	case "brief":
		w.ready = func() { time.AfterFunc(50*time.Millisecond, crash) }
	case "well":
		w.answer = answerHTTP(http.StatusOK)
	case "sick":
		w.answer = answerHTTP(http.StatusInternalServerError)
	default:
		quit(fmt.Errorf("unknown behaviour %q", build.behaviour))
	}
	w.serve()
}

func crash() {
	fmt.Println("no such table: rooms")
	os.Exit(3)
}

// appWorker is an app that gets as far as serving.
type appWorker struct {
	appBuild
	answer func(c net.Conn, gen int)
	ready  func()                // runs once it is ready
	drain  func(context.Context) // runs when it has let its listeners go
}

func (a appWorker) serve() {
	listeners, err := proto.Listeners()
	if err != nil {
		quit(err)
	}
	w, err := proto.Join(proto.Build{Version: "v1", Commit: "abc"}, nil)
	if err != nil {
		quit(err)
	}
	var serving sync.WaitGroup
	for _, l := range listeners {
		serving.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				a.answer(c, w.Generation())
				c.Close()
			}
		})
	}
	os.WriteFile("app.pid", []byte(strconv.Itoa(os.Getpid())), 0o644)
	w.Ready()
	a.ready()
	err = w.Run(context.Background(), proto.Handler{Drain: func(ctx context.Context, _ proto.Drain) {
		for _, l := range listeners {
			l.Close()
		}
		serving.Wait()
		a.drain(ctx)
	}})
	if err != nil {
		quit(err)
	}
	os.Exit(0)
}

// greet tells a client who serves.
func (b appBuild) greet(c net.Conn, gen int) {
	fmt.Fprintln(c, "generation", gen)
	if b.name != "" {
		fmt.Fprintln(c, "build", b.name)
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return !strings.HasPrefix(v, "APP_") })
	slices.Sort(env)
	for _, v := range env {
		fmt.Fprintln(c, v)
	}
}

// answerHTTP answers one request, whatever it is.
func answerHTTP(status int) func(net.Conn, int) {
	return func(c net.Conn, _ int) {
		c.SetDeadline(time.Now().Add(time.Second))
		var request []byte
		for b := make([]byte, 1024); !bytes.Contains(request, []byte("\r\n\r\n")); {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			request = append(request, b[:n]...)
		}
		fmt.Fprintf(c, "HTTP/1.0 %d %s\r\n\r\n", status, http.StatusText(status))
	}
}

// ask prints what the server says at a TCP address or at a Unix socket, whose
// path has a slash.
func ask() {
	network := "tcp"
	if strings.Contains(os.Args[1], "/") {
		network = "unix"
	}
	c, err := net.Dial(network, os.Args[1])
	if err != nil {
		quit(err)
	}
	io.Copy(os.Stdout, c)
	c.Close()
}

// sdNotify is systemd-notify(1), as little of it as a script needs.
func sdNotify() {
	c, err := net.Dial("unixgram", os.Getenv(proto.EnvNotify))
	if err != nil {
		quit(err)
	}
	fmt.Fprint(c, strings.Join(os.Args[1:], "\n"))
	c.Close()
}

func quit(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
