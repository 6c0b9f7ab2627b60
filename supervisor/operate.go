//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/statedir"
)

// newClient asks the supervisor of a state directory.
func newClient(state *string) *control.Client {
	return control.NewClient(statedir.Dial(statedir.Find(*state)))
}

// askTime bounds a command that asks once.
const askTime = 10 * time.Second

// asking is the context of a command that asks once: a supervisor that is
// stopped (SIGSTOP) must not hang a script for ever.
func asking(c *cobra.Command) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(c.Context(), askTime, errors.New("the supervisor does not answer within 10s"))
}

// completionTime is how long a shell waits for the names of programs.
const completionTime = 500 * time.Millisecond

// completePrograms completes the names of the programs that run.
func completePrograms(state *string) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completionTime)
		defer cancel()
		s, err := newClient(state).Status(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, p := range s.Programs {
			names = append(names, p.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// newOperation is a command that does op to programs.
func newOperation(state *string, op control.Operation, short, long string) *cobra.Command {
	return telling(&cobra.Command{
		Use:               string(op) + " PROGRAM…",
		Short:             short,
		Long:              long,
		Example:           "  supervisor " + string(op) + " chat",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completePrograms(state),
		RunE: func(c *cobra.Command, args []string) error {
			client := newClient(state)
			return each(args, func(name string) error {
				return tell(c, "", func() (control.Done, error) { return client.Operate(c.Context(), name, op) })
			})
		},
	})
}

// newLogOperation is [newOperation] where no program means all of them.
func newLogOperation(state *string, op control.Operation, short, long string) *cobra.Command {
	c := newOperation(state, op, short, long)
	one := c.RunE
	c.Use, c.Args = string(op)+" [PROGRAM…]", cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return one(c, args)
		}
		s, err := newClient(state).Status(c.Context())
		if err != nil {
			return err
		}
		for _, p := range s.Programs {
			args = append(args, p.Name)
		}
		return one(c, args)
	}
	return c
}

// each does something for every name and returns all that went wrong.
func each(names []string, do func(name string) error) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, do(name))
	}
	return errors.Join(errs...)
}

// telling gives a command that calls [tell] its flag.
func telling(c *cobra.Command) *cobra.Command {
	c.Flags().Bool("json", false, "print JSON, one line a program")
	return c
}

// tell does something and says how it ended. A warning is an error: what was
// asked for was not done in full.
func tell(c *cobra.Command, note string, do func() (control.Done, error)) error {
	done, err := do()
	if err != nil {
		return err
	}
	if asJSON, _ := c.Flags().GetBool("json"); asJSON {
		err = json.NewEncoder(c.OutOrStdout()).Encode(done)
	} else {
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s %s%s\n", done.Program, inColour(done.State, done.State), note)
	}
	if err != nil {
		return err
	}
	if done.Warning != "" {
		return errors.New(done.Warning)
	}
	return nil
}

func newStart(state *string) *cobra.Command {
	var n control.NewProgram
	var listen, env []string
	var readyAfter time.Duration
	c := &cobra.Command{
		Use:   "start PROGRAM… | start [flags] -- COMMAND [ARG…]",
		Short: "Start what was stopped, or add a program and start it",
		Long: `start starts programs that were stopped, by what the configuration says now.

With a command it adds a program to those that the configuration names. That is
recorded at once: the program is there again after a restart of the supervisor or
of the machine, until 'supervisor delete' removes it. One that says READY=1 to
$NOTIFY_SOCKET is ready then; for one that does not --ready-after says when.`,
		Example: `  supervisor start chat
  supervisor start --name mail --listen smtp=:25 --env MODE=fast -- /usr/bin/maild -v
  supervisor start --name web --ready-after 1s -- node server.js`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completePrograms(state),
		RunE: func(c *cobra.Command, args []string) error {
			client := newClient(state)
			if c.ArgsLenAtDash() < 0 {
				if c.Flags().Changed("name") || len(listen) > 0 || len(env) > 0 || readyAfter != 0 {
					return usage(errors.New("--name, --listen, --env and --ready-after belong to a new program, whose command follows '--'"))
				}
				return each(args, func(name string) error {
					err := tell(c, "", func() (control.Done, error) { return client.Operate(c.Context(), name, control.OpStart) })
					return orAdd(err, name)
				})
			}
			if err := newProgram(&n, listen, env, c.ArgsLenAtDash(), args); err != nil {
				return usage(err)
			}
			if readyAfter != 0 {
				n.ReadyAfter = readyAfter.String()
			}
			return tell(c, "", func() (control.Done, error) { return client.Add(c.Context(), n) })
		},
	}
	c.Flags().StringVar(&n.Name, "name", "", "`NAME` of a new program (default: that of its executable)")
	c.Flags().StringArrayVar(&listen, "listen", nil, "listening socket `NAME=ADDRESS` for it; may be repeated")
	c.Flags().StringArrayVar(&env, "env", nil, "environment variable `NAME=VALUE` for it; may be repeated; seen by whoever lists processes meanwhile")
	c.Flags().DurationVar(&readyAfter, "ready-after", 0, "when it is ready, if it does not tell: it has lived so long")
	return telling(c)
}

