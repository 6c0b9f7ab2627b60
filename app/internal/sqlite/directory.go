package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// directory is the data directory, by its absolute path.
//
// It never opens the database file where it exists: closing any descriptor of
// it would drop the locks that SQLite holds in this process (fcntl locks).
type directory struct{ path string }

func (d directory) database() string { return filepath.Join(d.path, "simpletalk.db") }
func (d directory) lock() string     { return filepath.Join(d.path, "simpletalk.lock") }

// makeDirectory makes the data directory where it is missing. Its errors say
// what would be right.
func makeDirectory(path string) (directory, error) {
	if path == "" {
		return directory{}, errors.New("the data directory has no name: give one")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return directory{}, fmt.Errorf("data directory %s: %w", path, err)
	}
	d := directory{abs}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return d, d.unusable(err)
	}
	return d, nil
}

// unusable explains why the directory or its lock file cannot be made or opened.
func (d directory) unusable(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
		if at.Path != d.lock() {
			d.path = at.Path // perhaps a parent that is in the way
		}
	}
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("data directory %s: it is a file: give a directory", d.path)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return d.fault(err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("data directory %s: user %d may not write there: give a directory of that user", d.path, os.Geteuid())
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("data directory %s: the file system is read-only: give a directory that can be written", d.path)
	default:
		return fmt.Errorf("data directory %s: %w: give a directory that can be made and written", d.path, err)
	}
}

// prepare makes the database file, for its owner only, where it is missing.
// The caller holds the lock. A log without its database, or beside an empty
// one, holds what was stored: SQLite would delete it, so it counts as damage.
func (d directory) prepare() error {
	db, err := os.Stat(d.database())
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		return d.unusable(err)
	case !missing && !db.Mode().IsRegular():
		return fmt.Errorf("%s: it is not a file: move it away", d.database())
	case !missing && db.Size() > 0:
		return d.ours()
	}
	if wal, err := os.Stat(d.database() + "-wal"); err == nil && wal.Size() > 0 {
		return d.damaged(errors.New("only its write-ahead log is there"))
	}
	if !missing {
		return nil
	}
	f, err := os.OpenFile(d.database(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return d.unusable(err)
	}
	return f.Close()
}

// ours tells whether this user may write what is there: files that somebody
// else made, by a start by hand as root perhaps, would fail later and obscurely.
func (d directory) ours() error {
	for _, path := range []string{d.database(), d.database() + "-wal", d.database() + "-shm"} {
		err := access(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return d.unusable(err)
		}
	}
	return nil
}

// writable tells whether the directory could be written now, without writing.
func (d directory) writable() error {
	for _, path := range []string{d.path, d.database()} {
		if err := access(path); err != nil {
			return fmt.Errorf("%w: %w", chat.ErrUnavailable, err)
		}
	}
	return d.roomLeft()
}

// access tells whether this user may write path.
func access(path string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

// uri names the database to the driver, escaped, with what the connection is
// to be set to. What a connection sorts stays in memory: under a supervisor the
// temporary directory may vanish.
func (d directory) uri(busy time.Duration, set url.Values) string {
	set.Add("_busy_timeout", strconv.FormatInt(busy.Milliseconds(), 10))
	set.Add("_pragma", "temp_store(MEMORY)")
	set.Add("_dqs", "0")
	set.Add("_error_rc", "1")
	u := url.URL{Scheme: "file", Path: d.database(), RawQuery: set.Encode()}
	return u.String()
}
