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
	"github.com/simpletalk/simpletalk/supervisor/internal/upgrade"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// runFlags are the flags of `supervisor run` as written.
type runFlags struct {
	config       string
	listen       []string
	detach       bool
	readyTimeout time.Duration
	drainTimeout time.Duration
	drainRate    int
	bake         time.Duration
	handover     bool
	debug        bool
	env          string
	readyAfter   time.Duration
}

// ofProgram are the flags that a configuration file has keys for.
var ofProgram = []string{"ready-timeout", "ready-after", "drain-timeout", "drain-rate", "bake", "handover"}

func newRun(state *string) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [flags] [-- COMMAND [ARG…]]",
		Short: "Open the sockets, start the programs and keep them running",
		Long: `run opens the listening sockets, starts what the configuration file names, or
COMMAND (by default 'app serve' from the folder of this executable), and keeps it
running until SIGTERM or SIGINT.

The worker gets the sockets by LISTEN_FDS, as under systemd. SIGHUP reads the
configuration anew and starts the build that is at the command's path by then
beside the old one and lets it take over once it is ready; one that fails changes
nothing, and one that fails while it bakes is replaced by the one before.`,
		Example: `  supervisor run
  supervisor run --config /etc/simpletalk/supervisor.toml
  supervisor run --listen http=0.0.0.0:8080 -- ./app serve --data /srv/chat
  supervisor run --listen web=unix:///run/web.sock?mode=0660 -- /opt/web/server`,
		Args: commandAfterDash,
		RunE: func(c *cobra.Command, args []string) error {
			s, err := f.settings(c, *state, args)
			if err != nil {
				return usage(err)
			}
			if f.detach && !detached() && !upgrade.IsSuccessor() {
				return detach(s.state)
			}
			return supervised(c.Context(), s)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.config, "config", "", "configuration `FILE` that names programs and listeners; see 'supervisor check --help'")
	flags.StringArrayVar(&f.listen, "listen", []string{"http=127.0.0.1:3000"}, "listening socket `NAME=ADDRESS`: HOST:PORT, tcp://HOST:PORT or unix:///PATH?mode=0660; may be repeated")
	flags.BoolVar(&f.detach, "detach", false, "go on in the background once the sockets are open")
	flags.DurationVar(&f.readyTimeout, "ready-timeout", 10*time.Second, "how long a new worker may take to be ready")
	flags.DurationVar(&f.readyAfter, "ready-after", 0, "for a program that does not tell when it is ready: it is when it has lived so long")
	flags.StringVar(&f.env, "env", "", "choose the environments of that `NAME` in the configuration file")
	flags.DurationVar(&f.drainTimeout, "drain-timeout", 30*time.Second, "how long an old worker may take to end")
	flags.IntVar(&f.drainRate, "drain-rate", 300, "connections that an old worker closes per second")
	flags.DurationVar(&f.bake, "bake", 30*time.Second, "how long a new build must serve well before it is good; until then a crash brings the one before back")
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
	config  string          // path of the file, "" without
	env     string          // name of the environments that are chosen, "" for the file's own choice
	flags   config.File     // without a file: all there is
	listens []config.Listen // beside a file: in place of those of the same names
	greeted string          // what is said to be at the http listener
	level   slog.Level
	detach  bool
}

func (f runFlags) settings(c *cobra.Command, state string, command []string) (settings, error) {
	s := settings{state: state, config: f.config, env: f.env, greeted: "site", detach: f.detach}
	if f.debug {
		s.level = slog.LevelDebug
	}
	listens, err := config.ParseListens(f.listen)
	if err != nil {
		return s, err
	}
	if f.config == "" && f.env != "" {
		return s, errors.New("--env chooses what a file names: it belongs beside --config")
	}
	if f.config == "" {
		return s, f.fromFlags(&s, listens, command)
	}
	if len(command) > 0 {
		return s, errors.New("--config names the programs: a command beside it is one too many")
	}
	for _, name := range ofProgram {
		if c.Flags().Changed(name) {
			return s, fmt.Errorf("--%s beside --config: write it in %s", name, f.config)
		}
	}
	if c.Flags().Changed("listen") {
		s.listens = listens
	}
	return s, nil
}

// fromFlags makes of flags and command what a file would say.
func (f runFlags) fromFlags(s *settings, listens []config.Listen, command []string) error {
	name, path, rest, err := resolve(command)
	if err != nil {
		return err
	}
	for name, d := range map[string]time.Duration{"--ready-timeout": f.readyTimeout, "--drain-timeout": f.drainTimeout} {
		if d <= 0 {
			return fmt.Errorf("%s %s: must be more than 0", name, d)
		}
	}
	if f.drainRate < 1 {
		return fmt.Errorf("--drain-rate %d: must be 1 or more", f.drainRate)
	}
	if f.bake < 0 {
		return fmt.Errorf("--bake %s: must not be less than 0", f.bake)
	}
	p := config.NewProgram(name, append([]string{path}, rest...))
	if f.readyAfter < 0 || f.readyAfter >= f.readyTimeout {
		return fmt.Errorf("--ready-after %s: must be 0s or more, and less than --ready-timeout %s", f.readyAfter, f.readyTimeout)
	}
	p.ReadyTimeout, p.ReadyAfter, p.Bake = f.readyTimeout, f.readyAfter, f.bake
	p.Drain.Timeout, p.Drain.Rate, p.Drain.Handover = f.drainTimeout, f.drainRate, f.handover
	p.KillTimeout = f.drainTimeout
	for _, l := range listens {
		p.Listen = append(p.Listen, l.Name)
	}
	s.greeted = name
	s.flags = config.File{Listens: listens, Programs: []config.Program{p}, Control: config.Control{GID: -1}}
	return nil
}

// load is the configuration as it is at this moment.
func (s settings) load() (*config.File, error) {
	if s.config == "" {
		return &s.flags, nil
	}
	file, err := config.Load(s.config, os.Geteuid() == 0)
	if err != nil {
		return nil, err
	}
	if err := choose(file, s.env); err != nil {
		return nil, fmt.Errorf("%s: %w", s.config, err)
	}
	return file, file.Override(s.listens)
}

// from is where the configuration comes from, for people.
func (s settings) from() string {
	if s.config == "" {
		return "the command line"
	}
	return s.config
}

// check refuses a command that cannot be started: whoever wrote it is watching.
// What a file names is started as soon as it can be.
func (s settings) check() error {
	if s.config != "" {
		return nil
	}
	build, err := worker.Pin(s.flags.Programs[0].Command[0])
	if err != nil {
		return fmt.Errorf("the program cannot be started: %w", err)
	}
	return build.Close()
}

// resolve finds the executable of the command: `app serve` beside our own if
// there is none. The path stays as written, symbolic links and all, because a
// reload looks there again.
func resolve(command []string) (name, path string, rest []string, err error) {
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return "", "", nil, fmt.Errorf("find the app beside this executable: %w", err)
		}
		return "chat", filepath.Join(filepath.Dir(self), "app"), []string{"serve"}, nil
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
	return filepath.Base(path), path, command[1:], nil
}
