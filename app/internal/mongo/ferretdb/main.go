// Command ferretdb is a MongoDB-compatible server that others have written,
// for the tests of package mongo: FerretDB, which keeps its data in SQLite. It
// is a module of its own, so that nothing it needs becomes a dependency of the
// chat.
//
//	ferretdb DIR [ADDR]    serve DIR on ADDR (default 127.0.0.1:0)
//
// It prints the URI it is reached at, and serves until its standard input ends
// or it is killed. What it has acknowledged is in DIR by then.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ferretdb:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("give the directory of the data")
	}
	addr := "127.0.0.1:0"
	if len(args) > 1 {
		addr = args[1]
	}
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: addr},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Handler:   "sqlite",
		SQLiteURL: "file:" + args[0] + "/",
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, os.Stdin) // until whoever started this ends, or wants it to end
		stop()
	}()
	fmt.Println(server.MongoDBURI())
	return server.Run(ctx)
}
