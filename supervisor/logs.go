//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
)

// defaultLines is how many lines are shown when nobody says.
const defaultLines = 50

func newLogs(state *string) *cobra.Command {
	q := control.LogQuery{Lines: defaultLines}
	var programs []string
	var since string
	var asJSON bool
	c := &cobra.Command{
		Use:   "logs [PROGRAM…]",
		Short: "Show what the workers wrote",
		Long: `logs shows the last lines that the workers of programs wrote, of all programs
without a name, each with its time, program, instance if it has several, and generation. The supervisor keeps
them in memory, bounded ([program.NAME] log.memory); a worker never waits for a
reader, and a reader who is too slow is told how many lines it has missed.`,
		Example: `  supervisor logs -f
  supervisor logs chat --since 10m --err
  supervisor logs --lines 0 --json | jq -r .text`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completePrograms(state),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if q.Since, err = parseSince(since, time.Now()); err != nil {
				return usage(err)
			}
			if q.Lines < 0 {
				return usage(fmt.Errorf("--lines %d: must be 0, for all, or more", q.Lines))
			}
			if since != "" && !c.Flags().Changed("lines") {
				q.Lines = 0
			}
			q.Programs = append(args, programs...)
			write := showLine(c.OutOrStdout())
			if asJSON {
				write = jsonLine(c.OutOrStdout())
			}
			shown := 0
			show := func(l logs.Line) error { shown++; return write(l) }
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			err = newClient(state).Logs(ctx, q, show)
			if ctx.Err() != nil || errors.Is(err, syscall.EPIPE) {
				return nil // whoever read has had enough
			}
			if err == nil && shown == 0 && !q.Follow {
				fmt.Fprintln(c.ErrOrStderr(), "no such line is in memory: nothing was written, or what was has been flushed or pushed out")
			}
			return err
		},
	}
	c.Flags().BoolVarP(&q.Follow, "follow", "f", false, "go on with the lines to come")
	c.Flags().IntVarP(&q.Lines, "lines", "n", defaultLines, "show the last `N` lines, 0 for all that are kept")
	c.Flags().StringVar(&since, "since", "", "show lines of the last `DURATION`, such as 10m, or from a time as in RFC 3339")
	c.Flags().BoolVar(&q.Err, "err", false, "show standard error only")
	c.Flags().StringArrayVar(&programs, "program", nil, "show the lines of program `NAME`; may be repeated")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, one line a line")
	return c
}

// parseSince reads a length of time back from now, or a time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("--since %q: must be a duration such as 10m or a time such as 2026-01-02T15:04:05Z", s)
	}
	return t, nil
}

// showLine writes a line for people.
func showLine(w io.Writer) func(logs.Line) error {
	return func(l logs.Line) error {
		at := l.Time.Local().Format("2006-01-02 15:04:05.000")
		if l.Lost > 0 {
			_, err := fmt.Fprintf(w, "%s %s: %d lines missed: they came faster than they were read\n", at, l.Program, l.Lost)
			return err
		}
		mark := " "
		if l.Err {
			mark = inColour("!", "backoff")
		}
		_, err := fmt.Fprintf(w, "%s %s%s%s%s\n", at, l.Program, l.Origin, mark, resetColours(printable(l.Text)))
		return err
	}
}

// resetColours ends colours that a line leaves on.
func resetColours(line string) string {
	if strings.Contains(line, "\x1b[") {
		return line + "\x1b[0m"
	}
	return line
}

func jsonLine(w io.Writer) func(logs.Line) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return func(l logs.Line) error { return e.Encode(l) }
}
