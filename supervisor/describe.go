//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

func newDescribe(state *string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "describe PROGRAM",
		Short: "Show everything about a program",
		Long: `describe shows how a program is started and treated, what runs of it, how its
last deploys ended and what it wrote last. Of environment variables it shows the
names; 'supervisor env' has the values.`,
		Example:           "  supervisor describe chat",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completePrograms(state),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := asking(c)
			defer cancel()
			d, err := newClient(state).Describe(ctx, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), d)
			}
			return printDescription(c.OutOrStdout(), d, time.Now())
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printDescription(w io.Writer, d control.Description, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(key, value string) { fmt.Fprintf(t, "%s\t%s\n", key, cmp.Or(value, "-")) }
	row("program", d.Program.Name)
	row("from", d.From)
	row("command", strings.Join(d.Command, " "))
	row("dir", d.Dir)
	row("env", strings.Join(d.Env, " "))
	row("env_file", strings.Join(d.EnvFiles, " "))
	for _, l := range d.Listen {
		row("listen", l.Name+" = "+l.Address)
	}
	for _, s := range d.Settings {
		row(s.Key, s.Value)
	}
	for _, i := range d.Program.Instances {
		if len(d.Program.Instances) > 1 {
			row("instance", fmt.Sprint(i.Index))
		}
		describeInstance(row, i, now)
	}
	t.Flush()
	if err := printDeploys(w, d.Deploys, now); err != nil || len(d.LastLines) == 0 {
		return err
	}
	fmt.Fprintln(w, "\nLAST LINES")
	for _, l := range d.LastLines {
		fmt.Fprintln(w, resetColours(printable(l)))
	}
	return nil
}

func describeInstance(row func(key, value string), i control.Instance, now time.Time) {
	row("state", fmt.Sprintf("%s, generation %d, pid %d", inColour(i.State, i.State), i.Gen, i.PID))
	row("build", i.Build.Path)
	row("version", i.Build.Version)
	row("commit", i.Build.Commit)
	row("sha256", i.Build.SHA256)
	if i.PID > 0 {
		pinned := "yes: a restart runs exactly this executable"
		if !i.Build.Pinned {
			pinned = "no: a script is started by its name"
		}
		row("pinned", pinned)
	}
	if i.StartedAt != nil {
		row("up", age(*i.StartedAt, now))
	}
	row("restarts", fmt.Sprint(i.Restarts))
	row("last exit", i.LastExit)
	row("cpu, memory", fmt.Sprintf("%.1f %%, %s", i.CPU, config.Megabytes(i.RSSBytes)))
	row("connections", fmt.Sprint(i.Conns))
	for _, g := range i.Draining {
		row("draining", fmt.Sprintf("generation %d, pid %d, %d connections, killed in %s", g.Gen, g.PID, g.Conns, max(0, g.Deadline.Sub(now)).Round(time.Second)))
	}
}
