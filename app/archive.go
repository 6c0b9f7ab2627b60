//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/simpletalk/simpletalk/app/internal/archive"
	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/mongo"
	"github.com/simpletalk/simpletalk/app/internal/sqlite"
)

// whichStore is how the help of export and import says which store is meant.
const whichStore = `The store is the one that app serve would use: MongoDB if $MONGODB_URI names a
database, else the embedded one. --data names a directory of the latter whatever
else is set.`

func addArchiveSettings(f *pflag.FlagSet) {
	f.String(dataSetting.flag, "", dataSetting.usage+" [$"+dataSetting.env+"]")
}

// readArchiveConfig reads what names a store. --data wins over all else.
func readArchiveConfig(f *pflag.FlagSet) (config, error) {
	var c config
	var err error
	var where string
	if c.data, where = dataSetting.value(f); c.data == "" {
		c.data = dataDefault()
	}
	if where != "--"+dataSetting.flag {
		c.mongo, err = readMongo()
	}
	return c, err
}

// source opens a store that must be there.
func (c config) source(ctx context.Context) (chat.Archive, error) {
	if c.mongo == "" && !sqlite.Exists(c.data) {
		return nil, fmt.Errorf("%s holds no store: name its directory with --data", c.data)
	}
	return c.target(ctx)
}

// target opens a store, and makes it where there is none.
func (c config) target(ctx context.Context) (chat.Archive, error) {
	return openStore(ctx, c, slog.New(slog.DiscardHandler))
}

var (
	_ chat.Archive = (*sqlite.Store)(nil)
	_ chat.Archive = (*mongo.Store)(nil)
)

// file is the one argument, "" for none or "-".
func file(args []string) string {
	if len(args) == 0 || args[0] == "-" {
		return ""
	}
	return args[0]
}

// errInterrupted is a signal.
var errInterrupted = errors.New("interrupted")

// plainly says of a call that ended with its context no more than that.
func plainly(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

// interruptible ends with the first signal; a second one kills as ever.
func interruptible(ctx context.Context) (context.Context, func()) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	undo := context.AfterFunc(ctx, stop)
	return ctx, func() { undo(); stop() }
}

// progressEvery is how often a line of progress is renewed.
const progressEvery = 200 * time.Millisecond

// progress tells on a terminal how far it has got, and everywhere how it ended.
type progress struct {
	done     string // what has happened to the events
	out      io.Writer
	terminal bool
	told     time.Time
}

func newProgress(done string, out io.Writer) *progress {
	return &progress{done: done, out: out, terminal: terminal(out) != nil}
}

// tell is an [archive.Progress].
func (p *progress) tell(done, of int64) {
	if now := time.Now(); p.terminal && now.Sub(p.told) >= progressEvery {
		p.told = now
		fmt.Fprintf(p.out, "\r\x1b[K%s %d of %d events", p.done, done, of)
	}
}

// end tells what became of it and returns the command's error.
func (p *progress) end(counts archive.Counts, err error) error {
	if p.terminal && !p.told.IsZero() {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	if err != nil {
		return &runError{err}
	}
	fmt.Fprintf(p.out, "%s %v\n", p.done, counts)
	return nil
}
