//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// deployFlags are what reload and rollback have in common.
type deployFlags struct {
	wait, json bool
}

func (f *deployFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.wait, "wait", false, "follow the deploy to its verdict")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON, one step a line")
}

func newReload(state *string) *cobra.Command {
	var f deployFlags
	var build string
	c := &cobra.Command{
		Use:   "reload [PROGRAM…]",
		Short: "Let the build that is in place now take over",
		Long: `reload reads the configuration and the environment files anew, starts the build
that is at the program's path now beside the old one, and lets it take over once
it is ready. Without a name it reloads every program, starts those that the
configuration has got since, and removes those that are gone from it.

It returns at once, as SIGHUP does; with --wait it follows the deploy to its
verdict, the bake included, and exits with

  0  accepted: the new build serves
  3  rejected: it never served, the old one still does
  4  returned: it served and failed, the one before serves again`,
		Example: `  supervisor reload --wait
  supervisor reload chat --build /opt/simpletalk/releases/42/app --wait`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completePrograms(state),
		RunE: func(c *cobra.Command, args []string) error {
			r := control.DeployRequest{Programs: args}
			if build != "" {
				var err error
				if r.Build, err = filepath.Abs(build); err != nil {
					return err
				}
			}
			return f.deploy(c, newClient(state), r)
		},
	}
	f.add(c)
	c.Flags().StringVar(&build, "build", "", "deploy the executable `FILE` instead of the configured one, this once")
	c.MarkFlagFilename("build")
	return c
}

func newRollback(state *string) *cobra.Command {
	var f deployFlags
	c := &cobra.Command{
		Use:   "rollback [PROGRAM]",
		Short: "Let the build before the present one take over again",
		Long: `rollback brings back the build that was good before the one that serves, exactly
as it was: the executable has been held open, whatever has become of its file, and
its environment is kept. While a new build bakes, that is the last good one.`,
		Example:           "  supervisor rollback --wait",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completePrograms(state),
		RunE: func(c *cobra.Command, args []string) error {
			return f.deploy(c, newClient(state), control.DeployRequest{Programs: args, Rollback: true})
		},
	}
	f.add(c)
	return c
}

// deploy asks for deploys and, with --wait, follows them all. The worst verdict
// is its error.
func (f deployFlags) deploy(c *cobra.Command, client *control.Client, r control.DeployRequest) error {
	asked, err := client.Deploy(c.Context(), r)
	if err != nil {
		return err
	}
	t := newTimeline(c, f.json)
	t.several = len(asked.Deploys) > 1
	if !f.wait {
		for _, d := range asked.Deploys {
			t.show(control.Step{Step: "requested", Deploy: &control.Deploy{ID: d.ID, Program: d.Program, Verdict: control.Pending}})
		}
		return nil
	}
	_, err = t.follow(c.Context(), client, asked.Deploys)
	return err
}

// timeline shows the steps of deploys as they happen.
type timeline struct {
	out     io.Writer
	json    bool
	several bool // programs, so that each line names its own

	mu   sync.Mutex
	seen []control.Step
	bar  *bar // nil where nobody watches
}

func newTimeline(c *cobra.Command, asJSON bool) *timeline {
	t := &timeline{out: c.OutOrStdout(), json: asJSON}
	if !asJSON && isTerminal(os.Stdout) {
		t.bar = new(bar)
	}
	return t
}

// follow shows every step of the deploys until all have their verdict. The worst
// is its error. Of a deploy that could not be followed it returns none.
func (t *timeline) follow(ctx context.Context, client *control.Client, asked []control.Ticket) (ended []control.Deploy, worst error) {
	var following sync.WaitGroup
	errs := make([]error, len(asked))
	deploys := make([]control.Deploy, len(asked))
	for i, d := range asked {
		following.Go(func() {
			deploys[i], errs[i] = client.Follow(ctx, d.ID, t.show)
		})
	}
	following.Wait()
	t.bar.clear()
	for i, err := range errs {
		if err == nil {
			ended = append(ended, deploys[i])
			err = verdictOf(deploys[i])
		}
		if exitCode(err) > exitCode(worst) {
			worst = err
		}
	}
	return ended, worst
}

// verdictOf is the error of a deploy that has ended, nil if it was accepted.
func verdictOf(d control.Deploy) error {
	if d.Verdict == control.Accepted {
		return nil
	}
	return verdictError{d}
}

// show shows one step.
func (t *timeline) show(s control.Step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen = append(t.seen, s)
	if t.json {
		json.NewEncoder(t.out).Encode(s)
		return
	}
	t.bar.clear()
	detail := s.Detail
	if detail == "" && s.Step == "requested" {
		detail = "deploy " + s.Deploy.ID
	}
	prefix := ""
	if t.several && s.Deploy != nil {
		prefix = s.Deploy.Program + ": "
	}
	line := strings.TrimRight(fmt.Sprintf("%s%s %s", prefix, inColour(fmt.Sprintf("%-10s", s.Step), s.Step), detail), " ")
	fmt.Fprintln(t.out, line)
	for _, l := range lastWords(s) {
		fmt.Fprintf(t.out, "%s  | %s\n", prefix, printable(l))
	}
	if s.Until != nil {
		t.bar.start(s.Step, *s.Until)
	}
}
