//go:build linux

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
)

// runFlags are the flags of `supervisor run` as written.
type runFlags struct {
	listen       []string
	detach       bool
	readyTimeout time.Duration
	drainTimeout time.Duration
	drainRate    int
	handover     bool
	debug        bool
}

func newRun(state *string) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [flags] [-- COMMAND [ARG…]]",
		Short: "Open the sockets, start the program and keep it running",
		Long: `run opens the listening sockets, starts COMMAND (by default 'app serve' from
the folder of this executable) and keeps it running until SIGTERM or SIGINT.

The worker gets the sockets by LISTEN_FDS, as under systemd. SIGHUP starts the
build that is at COMMAND's path by then beside the old one and lets it take
over once it is ready; one that fails changes nothing.`,
		Example: `  supervisor run
  supervisor run --listen http=0.0.0.0:8080 -- ./app serve --data /srv/chat
  supervisor run --listen web=unix:///run/web.sock?mode=0660 -- /opt/web/server`,
		Args: commandAfterDash,
		RunE: func(c *cobra.Command, args []string) error {
			s, err := f.settings(*state, args)
			if err != nil {
				return usage(err)
			}
			if f.detach && !detached() {
				return detach(s.state)
			}
			return supervised(c.Context(), s)
		},
	}
	flags := c.Flags()
	flags.StringArrayVar(&f.listen, "listen", []string{"http=127.0.0.1:3000"}, "listening socket `NAME=ADDRESS`: HOST:PORT, tcp://HOST:PORT or unix:///PATH?mode=0660; may be repeated")
	flags.BoolVar(&f.detach, "detach", false, "go on in the background once the sockets are open")
	flags.DurationVar(&f.readyTimeout, "ready-timeout", 10*time.Second, "how long a new worker may take to be ready")
	flags.DurationVar(&f.drainTimeout, "drain-timeout", 30*time.Second, "how long an old worker may take to end")
	flags.IntVar(&f.drainRate, "drain-rate", 300, "connections that an old worker closes per second")
	flags.BoolVar(&f.handover, "handover", true, "move WebSockets to the next worker; with =false they are closed and come back")
	flags.BoolVar(&f.debug, "debug", false, "log every state change")
	return c
}

// commandAfterDash refuses a command without --, whose flags would be ours.
func commandAfterDash(c *cobra.Command, args []string) error {
	if len(args) > 0 && c.ArgsLenAtDash() != 0 {
		return fmt.Errorf("unexpected argument %q: the program's command follows '--'", args[0])
	}
	return nil
}

// settings is what `supervisor run` does, checked.
type settings struct {
	state   string
	listens []config.Listen
	program string
	path    string // of the program's executable, absolute
	args    []string
	timing  supervise.Config
	level   slog.Level
}

func (f runFlags) settings(state string, command []string) (settings, error) {
	s := settings{state: state}
	var err error
	if s.listens, err = config.ParseListens(f.listen); err != nil {
		return s, err
	}
	if s.program, s.path, s.args, err = resolve(command); err != nil {
		return s, err
	}
	for name, d := range map[string]time.Duration{"--ready-timeout": f.readyTimeout, "--drain-timeout": f.drainTimeout} {
		if d <= 0 {
			return s, fmt.Errorf("%s %s: must be more than 0", name, d)
		}
	}
	if f.drainRate < 1 {
		return s, fmt.Errorf("--drain-rate %d: must be 1 or more", f.drainRate)
	}
	if f.debug {
		s.level = slog.LevelDebug
	}
	s.timing = supervise.Config{
		Program: s.program, ReadyTimeout: f.readyTimeout,
		DrainTimeout: f.drainTimeout, DrainRate: f.drainRate, NoHandover: !f.handover,
	}
	return s, nil
}

// resolve finds the executable of the command: `app serve` beside our own if
// there is none. The path stays as written, symbolic links and all, because a
// reload looks there again.
func resolve(command []string) (name, path string, args []string, err error) {
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return "", "", nil, fmt.Errorf("find the app beside this executable: %w", err)
		}
		return "chat", filepath.Join(filepath.Dir(self), "app"), []string{"app", "serve"}, nil
	}
	path, err = exec.LookPath(command[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		if !strings.Contains(command[0], "/") {
			return "", "", nil, fmt.Errorf("command %q: not found in $PATH", command[0])
		}
		path = command[0] // pinning it says what is wrong with it
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", "", nil, err
	}
	return filepath.Base(path), path, command, nil
}
