//go:build linux

package release

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// What is put behind the name of a settings file while it is being changed.
const (
	nextSuffix   = ".new"
	beforeSuffix = ".before"
)

// settingsMode lets the file's group read, which is that of a folder with the
// setgid bit: the deploying user writes what the service alone may read.
const settingsMode = 0o640

// Settings is a file that a change writes, such as a program's environment. The
// zero value is none.
type Settings struct {
	Path    string // absolute
	Content []byte
}

// Due tells whether the file has other content than it should.
func (s Settings) Due() (bool, error) {
	if s.Path == "" {
		return false, nil
	}
	there, err := os.ReadFile(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("settings: %w", err)
	}
	return !bytes.Equal(there, s.Content), nil
}

// stage writes the content beside the file.
func (s Settings) stage() error {
	next := s.Path + nextSuffix
	if err := remove(next); err != nil {
		return err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, settingsMode)
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	_, err = f.Write(s.Content)
	if err == nil {
		err = f.Chmod(settingsMode) // whatever the umask
	}
	if err == nil {
		err = s.hand(f)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// hand gives a file that root has written to the owner of the folder. Its group is
// as the folder says.
func (s Settings) hand(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var folder unix.Stat_t
	if err := unix.Stat(filepath.Dir(s.Path), &folder); err != nil {
		return err
	}
	return f.Chown(int(folder.Uid), -1)
}

// keep gives the file that is there a second name, under which it is found again.
func (s Settings) keep() error {
	if err := remove(s.Path + beforeSuffix); err != nil {
		return err
	}
	if err := unlessMissing(os.Link(s.Path, s.Path+beforeSuffix)); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.Path))
}

// replace puts what was staged in the file's place.
func (s Settings) replace() error {
	if err := os.Rename(s.Path+nextSuffix, s.Path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(s.Path))
}

// restore brings the file before back, or removes the new one if there was none.
// Done twice it does nothing.
func restore(path string, had bool) error {
	if err := remove(path + nextSuffix); err != nil {
		return err
	}
	if had {
		if err := unlessMissing(os.Rename(path+beforeSuffix, path)); err != nil {
			return err
		}
		// rename(2) does nothing to two names of one file.
		if err := remove(path + beforeSuffix); err != nil {
			return err
		}
	} else if err := remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// forget removes what a change kept.
func forget(path string) error {
	return errors.Join(remove(path+beforeSuffix), remove(path+nextSuffix))
}

func remove(path string) error { return unlessMissing(os.Remove(path)) }

func unlessMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// replaceFile writes a file whole or not at all, for good.
func replaceFile(path string, content []byte) error {
	if err := remove(path + nextSuffix); err != nil {
		return err
	}
	f, err := os.OpenFile(path+nextSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+nextSuffix, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
