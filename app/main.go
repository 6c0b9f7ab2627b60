//go:build linux

// Command app is the chat. It runs under the supervisor, from which it gets
// its listening sockets and to which it gives its connections back, and alone.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// Set by the linker.
var (
	version string
	commit  string
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// run is the whole command: it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var failed *runError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &failed):
		fmt.Fprintln(stderr, "app:", oneLine(failed.err))
		return exitError
	default:
		fmt.Fprintln(stderr, "app:", oneLine(err)+"; see app --help")
		return exitUsage
	}
}

// runError is what went wrong while a command ran; any other error is one of
// usage.
type runError struct{ err error }

func (e *runError) Error() string { return e.err.Error() }
func (e *runError) Unwrap() error { return e.err }

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "app",
		Short:         "the SimpleTalk chat",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("a command is missing: app serve, app export, app import, app admin, app load or app version")
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newServe(), newExport(), newImport(), newAdmin(), newLoad(), newVersion())
	return root
}
