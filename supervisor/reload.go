//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/statedir"
)

func newReload(state *string) *cobra.Command {
	var wait, asJSON bool
	c := &cobra.Command{
		Use:   "reload",
		Short: "Let the build that is in place now take over",
		Long: `reload starts the build that is at the program's path now, beside the old one,
and lets it take over once it is ready. It returns at once; with --wait it
follows the deploy to its verdict and exits with 0 if the new build serves and
with 3 if it was rejected: then the old one serves on.`,
		Example: "  supervisor reload --wait",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client := control.NewClient(statedir.Dial(statedir.Find(*state)))
			id, err := client.Reload(c.Context())
			if err != nil {
				return err
			}
			show := showText
			if asJSON {
				show = showJSON
			}
			if !wait {
				return show(c.OutOrStdout(), control.Step{Step: "requested", Deploy: &control.Deploy{ID: id, Verdict: control.Pending}})
			}
			deploy, err := client.Follow(c.Context(), id, func(s control.Step) { show(c.OutOrStdout(), s) })
			if err != nil {
				return err
			}
			if deploy.Verdict != control.Accepted {
				return verdictError{deploy}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&wait, "wait", false, "follow the deploy to its verdict")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, one step a line")
	return c
}

func showText(w io.Writer, s control.Step) error {
	detail := s.Detail
	if detail == "" && s.Step == "requested" {
		detail = "deploy " + s.Deploy.ID
	}
	_, err := fmt.Fprintf(w, "%-10s %s\n", s.Step, detail)
	return err
}

func showJSON(w io.Writer, s control.Step) error { return json.NewEncoder(w).Encode(s) }
