// Command centrifuge is a real-time server on a library that others have written,
// for a benchmark to compare with: Centrifuge, which Centrifugo is made of. It is
// a module of its own, so that nothing it needs becomes a dependency of the chat.
//
//	centrifuge [DELAY]    serve on a free port of 127.0.0.1
//
// Whoever connects to /ws may subscribe and publish, in JSON. Everything is as
// the library has it, in memory; with a DELAY, such as 10ms, its writers gather so
// long and put into one frame what has come. It prints the URL it is reached at,
// and serves until its standard input ends.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/centrifugal/centrifuge"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "centrifuge:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var welcome centrifuge.ConnectReply
	if len(args) > 0 {
		delay, err := time.ParseDuration(args[0])
		if err != nil {
			return err
		}
		welcome = centrifuge.ConnectReply{WriteDelay: delay, MaxMessagesInFrame: -1}
	}
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		reply := welcome
		reply.Credentials = &centrifuge.Credentials{}
		return reply, nil
	})
	node.OnConnect(func(c *centrifuge.Client) {
		c.OnSubscribe(func(_ centrifuge.SubscribeEvent, cb centrifuge.SubscribeCallback) {
			cb(centrifuge.SubscribeReply{}, nil)
		})
		c.OnPublish(func(_ centrifuge.PublishEvent, cb centrifuge.PublishCallback) { cb(centrifuge.PublishReply{}, nil) })
	})
	if err := node.Run(); err != nil {
		return err
	}
	ws := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin:    func(*http.Request) bool { return true },
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: -1}, // the benchmark's clients only count
	})
	mux := http.NewServeMux()
	mux.Handle("/ws", ws)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(l, mux)
	fmt.Printf("http://%s\n", l.Addr())
	io.Copy(io.Discard, os.Stdin)
	return nil
}
