package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// File is one that is written.
type File struct {
	Path    string // absolute
	Mode    fs.FileMode
	Content []byte

	// Settings belong to the operator once they are there: they are written only
	// where there is no file, and removed only as they were written.
	Settings bool
}

// Plan is what makes a service, and what unmakes it.
type Plan struct {
	Files  []File
	Do     [][]string // commands, after the files are written
	Undo   [][]string // commands, before the files are removed
	Undone [][]string // commands, after that
	Data   []string   // folders that stay
}

// Machine is where a plan is done.
type Machine struct {
	Root string                                          // in front of every path; "" for the machine itself
	Run  func(ctx context.Context, args ...string) error // runs a command
	Out  io.Writer                                       // is told what is done
}

// Mark is in every file of a plan that is not settings, so that a file of the
// same name that is not ours is left alone.
const Mark = "Made by 'supervisor startup'"

// Print shows what a plan would do.
func (p Plan) Print(w io.Writer) error {
	var b bytes.Buffer
	for _, f := range p.Files {
		fmt.Fprintf(&b, "# %s (mode %04o)\n%s\n", f.Path, f.Mode, f.Content)
	}
	for _, c := range p.Do {
		fmt.Fprintf(&b, "$ %s\n", strings.Join(c, " "))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Apply does a plan.
func (m Machine) Apply(ctx context.Context, p Plan) error {
	for _, f := range p.Files { // all of them are looked at before the first is written
		if _, err := m.due(f); err != nil {
			return err
		}
	}
	for _, f := range p.Files {
		if err := m.write(f); err != nil {
			return err
		}
	}
	return m.runAll(ctx, p.Do)
}

// due tells whether a file is to be written, or why it must not be.
func (m Machine) due(f File) (bool, error) {
	there, err := os.ReadFile(m.path(f.Path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, err
	case f.Settings || bytes.Equal(there, f.Content):
		return false, nil
	case !bytes.Contains(there, []byte(Mark)):
		return false, fmt.Errorf("%s is there and was not made by 'supervisor startup': move it away first", f.Path)
	}
	return true, nil
}

func (m Machine) path(p string) string { return filepath.Join(m.Root, p) }

func (m Machine) write(f File) error {
	due, err := m.due(f)
	if err != nil {
		return err
	}
	if !due {
		m.say("kept     %s", f.Path)
		return nil
	}
	path := m.path(f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := replace(path, f.Content, f.Mode); err != nil {
		return err
	}
	m.say("wrote    %s", f.Path)
	return nil
}

// replace writes a file whole or not at all.
func replace(path string, content []byte, mode fs.FileMode) error {
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	if err == nil {
		err = temp.Chmod(mode)
	}
	if err == nil {
		err = temp.Sync()
	}
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		os.Remove(temp.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Revert undoes a plan, as far as it was done.
func (m Machine) Revert(ctx context.Context, p Plan) error {
	for _, c := range p.Undo {
		if err := m.Run(ctx, c...); err != nil {
			m.say("skipped  %s: %v", strings.Join(c, " "), err) // it was not there
			continue
		}
		m.say("ran      %s", strings.Join(c, " "))
	}
	for _, f := range slices.Backward(p.Files) {
		if err := m.remove(f); err != nil {
			return err
		}
	}
	if err := m.runAll(ctx, p.Undone); err != nil {
		return err
	}
	for _, d := range p.Data {
		if _, err := os.Stat(m.path(d)); err == nil {
			m.say("left     %s: it holds data", d)
		}
	}
	return nil
}

func (m Machine) remove(f File) error {
	path := m.path(f.Path)
	there, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case f.Settings && !bytes.Equal(there, f.Content):
		m.say("left     %s: it was changed", f.Path)
		return nil
	case !f.Settings && !bytes.Contains(there, []byte(Mark)):
		m.say("left     %s: it is not ours", f.Path)
		return nil
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	os.Remove(filepath.Dir(path)) // a folder of ours is empty now, any other is not
	m.say("removed  %s", f.Path)
	return nil
}

func (m Machine) runAll(ctx context.Context, commands [][]string) error {
	for _, c := range commands {
		if err := m.Run(ctx, c...); err != nil {
			return err
		}
		m.say("ran      %s", strings.Join(c, " "))
	}
	return nil
}

func (m Machine) say(format string, args ...any) { fmt.Fprintf(m.Out, format+"\n", args...) }

// Command runs a command of this machine. Its error is what the command said.
func Command(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
