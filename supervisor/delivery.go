//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/release"
)

// How long the outcome of a deploy is waited for that cannot be followed: because
// it was somebody else's, or the supervisor has gone away meanwhile.
const (
	outcomeTime  = 5 * time.Minute  // longer than ready_timeout, drain and bake
	returnTime   = 30 * time.Second // until a supervisor is back
	outcomeEvery = 100 * time.Millisecond
)

// delivery is one run of `supervisor deploy`.
type delivery struct {
	releaseFlags
	settings release.Settings
	folder   *release.Folder
	client   *control.Client
	shown    *timeline
}

// deliver runs it, and says what happened where that is wanted.
func deliver(c *cobra.Command, state *string, f releaseFlags, settings release.Settings) error {
	d := &delivery{releaseFlags: f, settings: settings, client: newClient(state), shown: newTimeline(c, f.json)}
	err := d.locked(c.Context())
	if f.summary == "" {
		return err
	}
	if summaryErr := appendSummary(f.summary, f.release, d.shown.seen, err); summaryErr != nil {
		fmt.Fprintln(os.Stderr, ownName+"summary:", summaryErr) // it changes nothing of the verdict
	}
	return err
}

func (d *delivery) locked(ctx context.Context) error {
	if _, err := os.Stat(d.releases); d.artifact == "" && errors.Is(err, fs.ErrNotExist) {
		return d.notInstalled() // and the folder is not made for that
	}
	var err error
	if d.folder, err = release.Open(d.releases, d.current); err != nil {
		return err
	}
	defer d.folder.Close()
	return d.run(ctx)
}

func (d *delivery) run(ctx context.Context) error {
	if err := d.present(ctx); err != nil {
		return err
	}
	if err := d.finish(ctx); err != nil {
		return err
	}
	fresh, err := d.install(ctx)
	if err != nil {
		return err
	}
	outcome, err := d.change(ctx)
	if outcome == release.Undo && fresh { // nothing is left of what was not accepted
		if removeErr := d.folder.Remove(d.release); removeErr != nil {
			d.say("warning", "%v", removeErr)
		}
	}
	return err
}

// say shows a step of the delivery's own.
func (d *delivery) say(step, format string, args ...any) {
	d.shown.show(control.Step{At: time.Now(), Step: step, Detail: fmt.Sprintf(format, args...)})
}

// present makes sure, before anything is changed, that somebody can be asked to
// reload: on a machine where something is current there has to be a supervisor.
func (d *delivery) present(ctx context.Context) error {
	_, err := d.client.Status(ctx)
	if errors.Is(err, control.ErrUnreachable) {
		if _, linkErr := os.Lstat(d.current); linkErr != nil {
			return nil
		}
		if c, _ := d.folder.Unfinished(); c != nil && c.First() {
			return nil
		}
	}
	return err
}

// finish decides what a deploy that was cut off has left.
func (d *delivery) finish(ctx context.Context) error {
	c, err := d.folder.Unfinished()
	if c == nil || err != nil {
		return err
	}
	d.unfinished(c)
	outcome, _, err := d.outcome(ctx, c, 0)
	if err != nil {
		return err
	}
	if outcome == release.Commit {
		d.say("kept", "%s: it was accepted", c.To())
		return c.Commit()
	}
	return d.undo(c)
}

func (d *delivery) unfinished(c *release.Change) {
	d.say("unfinished", "the deploy of %s, from %s", c.To(), c.At().Local().Format(time.DateTime))
}

// undo takes a change back.
func (d *delivery) undo(c *release.Change) error {
	if err := c.Undo(); err != nil {
		return fmt.Errorf("take the deploy of %s back: %w; the next deploy tries again", c.To(), err)
	}
	back := c.From()
	if back == "" {
		back = "what it was before"
	}
	if c.From() != c.To() {
		d.say("back", "current is %s", back)
	}
	return nil
}

// outcome finds out what became of a change. The supervisor may be away for some
// time; then a change with nothing before it is taken back, and of any other
// nothing is known.
func (d *delivery) outcome(ctx context.Context, c *release.Change, away time.Duration) (release.Judgement, control.Status, error) {
	began := time.Now()
	for {
		s, err := d.client.Status(ctx)
		unreachable := errors.Is(err, control.ErrUnreachable)
		switch {
		case ctx.Err() != nil:
			return release.Wait, s, context.Cause(ctx)
		case unreachable && c.First() && away == 0:
			return release.Undo, s, nil
		case err != nil && time.Since(began) >= away:
			return release.Wait, s, err
		case err == nil:
			if j := release.Judge(c.At(), s, c.Origin); j != release.Wait {
				return j, s, nil
			}
		}
		if time.Since(began) >= outcomeTime {
			return release.Wait, s, fmt.Errorf("the deploy of %s has no verdict after %s", c.To(), outcomeTime)
		}
		time.Sleep(outcomeEvery)
	}
}

func (d *delivery) notInstalled() error {
	return usage(fmt.Errorf("release %s is not installed; %s", d.release, d.there()))
}

