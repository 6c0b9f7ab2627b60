//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/watch"
)

func newWatch(state *string) *cobra.Command {
	var w watch.Watcher
	c := &cobra.Command{
		Use:   "watch [PROGRAM…] [flags] [-- BUILD [ARG…]]",
		Short: "Build and reload whenever a file is saved",
		Long: `watch waits until files change, runs BUILD, if there is one, and reloads the programs
if that succeeds, as 'supervisor reload' does: the clients stay. What BUILD writes is
shown, and if it fails nothing is reloaded. A save meanwhile begins again.

Hidden files, what editors leave and node_modules are not watched. Neither should be
what BUILD makes: leave it out with --ignore, which takes names and paths, with *.`,
		Example: `  supervisor watch --path app -- make build
  supervisor watch api --path src --ignore dist -- npm run build`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			d := developer{out: c.OutOrStdout(), programs: args}
			if dash := c.ArgsLenAtDash(); dash >= 0 {
				d.programs, d.build = args[:dash], args[dash:]
			}
			if err := w.Check(); err != nil {
				return usage(fmt.Errorf("--ignore: %w", err))
			}
			if w.Settle <= 0 {
				return usage(fmt.Errorf("--settle %s: must be more than 0s", w.Settle))
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			if err := d.reach(ctx, state); err != nil {
				return err
			}
			return d.watch(ctx, w)
		},
	}
	c.Flags().StringArrayVar(&w.Roots, "path", []string{"."}, "watch `PATH`, a file, or a folder and all below it; may be repeated")
	c.Flags().StringArrayVar(&w.Ignore, "ignore", nil, "leave out what matches `PATTERN`; may be repeated")
	c.Flags().DurationVar(&w.Settle, "settle", 200*time.Millisecond, "how long nothing must change until it is built")
	return c
}

// developer builds and reloads.
type developer struct {
	client   *control.Client
	out      io.Writer
	programs []string
	build    []string // command; none: what changes is what runs
}

// reachTime is how long a supervisor that is started beside may take to answer.
const reachTime = 5 * time.Second

// reach waits until the supervisor answers, which may still have to make its state
// directory.
func (d *developer) reach(ctx context.Context, state *string) error {
	for end := time.Now().Add(reachTime); ; {
		d.client = newClient(state)
		_, err := d.client.Status(ctx)
		if !errors.Is(err, control.ErrUnreachable) || time.Now().After(end) {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil
		}
	}
}

// watch goes through build and reload at every change until ctx ends. A change
// breaks off what an earlier one has begun: a build, or waiting for a verdict.
func (d developer) watch(ctx context.Context, w watch.Watcher) error {
	var working sync.WaitGroup
	cancel := func() {}
	defer func() { cancel(); working.Wait() }()
	began := func() { fmt.Fprintf(d.out, "watching  %s\n", strings.Join(w.Roots, " ")) }
	return w.Run(ctx, began, func(paths []string) {
		cancel()
		working.Wait()
		var turn context.Context
		turn, cancel = context.WithCancel(ctx)
		more := ""
		if len(paths) > 1 {
			more = fmt.Sprintf(" and %d more", len(paths)-1)
		}
		fmt.Fprintf(d.out, "changed   %s%s\n", paths[0], more)
		working.Go(func() { d.turn(turn) })
	})
}

// turn builds and reloads once, and says how that went.
func (d developer) turn(ctx context.Context) {
	err := d.make(ctx)
	if err != nil {
		err = fmt.Errorf("%s: %w: what runs serves on", strings.Join(d.build, " "), err)
	} else {
		err = d.reload(ctx)
	}
	if message := lastWord(err); message != "" && ctx.Err() == nil {
		fmt.Fprintf(d.out, "%s %s\n", inColour(fmt.Sprintf("%-9s", "failed"), "rejected"), strings.TrimPrefix(message, ownName))
	}
}

// make runs the build; it and all it has started are killed if ctx ends.
func (d developer) make(ctx context.Context) error {
	if len(d.build) == 0 {
		return nil
	}
	fmt.Fprintf(d.out, "building  %s\n", strings.Join(d.build, " "))
	c := exec.CommandContext(ctx, d.build[0], d.build[1:]...)
	c.Stdout, c.Stderr = d.out, d.out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	return c.Run()
}

// reload asks for deploys and shows them to their verdicts.
func (d developer) reload(ctx context.Context) error {
	asked, err := d.client.Deploy(ctx, control.DeployRequest{Programs: d.programs})
	if err != nil {
		return err
	}
	t := &timeline{out: d.out, several: len(asked.Deploys) > 1}
	if isTerminal(os.Stdout) {
		t.bar = new(bar)
	}
	_, err = t.follow(ctx, d.client, asked.Deploys)
	return err
}
