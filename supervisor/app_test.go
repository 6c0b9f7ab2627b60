//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/simpletalk/simpletalk/proto"
)

// app is the worker of the scripts. It behaves as the first word of the file
// that is its first argument says, so that a script deploys by writing a file.
// It leaves its pid in app.pid and its arguments in app.args.
func app() {
	behaviour, err := os.ReadFile(os.Args[1])
	if err != nil {
		quit(err)
	}
	os.WriteFile("app.args", []byte(strings.Join(os.Args, " ")+"\n"), 0o644)
	switch strings.TrimSpace(string(behaviour)) {
	case "good":
		serve(func(context.Context, proto.Drain) {})
	case "stubborn":
		serve(func(ctx context.Context, _ proto.Drain) { <-ctx.Done() })
	case "never":
		time.Sleep(time.Hour)
	case "crash":
		fmt.Println("no such table: rooms")
		os.Exit(3)
	}
	quit(fmt.Errorf("unknown behaviour %q", behaviour))
}

// serve tells every client its generation, until it is drained.
func serve(drain func(context.Context, proto.Drain)) {
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
				fmt.Fprintln(c, "generation", w.Generation())
				c.Close()
			}
		})
	}
	os.WriteFile("app.pid", []byte(strconv.Itoa(os.Getpid())), 0o644)
	w.Ready()
	err = w.Run(context.Background(), proto.Handler{Drain: func(ctx context.Context, d proto.Drain) {
		for _, l := range listeners {
			l.Close()
		}
		serving.Wait()
		drain(ctx, d)
	}})
	if err != nil {
		quit(err)
	}
	os.Exit(0)
}

// ask prints what the server at a Unix socket says.
func ask() {
	c, err := net.Dial("unix", os.Args[1])
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
