//go:build linux

package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/release"
	"github.com/simpletalk/simpletalk/supervisor/internal/statedir"
)

func newRecover(state *string) *cobra.Command {
	var f releaseFlags
	c := &cobra.Command{
		Use:   "recover",
		Short: "Take a deploy back that the end of the machine has cut off",
		Long: `recover is for the moment before the supervisor starts: a deploy that the
machine went down in has moved the link to a release that nobody had accepted.
It makes the link and the environment file what they were before.

It does nothing where no deploy was cut off, where the supervisor has only been
started again, since its workers tell the next deploy what became of it, and
where a deploy is under way.`,
		Example: `  supervisor deploy recover --state /run/simpletalk`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return recoverDeploy(c, statedir.Find(*state), f)
		},
	}
	f.addFolder(c)
	return c
}

func recoverDeploy(c *cobra.Command, state string, f releaseFlags) error {
	if _, err := os.Stat(f.releases); errors.Is(err, fs.ErrNotExist) || statedir.Used(state) {
		return nil
	}
	folder, err := release.Open(f.releases, f.link())
	if errors.Is(err, release.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer folder.Close()
	cut, err := folder.Unfinished()
	if cut == nil || err != nil || cut.First() {
		return err
	}
	d := delivery{shown: newTimeline(c, false)}
	d.unfinished(cut)
	return d.undo(cut)
}
