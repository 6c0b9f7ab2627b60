//go:build linux

package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Names in the folder that are no releases begin with a dot.
const (
	journalName = ".journal"
	newPrefix   = ".new-" // a release that is being unpacked
	oldPrefix   = ".old-" // one that is being removed
)

// ErrBusy says that another deploy is under way.
var ErrBusy = errors.New("another deploy is under way")

// Folder is the releases of a machine, while this process may change them. It is
// for one goroutine.
type Folder struct {
	dir  string
	link string   // path of the link to the current release
	lock *os.File // the folder itself
}

// Open takes the folder at dir, which it makes if need be, until Close. link is
// the path of the link to the current release; its own folder must be there. If
// another process has the folder the error wraps [ErrBusy].
func Open(dir, link string) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if link, err = filepath.Abs(link); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder of releases: %w", err)
	}
	lock, err := takeLock(dir)
	if err != nil {
		return nil, err
	}
	f := &Folder{dir, link, lock}
	if err := f.sweep(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// takeLock locks the folder itself: a file in it would be one more that belongs to
// whoever came first.
func takeLock(dir string) (*os.File, error) {
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("folder of releases: %w", err)
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%w in %s: wait for its verdict", ErrBusy, dir)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// Close gives the folder to the next deploy.
func (f *Folder) Close() error { return f.lock.Close() }

// sweep removes what a deploy that was cut off had not finished unpacking or
// removing.
func (f *Folder) sweep() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), newPrefix) || strings.HasPrefix(e.Name(), oldPrefix) {
			if err := os.RemoveAll(f.path(e.Name())); err != nil {
				return fmt.Errorf("remove what an earlier deploy left: %w", err)
			}
		}
	}
	return nil
}

func (f *Folder) path(name string) string { return filepath.Join(f.dir, name) }

// Path is the folder of a release.
func (f *Folder) Path(id string) string { return f.path(id) }

// Current is the release that the link names: "" if there is no link, or it names
// something outside the folder.
func (f *Folder) Current() (string, error) {
	target, err := f.target()
	if err != nil || target == "" {
		return "", err
	}
	return f.release(target), nil
}

// release is the release that a link's target names, "" if none.
func (f *Folder) release(target string) string {
	if target == "" {
		return ""
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(f.link), target)
	}
	if id, err := filepath.Rel(f.dir, target); err == nil && CheckID(id) == nil {
		return id
	}
	return ""
}

// target is what the link says, "" if there is none.
func (f *Folder) target() (string, error) {
	target, err := os.Readlink(f.link)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case errors.Is(err, unix.EINVAL):
		return "", fmt.Errorf("%s is no symbolic link: move it away, a deploy makes one there", f.link)
	}
	return target, err
}

// Release is one that is installed.
type Release struct {
	ID  string
	At  time.Time // when it was accepted last, else installed
	Own bool      // installed by [Folder.Install], and so removed by [Folder.Prune]
}

// Installed returns the releases in a folder, the latest first.
func Installed(dir string) ([]Release, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []Release
	for _, e := range entries {
		if !e.IsDir() || CheckID(e.Name()) != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		_, err = os.Lstat(filepath.Join(dir, e.Name(), markName))
		all = append(all, Release{e.Name(), info.ModTime(), err == nil})
	}
	slices.SortStableFunc(all, func(a, b Release) int { return b.At.Compare(a.At) })
	return all, nil
}

// Has tells whether a release is installed.
func (f *Folder) Has(id string) bool {
	info, err := os.Stat(f.path(id))
	return CheckID(id) == nil && err == nil && info.IsDir()
}

// Prune removes all but the latest keep releases, of which the current one and
// those that are named are always some, and returns what it has removed.
func (f *Folder) Prune(keep int, also ...string) (removed []string, err error) {
	all, err := Installed(f.dir)
	if err != nil {
		return nil, err
	}
	current, err := f.Current()
	if err != nil {
		return nil, err
	}
	for _, id := range surplus(all, keep, append(also, current)) {
		if err := f.Remove(id); err != nil {
			return removed, err
		}
		removed = append(removed, id)
	}
	return removed, nil
}

// surplus are the releases of all, the latest first, that are too many.
func surplus(all []Release, keep int, kept []string) (ids []string) {
	keep -= len(slices.DeleteFunc(slices.Clone(all), func(r Release) bool { return !slices.Contains(kept, r.ID) }))
	for _, r := range all {
		switch {
		case slices.Contains(kept, r.ID):
		case keep > 0:
			keep--
		case r.Own:
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// Remove removes a release. Workers that run from it go on: their executables are
// held open.
func (f *Folder) Remove(id string) error {
	old := f.path(oldPrefix + id)
	if err := os.Rename(f.path(id), old); err != nil {
		return fmt.Errorf("remove release: %w", err)
	}
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("remove release: %w", err)
	}
	return nil
}

// give makes what root writes into somebody's folder that one's: root's deploys and
// his own must not be in each other's way.
func give(path, folder string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var owner unix.Stat_t
	if err := unix.Stat(folder, &owner); err != nil || owner.Uid == 0 {
		return err
	}
	return filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return unix.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
}

// idRule is what CheckID asks for.
const idRule = "1 to 128 letters, digits and '.', '_', '-', the first of them a letter or a digit"

// CheckID says what is wrong with the name of a release.
func CheckID(id string) error {
	for i, c := range id {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && strings.ContainsRune("._-", c):
		default:
			return fmt.Errorf("release %q must have %s", id, idRule)
		}
	}
	if id == "" || len(id) > 128 {
		return fmt.Errorf("release %q must have %s", id, idRule)
	}
	return nil
}

// syncDir makes the names in a folder durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
