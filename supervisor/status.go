//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/statedir"
)

func newStatus(state *string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what runs, what drains and how the last deploys ended",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := control.NewClient(statedir.Dial(statedir.Find(*state))).Status(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(c.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(s)
			}
			return printStatus(c.OutOrStdout(), s, time.Now())
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// shownDeploys is how many deploys people see; JSON has all that are kept.
const shownDeploys = 5

func printStatus(w io.Writer, s control.Status, now time.Time) error {
	fmt.Fprintf(w, "supervisor %s, pid %d, up %s\n", s.Version, s.PID, age(s.Started, now))
	for _, l := range s.Listen {
		fmt.Fprintf(w, "listening  %s = %s\n", l.Name, l.Address)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nPROGRAM\tSTATE\tGEN\tPID\tCOMMIT\tUP\tCONNS\tMEMORY\tRESTARTS\tLAST EXIT")
	for _, p := range s.Programs {
		for _, i := range p.Instances {
			printInstance(t, p.Name, i, now)
		}
	}
	t.Flush()
	if len(s.Deploys) > 0 {
		fmt.Fprintln(t, "\nDEPLOY\tVERDICT\tAGE\tSWAPPED\tREASON")
		for _, d := range s.Deploys[max(0, len(s.Deploys)-shownDeploys):] {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", d.ID, d.Verdict, age(d.At, now), swapped(d), dash(d.Reason))
		}
	}
	return t.Flush()
}

func printInstance(w io.Writer, program string, i control.Instance, now time.Time) {
	up := "-"
	if i.StartedAt != nil {
		up = age(*i.StartedAt, now)
	}
	fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%d\t%.1f MB\t%d\t%s\n", program, i.State, i.Gen, i.PID,
		dash(short(i.Build.Commit)), up, i.Conns, float64(i.RSSBytes)/1e6, i.Restarts, dash(i.LastExit))
	for _, d := range i.Draining {
		fmt.Fprintf(w, "  └ draining\t\t%d\t%d\t\t\t%d\t\t\tkilled in %s\n", d.Gen, d.PID, d.Conns, max(0, d.Deadline.Sub(now)).Round(time.Second))
	}
}

func swapped(d control.Deploy) string {
	if d.Verdict != control.Accepted {
		return "-"
	}
	return fmt.Sprintf("%d ms", d.SwappedMS)
}

func age(from, now time.Time) string { return now.Sub(from).Round(time.Second).String() }

func dash(s string) string { return cmp.Or(s, "-") }

func short(commit string) string { return commit[:min(len(commit), 12)] }
