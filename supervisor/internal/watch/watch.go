package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Watcher says what is watched. All but Ignore must be given.
type Watcher struct {
	Roots  []string      // files and folders, these with all that is below
	Ignore []string      // patterns of [filepath.Match] for a name, or for a path from its root
	Settle time.Duration // how long nothing must have changed until it is told
}

// defaultIgnore are names that no build reads: hidden ones, what editors leave
// beside a file, and other people's code.
var defaultIgnore = []string{".*", "*~", "*.swp", "*.tmp", "4913", "node_modules"}

// Check reports what is wrong with the patterns.
func (w Watcher) Check() error {
	for _, p := range w.Ignore {
		if _, err := filepath.Match(p, ""); err != nil {
			return fmt.Errorf("pattern %q: %w", p, err)
		}
	}
	return nil
}

// Run calls began when all is watched, then changed with the paths of every burst
// of changes, sorted, until ctx ends. Both are called by one goroutine, and bursts
// that come meanwhile wait.
func (w Watcher) Run(ctx context.Context, began func(), changed func(paths []string)) error {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	defer n.Close()
	r := &run{w, n, map[string]bool{}}
	for _, root := range w.Roots {
		if err := r.add(root, root); err != nil {
			return err
		}
	}
	clear(r.burst) // what was there before is no change
	began()
	settled := time.NewTimer(time.Hour)
	settled.Stop()
	for {
		select {
		case e := <-n.Events:
			err = r.event(e)
		case failed := <-n.Errors:
			err = r.failed(failed)
		case <-settled.C:
			paths := r.paths()
			clear(r.burst)
			changed(paths)
			continue
		case <-ctx.Done():
			return nil
		}
		if err != nil {
			return err
		}
		if len(r.burst) > 0 {
			settled.Reset(w.Settle)
		}
	}
}

// run is one run of a Watcher.
type run struct {
	Watcher
	notify *fsnotify.Watcher
	burst  map[string]bool // paths that have changed
}

func (r *run) paths() []string {
	var all []string
	for p := range r.burst {
		all = append(all, p)
	}
	slices.Sort(all)
	return all
}

// add watches path, which is below root or root itself, and all that is below it.
// Files in it count as changed.
func (r *run) add(root, path string) error {
	return filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && p != root:
			return nil // it has gone again
		case err != nil:
			return err
		case p != root && r.ignores(root, p) && d.IsDir():
			return filepath.SkipDir
		case p != root && r.ignores(root, p):
			return nil
		case !d.IsDir():
			r.burst[p] = true
			if p != root {
				return nil
			}
		}
		return explained(p, r.notify.Add(p))
	})
}

// explained says what the kernel means by its error of a watch.
func explained(path string, err error) error {
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("watch %s: the limit of watched folders is reached: raise fs.inotify.max_user_watches, or ignore more", path)
	}
	return fmt.Errorf("watch %s: %w", path, err)
}

func (r *run) event(e fsnotify.Event) error {
	root := r.root(e.Name)
	if e.Name == "" || e.Op == fsnotify.Chmod || e.Name != root && r.ignores(root, e.Name) {
		return nil
	}
	r.burst[e.Name] = true
	if e.Has(fsnotify.Create) {
		return r.add(root, e.Name)
	}
	return nil
}

// failed takes an error of the watch itself.
func (r *run) failed(err error) error {
	if errors.Is(err, fsnotify.ErrEventOverflow) {
		r.burst["more than the kernel could tell"] = true
		return nil
	}
	return fmt.Errorf("watch: %w", err)
}

// root is the one of the roots that path is below.
func (r *run) root(path string) string {
	best := ""
	for _, root := range r.Roots {
		clean := filepath.Clean(root)
		if (path == clean || clean == "." || strings.HasPrefix(path, clean+string(filepath.Separator))) && len(root) > len(best) {
			best = root
		}
	}
	return best
}

// ignores reports whether path, or a folder on the way to it from root, is left
// out.
func (r *run) ignores(root, path string) bool {
	rel, err := filepath.Rel(root, path)
	if err != nil || rel == "." {
		return false
	}
	patterns := append(slices.Clone(defaultIgnore), r.Ignore...)
	for at := rel; at != "."; at = filepath.Dir(at) {
		for _, p := range patterns {
			name, _ := filepath.Match(p, filepath.Base(at))
			whole, _ := filepath.Match(p, at)
			if name || whole {
				return true
			}
		}
	}
	return false
}
