//go:build linux

package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// defaultConfig is what is checked when nobody says.
const defaultConfig = "supervisor.toml"

func newCheck() *cobra.Command {
	var asRoot bool
	var env string
	c := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say what is wrong with a configuration file",
		Long: `check reads FILE (default ./supervisor.toml) and prints every mistake with its
file, line and column. It also reads the environment files and looks at the
executables that the file names. It asks no supervisor and changes nothing.

Every key, with its default or an example:

` + indented(config.Reference) + `
Paths are relative to the file's folder. Environment files have systemd's syntax
(EnvironmentFile= in systemd.exec(5)); nothing in them is expanded.`,
		Example: "  supervisor check /etc/simpletalk/supervisor.toml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := defaultConfig
			if len(args) > 0 {
				path = args[0]
			}
			f, err := config.Load(path, asRoot)
			if err == nil {
				err = choose(f, env)
			}
			if err == nil {
				err = checkFiles(f)
			}
			if err != nil {
				return usage(err)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is right: %s, %s\n", path, counted(len(f.Programs), "program"), counted(len(f.Listens), "listener"))
			return nil
		},
	}
	c.Flags().BoolVar(&asRoot, "root", os.Geteuid() == 0, "check for a supervisor that runs as root")
	c.Flags().StringVar(&env, "env", "", "check with the environments of that `NAME`")
	return c
}

// choose gives programs the environments of a name, by default the file's choice.
func choose(f *config.File, env string) error {
	if env = cmp.Or(env, f.Environment); env == "" {
		return nil
	}
	return f.Choose(env)
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func indented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimSpace(text)) {
		if line != "\n" {
			b.WriteString("  ")
		}
		b.WriteString(line)
	}
	return b.String() + "\n"
}

// checkFiles looks at what a right configuration names.
func checkFiles(f *config.File) error {
	var errs []error
	for _, p := range f.Programs {
		if _, err := p.Environ(nil); err != nil {
			errs = append(errs, err)
		}
		path := p.Command[0]
		if !filepath.IsAbs(path) {
			found, err := exec.LookPath(path)
			if err != nil {
				errs = append(errs, fmt.Errorf("program %s: command %q: not found in $PATH", p.Name, path))
				continue
			}
			path = found
		}
		build, err := worker.Pin(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("program %s: %w", p.Name, err))
			continue
		}
		build.Close()
	}
	return errors.Join(errs...)
}
