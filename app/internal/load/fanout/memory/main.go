// Command memory is the chat on no disk, for a comparison of fan-out alone with
// servers that store nothing.
//
//	memory
//
// It prints the URL it is reached at, and serves until its standard input ends or
// it is killed.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/simpletalk/simpletalk/app/internal/auth"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/web"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "memory:", err)
		os.Exit(1)
	}
}

func run() error {
	store := chat.NewMemory()
	hub := chat.NewHub(chat.Options{Store: store})
	server, err := web.New(web.Options{Hub: hub, Store: store, Auth: auth.New(auth.Options{Store: store, Present: hub})})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", l.Addr())

	wanted, stop := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin) // until whoever started this ends, or wants it to end
		stop()
	}()
	hubbed, stopHub := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { hub.Run(hubbed) })
	err = server.Run(wanted, l)
	stopHub()
	running.Wait()
	return err
}
