package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// What is put behind the name of the file.
const (
	oldSuffix  = ".old"
	newSuffix  = ".new"
	keptSuffix = oldSuffix + newSuffix
)

// write puts data in the place of the file at path. Its steps are one system
// call each, about, so that a test can cut it off after any of them.
type write struct {
	path string
	data []byte
	file *os.File // path.new while it is open
}

type step struct {
	name string
	do   func() error
}

// steps never leave path without a whole file once it has one: the file before
// gets its second name while it still has its first, and the new one is on the
// disk before it takes the first over.
func (w *write) steps() []step {
	return []step{
		{"folder", func() error { return makeDir(filepath.Dir(w.path)) }},
		{"clear", func() error { return sweep(w.path) }},
		{"create", w.create},
		{"write", func() error { _, err := w.file.Write(w.data); return err }},
		{"sync", func() error { return w.file.Sync() }},
		{"close", w.close},
		{"link", w.link},
		{"keep", w.keep},
		{"replace", func() error { return os.Rename(w.path+newSuffix, w.path) }},
		{"settle", w.settle},
	}
}

// run does the steps up to the first that fails, and then removes what they
// left. If that fails as well, it is for the same reason, and the next start or
// change sweeps again.
func (w *write) run(steps []step) error {
	for _, s := range steps {
		if err := s.do(); err != nil {
			_, _ = w.close(), sweep(w.path)
			return err
		}
	}
	return nil
}

func (w *write) create() (err error) {
	w.file, err = os.OpenFile(w.path+newSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return err
}

func (w *write) close() error {
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	return f.Close()
}

// link gives the file before a further name. Without one path.old stays.
func (w *write) link() error {
	err := regular(w.path)
	if err == nil {
		err = os.Link(w.path, w.path+keptSuffix)
	}
	return unlessMissing(err)
}

// keep makes the further name path.old. After a cut-off change both may name
// the same file already; rename(2) then does nothing, and the name is left.
func (w *write) keep() error {
	if err := os.Rename(w.path+keptSuffix, w.path+oldSuffix); err != nil {
		return unlessMissing(err)
	}
	return remove(w.path + keptSuffix)
}

// settle makes the new names durable, or else takes them back: whoever is told
// that the change was refused must not find it after a restart.
func (w *write) settle() error {
	if err := syncDir(filepath.Dir(w.path)); err != nil {
		return errors.Join(err, w.takeBack())
	}
	return nil
}

func (w *write) takeBack() error {
	err := os.Rename(w.path+oldSuffix, w.path)
	if errors.Is(err, fs.ErrNotExist) { // there was no file before
		return remove(w.path)
	}
	return err
}

// sweep removes what a change that was cut off left behind.
func sweep(path string) error {
	if err := remove(path + newSuffix); err != nil {
		return err
	}
	return remove(path + keptSuffix)
}

func remove(path string) error { return unlessMissing(os.Remove(path)) }

func unlessMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// regular refuses a symbolic link, a folder, a pipe.
func regular(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	return err
}

// makeDir is os.MkdirAll with mode 0700 that makes the folders durable, too.
func makeDir(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return syncDir(parent)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
