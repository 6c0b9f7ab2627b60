//go:build linux

package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newEnv(state *string) *cobra.Command {
	var values, asJSON bool
	c := &cobra.Command{
		Use:   "env PROGRAM",
		Short: "Show the environment that a program was started with",
		Long: `env shows the names of the variables that the worker which serves was started with,
whatever files say by now. Their values are secrets often enough: they are shown
with --values, to the supervisor's own user, root and members of [control] group, and
that is logged.`,
		Example: `  supervisor env chat
  supervisor env chat --values | grep ^SIMPLETALK_`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completePrograms(state),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := asking(c)
			defer cancel()
			e, err := newClient(state).Environment(ctx, args[0], values)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), e)
			}
			for _, v := range e.Variables {
				line := printable(v.Name)
				if v.Value != nil {
					line += "=" + printable(*v.Value)
				}
				fmt.Fprintln(c.OutOrStdout(), line)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&values, "values", false, "show the values too")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
