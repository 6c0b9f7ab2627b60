//go:build linux

package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/monit"
)

func newMonit(state *string) *cobra.Command {
	return &cobra.Command{
		Use:   "monit",
		Short: "Watch programs, deploys and logs, live",
		Long: `monit fills the terminal with what runs, what drains, how deploys end and what the
workers write, and goes on over upgrades of the supervisor. Keys choose a program,
reload, start, stop and restart it; q leaves.`,
		Example: "  supervisor monit",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			terminal, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
			if err != nil {
				return usage(errors.New("monit needs a terminal; 'supervisor status' does not"))
			}
			defer terminal.Close()
			client := newClient(state)
			if _, err := client.Status(c.Context()); err != nil {
				return err
			}
			return monit.Run(c.Context(), client, terminal, terminal)
		},
	}
}
