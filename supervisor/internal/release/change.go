//go:build linux

package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Change is the link, and with it settings, on the way from one release to
// another. It is on disk: whoever opens the folder next finds it ([Folder.Unfinished]).
type Change struct {
	f        *Folder
	j        journal
	next     string // what the link says next
	settings Settings
}

// journal is what Undo has to know.
type journal struct {
	At       time.Time `json:"at"`                 // before anything had changed
	From     string    `json:"from"`               // what the link said, "" if there was none
	To       string    `json:"to"`                 // a release
	Settings string    `json:"settings,omitempty"` // path of a file that changes, too
	Had      bool      `json:"had_settings"`       // it was there before
}

// At is when the change began.
func (c *Change) At() time.Time { return c.j.At }

// To is the release that becomes current.
func (c *Change) To() string { return c.j.To }

// From is the release that was current, "" if none of this folder was.
func (c *Change) From() string { return c.f.release(c.j.From) }

// First tells whether nothing was current before.
func (c *Change) First() bool { return c.j.From == "" }

// Begin makes a release current, and writes settings if they are due. The change
// has to be ended by Commit or Undo; if it fails it is undone.
func (f *Folder) Begin(id string, settings Settings) (*Change, error) {
	c, err := f.plan(id, settings)
	if err != nil {
		return nil, err
	}
	for _, step := range c.steps() {
		if err := step.do(); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", step.name, err), c.Undo())
		}
	}
	return c, nil
}

// plan finds out what a change has to do.
func (f *Folder) plan(id string, settings Settings) (*Change, error) {
	if !f.Has(id) {
		return nil, fmt.Errorf("release %q is not installed", id)
	}
	from, err := f.target()
	if err != nil {
		return nil, err
	}
	due, err := settings.Due()
	if err != nil {
		return nil, err
	}
	c := &Change{f: f, j: journal{At: time.Now(), From: from, To: id}}
	if due {
		c.settings = settings
		c.j.Settings = settings.Path
		_, err := os.Lstat(settings.Path)
		c.j.Had = err == nil
	}
	if f.release(from) == id {
		c.next = from // however it is written
		return c, nil
	}
	c.next, err = filepath.Rel(filepath.Dir(f.link), f.path(id))
	return c, err
}

type step struct {
	name string
	do   func() error
}

// steps are those of Begin. Nobody else sees anything of them before the journal
// is there.
func (c *Change) steps() []step {
	link := step{"move the link", func() error { return c.f.point(c.next) }}
	if c.j.Settings == "" {
		return []step{{"write the journal", c.write}, link}
	}
	return []step{
		{"stage settings", c.settings.stage},
		{"keep settings", c.settings.keep},
		{"write the journal", c.write},
		{"replace settings", c.settings.replace},
		link,
	}
}

func (c *Change) write() error {
	text, err := json.Marshal(c.j)
	if err != nil {
		return err
	}
	return replaceFile(c.f.path(journalName), append(text, '\n'))
}

// point makes the link say target, in one step. "" removes it.
func (f *Folder) point(target string) error {
	switch now, err := f.target(); {
	case err != nil:
		return err
	case now == target:
		return nil
	case target == "":
		if err := remove(f.link); err != nil {
			return err
		}
		return syncDir(filepath.Dir(f.link))
	}
	next := f.link + nextSuffix
	if err := remove(next); err != nil {
		return err
	}
	if err := os.Symlink(target, next); err != nil {
		return err
	}
	if err := os.Rename(next, f.link); err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.link))
}

// Unfinished returns the change of a deploy that was cut off, nil if there is none.
func (f *Folder) Unfinished() (*Change, error) {
	text, err := os.ReadFile(f.path(journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c := &Change{f: f}
	if err := json.Unmarshal(text, &c.j); err != nil {
		return nil, fmt.Errorf("%s: %w: it says how to take an unfinished deploy back; set %s right by hand and remove it", f.path(journalName), err, f.link)
	}
	return c, nil
}

// Commit keeps the change.
func (c *Change) Commit() error {
	if err := remove(c.f.path(journalName)); err != nil {
		return err
	}
	if err := syncDir(c.f.dir); err != nil {
		return err
	}
	now := time.Now()
	os.Chtimes(c.f.path(c.j.To), now, now) // only Prune's order hangs on it
	if c.j.Settings == "" {
		return nil
	}
	return forget(c.j.Settings)
}

// Undo makes everything as it was before the change. It may be repeated.
func (c *Change) Undo() error {
	if err := c.f.point(c.j.From); err != nil {
		return fmt.Errorf("take the link back: %w", err)
	}
	if c.j.Settings != "" {
		if err := c.undoSettings(); err != nil {
			return fmt.Errorf("take settings back: %w", err)
		}
	}
	if err := remove(c.f.path(journalName)); err != nil {
		return err
	}
	return syncDir(c.f.dir)
}

// undoSettings leaves the file alone unless the journal says that it may have
// been replaced.
func (c *Change) undoSettings() error {
	if _, err := os.Lstat(c.f.path(journalName)); errors.Is(err, fs.ErrNotExist) {
		return forget(c.j.Settings)
	}
	return restore(c.j.Settings, c.j.Had)
}
