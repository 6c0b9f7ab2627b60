//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/release"
)

// releaseFlags are those of `supervisor deploy`.
type releaseFlags struct {
	artifact, sum string
	release       string
	releases      string
	current       string
	keep          int
	envFile       string
	env           []string
	summary       string
	json          bool
}

const defaultReleases = "/opt/simpletalk/releases"

func newDeploy(state *string) *cobra.Command {
	var f releaseFlags
	c := &cobra.Command{
		Use:   "deploy --artifact FILE | --release ID",
		Short: "Install a release, make it current and let it take over",
		Long: `deploy checks an artifact (a .tar.gz with a .sha256 beside it), unpacks it as a
release of its own, moves the link 'current' to it, reloads, and follows that to
its verdict. Unless it is accepted everything is as it was before: the link, the
environment file, and what serves. With --release alone it goes to a release that
is installed already, which is how to go back.

The environment file, where one is named, gets the variables that --env names,
from the environment of this command, so that no value is among its arguments;
those that are empty or not set are left out. It is written only if that changes
it. Its folder should be the deploying user's and have the setgid bit and the
group of the service: the file has mode 0640.

A deploy that is cut off, wherever, harms nothing: what serves serves on. Do it
again, or any other: the next one first finds out what became of it. One runs at
a time.

It exits as 'supervisor reload --wait' does. Where nothing is current yet and no
supervisor runs, the release is made current and that is all.`,
		Example: `  supervisor deploy --artifact simpletalk-42.tar.gz
  supervisor deploy --release 41
  MONGODB_URI=… supervisor deploy --artifact simpletalk-42.tar.gz --env-file /etc/simpletalk/deploy/env --env MONGODB_URI`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := f.complete(); err != nil {
				return usage(err)
			}
			settings, err := f.settings(os.Getenv)
			if err != nil {
				return usage(err)
			}
			return deliver(c, state, f, settings)
		},
	}
	f.add(c)
	c.AddCommand(newRecover(state))
	return c
}

func (f *releaseFlags) add(c *cobra.Command) {
	f.addFolder(c)
	c.Flags().StringVar(&f.artifact, "artifact", "", "install the release in `FILE`, a .tar.gz")
	c.Flags().StringVar(&f.sum, "sha256", "", "`CHECKSUM` of the artifact (default: what FILE.sha256 says)")
	c.Flags().StringVar(&f.release, "release", "", "`ID` of the release (default: the artifact's name without simpletalk- and .tar.gz)")
	c.Flags().IntVar(&f.keep, "keep", 5, "how many releases stay; the current one and the one before always do")
	c.Flags().StringVar(&f.envFile, "env-file", "", "environment `FILE` that gets the variables of --env, and no others")
	c.Flags().StringArrayVar(&f.env, "env", nil, "`NAME` of a variable for it; may be repeated")
	c.Flags().StringVar(&f.summary, "summary", "", "append what happened to `FILE`, as Markdown ($GITHUB_STEP_SUMMARY)")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON, one step a line")
	c.MarkFlagFilename("artifact", "tar.gz", "tgz")
	c.RegisterFlagCompletionFunc("release", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return f.installed(), cobra.ShellCompDirectiveNoFileComp
	})
}

// addFolder adds the flags that say where the releases are.
func (f *releaseFlags) addFolder(c *cobra.Command) {
	c.Flags().StringVar(&f.releases, "releases", defaultReleases, "`FOLDER` of the releases")
	c.Flags().StringVar(&f.current, "current", "", "`LINK` to the current release (default: current, beside the folder)")
	c.MarkFlagDirname("releases")
}

// link is the path of the link to the current release.
func (f *releaseFlags) link() string {
	if f.current != "" {
		return f.current
	}
	return filepath.Join(filepath.Dir(filepath.Clean(f.releases)), "current")
}

// installed are the releases there are, the latest first.
func (f *releaseFlags) installed() (ids []string) {
	all, _ := release.Installed(f.releases) // none, if it cannot be read
	for _, r := range all {
		ids = append(ids, r.ID)
	}
	return ids
}

// there says what is installed, for people.
func (f *releaseFlags) there() string {
	if ids := f.installed(); len(ids) > 0 {
		return "installed are " + strings.Join(ids, ", ")
	}
	return "none is installed in " + f.releases
}

// complete fills in what was not said, and says what must be.
func (f *releaseFlags) complete() error {
	switch {
	case f.artifact == "" && f.release == "":
		return fmt.Errorf("say which: --artifact FILE, or --release ID of one that is installed; %s", f.there())
	case f.artifact == "" && f.sum != "":
		return errors.New("--sha256 belongs to --artifact")
	case f.keep < 1:
		return fmt.Errorf("--keep %d: at least 1 release stays, the current one", f.keep)
	case (f.envFile == "") != (len(f.env) == 0):
		return errors.New("--env-file and --env belong together: the file, and the names of its variables")
	}
	if f.release == "" {
		f.release = idOf(f.artifact)
	}
	f.current = f.link()
	return release.CheckID(f.release)
}

// idOf is the name of a release after that of its artifact.
func idOf(artifact string) string {
	name := filepath.Base(artifact)
	for _, end := range []string{".tar.gz", ".tgz"} {
		name = strings.TrimSuffix(name, end)
	}
	return strings.TrimPrefix(name, "simpletalk-")
}

// envHead begins an environment file.
const envHead = "# Written by 'supervisor deploy', which replaces it.\n"

// settings is the environment file as it should be.
func (f *releaseFlags) settings(getenv func(string) string) (release.Settings, error) {
	if f.envFile == "" {
		return release.Settings{}, nil
	}
	path, err := filepath.Abs(f.envFile)
	if err != nil {
		return release.Settings{}, err
	}
	for _, name := range f.env { // those without a value, too
		if !config.ValidVariable(name) {
			return release.Settings{}, fmt.Errorf("--env %q is no name of a variable: letters, digits and '_', the first no digit", name)
		}
	}
	text, err := config.FormatEnvFile(f.variables(getenv))
	if err != nil {
		return release.Settings{}, fmt.Errorf("--env: %w", err)
	}
	return release.Settings{Path: path, Content: append([]byte(envHead), text...)}, nil
}

// variables are those of --env that have a value.
func (f *releaseFlags) variables(getenv func(string) string) map[string]string {
	variables := map[string]string{}
	for _, name := range f.env {
		if value := getenv(name); value != "" {
			variables[name] = value
		}
	}
	return variables
}

// trialTime is how long a new supervisor has to say which build it is.
const trialTime = 10 * time.Second

// supervisorName is that of this program in a release.
const supervisorName = "supervisor"

// tried checks what a reload may not try: the supervisor in a release, which what
// names for people. A broken one would only show at the next boot.
func (f *releaseFlags) tried(ctx context.Context, dir, what string) error {
	path := filepath.Join(dir, supervisorName)
	if _, err := os.Stat(path); err != nil {
		if _, err := os.Stat(filepath.Join(f.current, supervisorName)); err == nil {
			return fmt.Errorf("%s has no file %s, which the current release has", what, supervisorName)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	if out, err := exec.CommandContext(ctx, path, "version").CombinedOutput(); err != nil {
		return fmt.Errorf("the supervisor in %s does not run: %w: %.200s", what, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// names lists the variables that a program gets, for people.
func (f *releaseFlags) names(getenv func(string) string) string {
	var names []string
	for name := range f.variables(getenv) {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) == 0 {
		return "no variables"
	}
	return strings.Join(names, ", ")
}
