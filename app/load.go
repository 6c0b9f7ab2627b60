package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/app/internal/load"
)

// Defaults of a load that asks for fewer clients than these.
const (
	defaultChatters = 10
	defaultRooms    = 5
)

func newLoad() *cobra.Command {
	var c load.Config
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "load",
		Short: "talk on a running site and account for every message",
		Long: `Load connects many clients to a running site, lets some of them post numbered
messages, probes it over HTTP, and checks that every message is stored once and
reaches every member of its room once and in order. Deploy to the site or kill
it meanwhile.

It talks in rooms of its own, which stay in the site's store. An interrupt ends
the posting early; what was posted is checked all the same.

It exits with 0 when nothing went wrong, 1 when something was lost, duplicated,
reordered, failed or disconnected, and 2 when it could not begin.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Who asks for few clients need not say that few of them talk.
			if f := cmd.Flags(); !f.Changed("chatters") {
				c.Chatters = max(1, min(defaultChatters, c.Clients))
			}
			if f := cmd.Flags(); !f.Changed("rooms") {
				c.Rooms = max(1, min(defaultRooms, c.Clients))
			}
			c.Progress = terminal(cmd.ErrOrStderr())
			return runLoad(cmd.Context(), c, asJSON, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.URL, "url", "http://"+defaultListen, "`address` of the site: http://HOST[:PORT] or https://HOST[:PORT]")
	f.IntVar(&c.Clients, "clients", 100, "`number` of WebSocket clients")
	f.IntVar(&c.Chatters, "chatters", defaultChatters, "`number` of clients that post")
	f.Float64Var(&c.Rate, "rate", 20, "`messages` a second, of all chatters together")
	f.IntVar(&c.Rooms, "rooms", defaultRooms, "`number` of rooms that the clients are spread over")
	f.DurationVar(&c.For, "for", 10*time.Second, "how long messages are posted")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVar(&c.Plain, "plain", false, "no client fragments its messages, pings or reads slowly")
	return cmd
}

// runLoad runs a load until it is over or interrupted, and prints what it
// found. A second interrupt ends it at once.
func runLoad(ctx context.Context, c load.Config, asJSON bool, out io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	report, err := load.Run(ctx, c)
	var usage load.UsageError
	if errors.As(err, &usage) {
		return usage
	}
	if err != nil {
		return &runError{err}
	}
	if asJSON {
		err = json.NewEncoder(out).Encode(report)
	} else {
		err = report.WriteTable(out)
	}
	if err != nil {
		return &runError{wrap("write the report", err)}
	}
	if v := report.Verdict(); v != "" {
		return &runError{errors.New(v)}
	}
	return nil
}

// terminal returns w if it is a terminal, else nil.
func terminal(w io.Writer) io.Writer {
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	raw, err := f.SyscallConn() // Fd would make the file blocking, for everybody who shares it
	if err != nil {
		return nil
	}
	var not error
	if err := raw.Control(func(fd uintptr) { _, not = unix.IoctlGetTermios(int(fd), unix.TCGETS) }); err != nil || not != nil {
		return nil
	}
	return f
}
