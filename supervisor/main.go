//go:build linux

// Command supervisor keeps a program's sockets open while its workers come and
// go. See README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// Exit codes, a contract with CI.
const (
	exitFine        = 0
	exitError       = 1
	exitUsage       = 2 // flags or configuration
	exitRejected    = 3 // the new build never served
	exitReturned    = 4 // it served and was taken back
	exitUnreachable = 5 // no supervisor answers
)

func main() {
	worker.ExecIfAsked()
	worker.KeepIfAsked()
	standInIfAsked()
	os.Exit(run())
}

func run() int {
	root := newRoot()
	err := root.ExecuteContext(context.Background())
	code := exitCode(err)
	if message := lastWord(err); message != "" {
		fmt.Fprintln(os.Stderr, message)
		tellLauncher(strings.TrimPrefix(message, ownName))
	}
	return code
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "supervisor",
		Short: "Keep a server's sockets open while its processes come and go",
		Long: `supervisor owns the listening sockets of a program, starts its worker, swaps in
a new build on SIGHUP while the old one still serves, and brings crashed
workers back.`,
		Args:          knownCommand,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var state string
	root.PersistentFlags().StringVar(&state, "state", "", "state `DIR` (default $SIMPLETALK_STATE, ./.supervisor or /run/simpletalk)")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w; see '%s --help'", err, c.CommandPath()))
	})
	root.AddCommand(newRun(&state), newStatus(&state), newDescribe(&state), newEnv(&state), newLogs(&state), newMonit(&state), newMetrics(&state),
		newReload(&state), newRollback(&state), newDeploy(&state), newStart(&state),
		newOperation(&state, control.OpStop, "Drain and end programs, until they are started again",
			"stop lets a program's clients go and ends it. That is recorded at once: it stays\nstopped after a restart of the supervisor or of the machine, until it is started."),
		newOperation(&state, control.OpRestart, "Stop programs and start them by what the configuration says now",
			"restart stops a program and starts it again; nobody serves in between. 'supervisor\nreload' does the same while the old one serves."),
		newOperation(&state, control.OpReset, "Forget restarts, the last exit and the wait before the next start",
			"reset sets the counter of restarts to 0 and forgets how the program ended last. One\nthat waits to be started again after crashes is started at once."),
		newOperation(&state, control.OpDelete, "Remove programs that were added by 'supervisor start -- COMMAND'",
			"delete ends a program that was added at run time and forgets it. Those that a\nconfiguration file names are removed there."),
		newLogOperation(&state, control.OpFlush, "Forget what programs have written",
			"flush empties the log files of programs, and what 'supervisor logs' has of them. Files\nthat were turned over stay. Without a PROGRAM it does so for all."),
		newLogOperation(&state, control.OpReopen, "Open log files anew, after something else has moved them",
			"reopen has log files opened anew by their names, as logrotate(8) wants it. SIGUSR2 to\nthe supervisor does the same. Without a PROGRAM it does so for all."),
		newSignal(&state), newScale(&state), newCheck(), newImportPM2(), newWatch(&state), newStartup(), newUnstartup(), newVerify(), newVersion())
	for _, c := range root.Commands() {
		wrapArgs(c)
	}
	wrapArgs(root)
	return root
}

// knownCommand refuses what is no command, and says which may be meant.
func knownCommand(c *cobra.Command, args []string) error {
	err := cobra.NoArgs(c, args)
	if err == nil {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	if meant := c.SuggestionsFor(args[0]); len(meant) > 0 {
		return fmt.Errorf("%w: did you mean %s?", err, strings.Join(meant, " or "))
	}
	return err
}

// wrapArgs makes a wrong argument a usage error.
func wrapArgs(c *cobra.Command) {
	check := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usage(fmt.Errorf("%w; see '%s --help'", err, c.CommandPath()))
		}
		return nil
	}
}

// usageError is a mistake in what the operator wrote.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(err error) error { return usageError{err} }

// verdictError is the verdict of a deploy that was not accepted. It has been
// told already.
type verdictError struct{ deploy control.Deploy }

func (e verdictError) Error() string { return string(e.deploy.Verdict) + ": " + e.deploy.Reason }

func exitCode(err error) int {
	var u usageError
	var v verdictError
	var r *control.Refusal
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &u):
		return exitUsage
	case errors.As(err, &v) && v.deploy.Verdict == control.Returned:
		return exitReturned
	case errors.As(err, &v):
		return exitRejected
	case errors.Is(err, control.ErrUnreachable):
		return exitUnreachable
	case errors.As(err, &r) && r.Mistake():
		return exitUsage
	default:
		return exitError
	}
}

// ownName begins what this program says of itself.
const ownName = "supervisor: "

// lastWord is what is still to be said about err.
func lastWord(err error) string {
	var v verdictError
	var m config.Mistakes
	switch {
	case err == nil, errors.As(err, &v):
		return ""
	case errors.As(err, &m):
		return err.Error() // lines that begin with their file, as editors read them
	}
	return ownName + err.Error()
}