// orAdd says how to add a program, if it was taken for one that a file is called so.
func orAdd(err error, name string) error {
	var r *control.Refusal
	if !errors.As(err, &r) || r.Status != http.StatusNotFound {
		return err
	}
	if _, missing := os.Stat(name); missing != nil {
		return err
	}
	return fmt.Errorf("%w; 'supervisor start -- COMMAND' adds one", err)
}

// newProgram fills in a program from its flags and its command.
func newProgram(n *control.NewProgram, listen, env []string, dash int, args []string) error {
	if dash > 0 {
		return fmt.Errorf("unexpected argument %q: the program's command follows '--'", args[0])
	}
	_, path, rest, err := resolve(args)
	if err != nil {
		return err
	}
	n.Command = append([]string{path}, rest...)
	if n.Name == "" {
		n.Name = filepath.Base(path)
	}
	if n.Dir, err = os.Getwd(); err != nil {
		return err
	}
	listens, err := config.ParseListens(listen)
	if err != nil {
		return err
	}
	for _, l := range listens {
		n.Listen = append(n.Listen, control.Listen{Name: l.Name, Address: l.Address.String()})
	}
	for _, v := range env {
		name, value, ok := strings.Cut(v, "=")
		if !ok || !config.ValidVariable(name) {
			return errors.New("--env must be NAME=VALUE, the name of letters, digits and '_'")
		}
		if n.Env == nil {
			n.Env = map[string]string{}
		}
		n.Env[name] = value
	}
	return nil
}

func newSignal(state *string) *cobra.Command {
	return telling(&cobra.Command{
		Use:               "signal SIGNAL PROGRAM…",
		Short:             "Send a signal to the serving worker's process group",
		Example:           "  supervisor signal USR1 chat",
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completePrograms(state),
		RunE: func(c *cobra.Command, args []string) error {
			client := newClient(state)
			return each(args[1:], func(name string) error {
				return tell(c, ", sent "+args[0], func() (control.Done, error) { return client.Signal(c.Context(), name, args[0]) })
			})
		},
	})
}

func newScale(state *string) *cobra.Command {
	return telling(&cobra.Command{
		Use:   "scale PROGRAM INSTANCES",
		Short: "Run so many parallel copies of a program",
		Long: `scale starts more instances of a program beside those that serve, or ends the last
ones, which leave their clients to those that stay. It is recorded at once, and counts
over what the configuration says until the program is deleted or scaled again.

A reload deploys to all instances: each takes over when all are ready, and what
befalls one of them befalls all.`,
		Example:           "  supervisor scale chat 3",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completePrograms(state),
		RunE: func(c *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil {
				return usage(fmt.Errorf("%q instances: must be a number", args[1]))
			}
			client := newClient(state)
			return tell(c, ", "+counted(n, "instance"), func() (control.Done, error) { return client.Scale(c.Context(), args[0], n) })
		},
	})
}