// install makes a release of the artifact, if there is one.
func (d *delivery) install(ctx context.Context) (fresh bool, err error) {
	if d.artifact == "" {
		if !d.folder.Has(d.release) {
			return false, d.notInstalled()
		}
		return false, d.tried(ctx, d.folder.Path(d.release), "release "+d.release)
	}
	a, err := release.OpenArtifact(d.artifact, d.sum)
	if err != nil {
		return false, err
	}
	defer a.Close()
	d.say("verified", "%s, sha256 %s", d.artifact, a.SHA256)
	fresh, err = d.folder.Install(a, d.release, func(dir string) error { return d.tried(ctx, dir, d.artifact) })
	if err != nil {
		return false, err
	}
	if fresh {
		d.say("installed", "%s", d.folder.Path(d.release))
	} else {
		d.say("installed", "%s, before", d.folder.Path(d.release))
	}
	return fresh, nil
}

// change makes the release current and keeps it that if it is accepted.
func (d *delivery) change(ctx context.Context) (release.Judgement, error) {
	due, err := d.settings.Due()
	if err != nil {
		return release.Undo, err
	}
	c, err := d.folder.Begin(d.release, d.settings)
	if err != nil {
		return release.Undo, err
	}
	if due {
		d.say("settings", "%s has %s", d.envFile, d.names(os.Getenv))
	}
	d.say("current", "%s", d.release)
	ended, verdict := d.reload(ctx, c)
	if verdict == nil {
		return release.Commit, d.keep(c)
	}
	var unknown unknownError
	if errors.As(verdict, &unknown) {
		return release.Wait, verdict
	}
	if err := d.undo(c); err != nil {
		return release.Wait, err
	}
	d.unmix(ctx, ended)
	return release.Undo, verdict
}

// keep ends an accepted change.
func (d *delivery) keep(c *release.Change) error {
	if err := c.Commit(); err != nil {
		return fmt.Errorf("%s serves, but: %w; deploy again", c.To(), err)
	}
	removed, err := d.folder.Prune(d.releaseFlags.keep, c.From())
	if len(removed) > 0 {
		d.say("removed", "%s", strings.Join(removed, ", "))
	}
	if err != nil {
		d.say("warning", "%v", err) // the release serves all the same
	}
	return nil
}

// unknownError says that the verdict of a deploy could not be learnt.
type unknownError struct{ error }

func (e unknownError) Unwrap() error { return e.error }

// reload lets the release take over and follows that to its verdict, which is its
// error.
func (d *delivery) reload(ctx context.Context, c *release.Change) ([]control.Deploy, error) {
	asked, err := d.client.Deploy(ctx, control.DeployRequest{})
	var refusal *control.Refusal
	switch {
	case errors.Is(err, control.ErrUnreachable) && c.First():
		d.say("ready", "no supervisor runs yet: start one, for instance by '%s startup'", d.current+"/"+supervisorName)
		return nil, nil
	case errors.As(err, &refusal):
		return nil, err
	case err != nil:
		return nil, d.lost(ctx, c, err)
	case len(asked.Deploys) == 0:
		return nil, errors.New("no program runs that could be deployed: start one first")
	}
	d.shown.several = len(asked.Deploys) > 1
	ended, verdict := d.shown.follow(ctx, d.client, asked.Deploys)
	switch {
	case verdict == nil:
		return ended, nil
	case len(ended) < len(asked.Deploys):
		return nil, d.lost(ctx, c, verdict)
	}
	return ended, d.confirmed(ctx, c, verdict)
}

// confirmed is a verdict, unless the supervisor that gave it has been started from
// the release, which then serves although nobody had accepted it.
func (d *delivery) confirmed(ctx context.Context, c *release.Change, verdict error) error {
	outcome, _, err := d.outcome(ctx, c, returnTime)
	if err != nil || outcome != release.Commit {
		return verdict
	}
	d.say("kept", "%s serves: the supervisor has been started from it meanwhile", c.To())
	return nil
}

// lost finds out the verdict of a deploy that can be followed no more.
func (d *delivery) lost(ctx context.Context, c *release.Change, why error) error {
	d.say("lost", "%v", why)
	outcome, s, err := d.outcome(ctx, c, returnTime)
	switch {
	case err != nil:
		return unknownError{fmt.Errorf("whether %s serves is not known: %w; the next deploy finds out", c.To(), err)}
	case outcome == release.Commit:
		d.say("accepted", "%s serves", c.To())
		return nil
	}
	for _, dep := range s.Deploys {
		if !dep.At.Before(c.At()) && dep.Verdict != control.Accepted {
			d.shown.show(control.Step{At: time.Now(), Step: string(dep.Verdict), Detail: dep.Reason, Deploy: &dep})
			return verdictError{dep}
		}
	}
	return fmt.Errorf("%s does not serve: %w", c.To(), why)
}

// unmix takes programs back that had accepted a release that another one did not.
func (d *delivery) unmix(ctx context.Context, ended []control.Deploy) {
	for _, dep := range ended {
		if dep.Verdict != control.Accepted {
			continue
		}
		asked, err := d.client.Deploy(ctx, control.DeployRequest{Programs: []string{dep.Program}, Rollback: true})
		if err == nil {
			_, err = d.shown.follow(ctx, d.client, asked.Deploys)
		}
		if err != nil {
			d.say("warning", "%s still serves the new release: %v", dep.Program, err)
		}
	}
}
