//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

func newStatus(state *string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "status",
		Aliases: []string{"list", "ls"},
		Short:   "Show what runs, what drains and how the last deploys ended",
		Example: `  supervisor status
  supervisor list --json | jq '.programs[].instances[].state'`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := asking(c)
			defer cancel()
			s, err := newClient(state).Status(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), s)
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
	if err := printPrograms(w, s.Programs, now); err != nil {
		return err
	}
	return printDeploys(w, s.Deploys, now)
}

// printPrograms prints one table, in which notes that have no columns stand below
// the program that they are about.
func printPrograms(w io.Writer, all []control.Program, now time.Time) error {
	var table strings.Builder
	notes := map[int][]string{} // by the row that they follow
	rows := 2
	t := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nPROGRAM\t%s\tGEN\tPID\tCOMMIT\tUP\tCONNS\tCPU\tMEMORY\tRESTARTS\tLAST EXIT\n", inColour("STATE", ""))
	for _, p := range all {
		for _, i := range p.Instances {
			printInstance(t, p, i, now)
			rows += 1 + len(i.Draining)
		}
		notes[rows] = programNotes(p)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	row := 0
	for line := range strings.Lines(table.String()) {
		row++
		for _, l := range append([]string{line}, notes[row]...) {
			if _, err := io.WriteString(w, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// programNotes are lines about a program that no column has.
func programNotes(p control.Program) (notes []string) {
	if p.NextCron != nil {
		notes = append(notes, fmt.Sprintf("  └ cron %s: next at %s\n", p.Cron, p.NextCron.Local().Format("2006-01-02 15:04:05")))
	}
	switch l := p.LogFile; {
	case l == nil:
	case l.Error != "":
		notes = append(notes, fmt.Sprintf("  └ log file cannot be written: %s\n", l.Error))
	case l.Lost > 0:
		notes = append(notes, fmt.Sprintf("  └ log file lacks %s\n", counted(int(l.Lost), "line")))
	}
	return notes
}

// instanceName is what people call an instance: by its index where there are
// several.
func instanceName(p control.Program, i control.Instance) string {
	if len(p.Instances) == 1 {
		return p.Name
	}
	return fmt.Sprintf("%s.%d", p.Name, i.Index)
}

// printDeploys shows the latest deploys, if there are any.
func printDeploys(w io.Writer, all []control.Deploy, now time.Time) error {
	if len(all) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nDEPLOY\tPROGRAM\t%s\tAGE\tSWAPPED\tREASON\n", inColour("VERDICT", ""))
	for _, d := range all[max(0, len(all)-shownDeploys):] {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, d.Program, inColour(string(d.Verdict), string(d.Verdict)), age(d.At, now), swapped(d), dash(cmp.Or(d.Reason, unasked(d.By))))
	}
	return t.Flush()
}

func printInstance(w io.Writer, p control.Program, i control.Instance, now time.Time) {
	up := "-"
	if i.StartedAt != nil {
		up = age(*i.StartedAt, now)
	}
	memory := config.Megabytes(i.RSSBytes)
	if p.MemoryMax > 0 {
		memory += " of " + config.FormatSize(p.MemoryMax)
	}
	fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%d\t%.1f %%\t%s\t%d\t%s\n", instanceName(p, i), inColour(i.State, i.State), i.Gen, i.PID,
		dash(short(i.Build.Commit)), up, i.Conns, i.CPU, memory, i.Restarts, dash(i.LastExit))
	for _, d := range i.Draining {
		fmt.Fprintf(w, "  └ draining\t%s\t%d\t%d\t\t\t%d\t\t\t\tkilled in %s\n", inColour("", ""), d.Gen, d.PID, d.Conns, max(0, d.Deadline.Sub(now)).Round(time.Second))
	}
}

// unasked is what had a worker renewed, if no person asked for it.
func unasked(by string) string {
	if strings.HasPrefix(by, "cron: ") || strings.HasPrefix(by, "memory_max: ") {
		return by
	}
	return ""
}

func swapped(d control.Deploy) string {
	if d.SwappedMS == 0 {
		return "-"
	}
	return fmt.Sprintf("%d ms", d.SwappedMS)
}

func age(from, now time.Time) string { return now.Sub(from).Round(time.Second).String() }

func dash(s string) string { return cmp.Or(s, "-") }

func short(commit string) string { return commit[:min(len(commit), 12)] }
