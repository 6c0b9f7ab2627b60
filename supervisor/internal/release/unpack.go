//go:build linux

package release

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits of an artifact, far above any release: they keep a wrong one from
// filling the disk of a machine that serves.
const (
	maxBytes   = 2 << 30
	maxEntries = 100_000
)

// Install makes a release of an artifact and reports whether it was not there
// yet. check sees its folder before it is one.
func (f *Folder) Install(a *Artifact, id string, check func(dir string) error) (fresh bool, err error) {
	if err := CheckID(id); err != nil {
		return false, err
	}
	if f.Has(id) {
		if !a.marks(f.path(id)) {
			return false, fmt.Errorf("release %s is there with other content: deploy this artifact under another name (--release)", id)
		}
		return false, nil
	}
	temp := f.path(newPrefix + id)
	if err := os.Mkdir(temp, 0o755); err != nil {
		return false, err
	}
	if err := f.fill(temp, a, check); err != nil {
		return false, errors.Join(err, os.RemoveAll(temp))
	}
	if err := os.Rename(temp, f.path(id)); err != nil {
		return false, errors.Join(err, os.RemoveAll(temp))
	}
	return true, syncDir(f.dir)
}

// fill puts into dir what becomes a release, on the disk for good.
func (f *Folder) fill(dir string, a *Artifact, check func(dir string) error) error {
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask: the service is another user
		return err
	}
	if err := a.unpack(dir); err != nil {
		return fmt.Errorf("unpack %s: %w", a.name, err)
	}
	if err := check(dir); err != nil {
		return err
	}
	if err := give(dir, f.dir); err != nil {
		return err
	}
	return syncAll(dir)
}

// syncAll waits until everything in the file system of dir is on its disk.
func syncAll(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("write to disk: %w", err)
	}
	return nil
}

// unpack writes the archive's files, folders and links into dir, and never
// outside.
func (a *Artifact) unpack(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	packed, err := gzip.NewReader(a.file)
	if err != nil {
		return err
	}
	u := unpacking{root: root, left: maxBytes}
	archive := tar.NewReader(packed)
	for range maxEntries {
		h, err := archive.Next()
		if err == io.EOF {
			return u.finish(a.mark())
		}
		if err != nil {
			return err
		}
		if err := u.entry(h, archive); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
	return fmt.Errorf("more than %d entries", maxEntries)
}

// unpacking is an archive on its way into a folder.
type unpacking struct {
	root  *os.Root
	left  int64 // bytes that may still come
	files int
}

// finish ends a release with its mark.
func (u *unpacking) finish(mark []byte) error {
	if u.files == 0 {
		return errors.New("has no files")
	}
	f, err := u.root.OpenFile(markName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(mark)
	return errors.Join(err, f.Close())
}

func (u *unpacking) entry(h *tar.Header, content io.Reader) error {
	name := filepath.Clean(h.Name)
	if !filepath.IsLocal(name) {
		return errors.New("leads out of the release")
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return u.folder(name)
	case tar.TypeReg:
		return u.file(name, h, content)
	case tar.TypeSymlink:
		return u.symlink(name, h.Linkname)
	default:
		return fmt.Errorf("is of type %q: only files, folders and symbolic links belong into a release", h.Typeflag)
	}
}

func (u *unpacking) folder(name string) error {
	if err := u.root.MkdirAll(name, 0o755); err != nil {
		return err
	}
	return u.root.Chmod(name, 0o755)
}

func (u *unpacking) file(name string, h *tar.Header, content io.Reader) error {
	if u.left -= h.Size; u.left < 0 {
		return fmt.Errorf("the release has more than %d bytes", int64(maxBytes))
	}
	if err := u.folder(filepath.Dir(name)); err != nil {
		return err
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(mode(h))
	}
	u.files++
	return errors.Join(err, f.Close())
}

// mode is what a file gets: of its own only whether it can be executed.
func mode(h *tar.Header) os.FileMode {
	if h.FileInfo().Mode()&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

func (u *unpacking) symlink(name, target string) error {
	if filepath.IsAbs(target) || !filepath.IsLocal(filepath.Join(filepath.Dir(name), target)) || strings.Contains(target, "\x00") {
		return fmt.Errorf("links to %q, out of the release", target)
	}
	if err := u.folder(filepath.Dir(name)); err != nil {
		return err
	}
	return u.root.Symlink(target, name)
}
