//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/verify"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

func newVerify() *cobra.Command {
	var o verify.Options
	c := &cobra.Command{
		Use:   "verify",
		Short: "Show on this machine what clients notice of a reload and of kill -9",
		Long: `verify starts a throwaway chat in a temporary folder and on a port of its own,
lets many clients talk on it through a reload, then through a SIGKILL of its
worker, checks every client's copy of every message against the log, and prints
what it found. Nothing that runs already is touched.

It exits with 0 when no message was lost, doubled or reordered, and no request
failed on the reload; a plain request inside a killed worker dies with it.`,
		Example: "  supervisor verify --clients 1000 --rate 200 --for 30s",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkTrial(o); err != nil {
				return usage(err)
			}
			return runTrial(c, o)
		},
	}
	c.Flags().IntVar(&o.Clients, "clients", 200, "`number` of WebSocket clients")
	c.Flags().Float64Var(&o.Rate, "rate", 100, "`messages` a second, of all clients together")
	c.Flags().DurationVar(&o.For, "for", 12*time.Second, "how long people talk, half of it through the reload")
	return c
}

func checkTrial(o verify.Options) error {
	switch {
	case o.Clients < 1:
		return fmt.Errorf("--clients %d: must be 1 or more", o.Clients)
	case o.Rate <= 0:
		return fmt.Errorf("--rate %g: must be more than 0", o.Rate)
	case o.For < 4*time.Second:
		return fmt.Errorf("--for %s: must be 4s or more, half for the reload and half for the kill", o.For)
	}
	return nil
}

func runTrial(c *cobra.Command, o verify.Options) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the app beside this executable: %w", err)
	}
	o.Supervisor, o.App = self, filepath.Join(filepath.Dir(self), "app")
	build, err := worker.Pin(o.App)
	if err != nil {
		return usage(fmt.Errorf("the app beside this executable cannot be started: %w", err))
	}
	build.Close()
	o.Progress = func(line string) { fmt.Fprintln(c.ErrOrStderr(), line) }
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	result, err := verify.Run(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.OutOrStdout())
	if err := result.Print(c.OutOrStdout()); err != nil {
		return err
	}
	if wrong := result.Wrong(); wrong != "" {
		return errors.New("verify: " + wrong)
	}
	return nil
}
