package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	driver "modernc.org/sqlite"
	code "modernc.org/sqlite/lib"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// fault says what an error of the driver or the system means to a caller: it
// wraps one of package chat's errors unless the call itself was wrong.
//
// A failed write on a full disk is ErrFull only where nothing can have been
// stored. After a failed fsync the commit may still be in the file.
func (d directory) fault(err error) error {
	var result *driver.Error
	switch {
	case err == nil, known(err):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return d.full()
	case !errors.As(err, &result):
		return fmt.Errorf("%s: %w: %w", d.path, chat.ErrUnavailable, err)
	}
	switch full := result.Code(); full & 0xff {
	case code.SQLITE_FULL:
		return d.full()
	case code.SQLITE_CORRUPT, code.SQLITE_NOTADB:
		return d.damaged(result)
	case code.SQLITE_IOERR, code.SQLITE_CANTOPEN:
		return d.ioFault(full, result)
	case code.SQLITE_ERROR, code.SQLITE_MISUSE, code.SQLITE_CONSTRAINT, code.SQLITE_TOOBIG, code.SQLITE_RANGE, code.SQLITE_MISMATCH:
		return fmt.Errorf("%s: %w", d.database(), oneLine{result})
	default:
		return fmt.Errorf("%s: %w: %w", d.database(), chat.ErrUnavailable, oneLine{result})
	}
}

// known tells errors that a caller can branch on already.
func known(err error) bool {
	for _, k := range []error{chat.ErrUnavailable, chat.ErrFull, chat.ErrCorrupt, chat.ErrNotFound, chat.ErrConflict, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

// ioFault: SQLite keeps no errno, so whether the disk is full is asked anew.
func (d directory) ioFault(full int, err error) error {
	switch {
	case full == code.SQLITE_IOERR_CORRUPTFS, full == code.SQLITE_IOERR_DATA:
		return d.damaged(err)
	case full == code.SQLITE_IOERR_FSYNC, full == code.SQLITE_IOERR_DIR_FSYNC:
	case errors.Is(d.roomLeft(), chat.ErrFull):
		return d.full()
	}
	return fmt.Errorf("%s: %w: %w", d.database(), chat.ErrUnavailable, oneLine{err})
}

func (d directory) full() error {
	return fmt.Errorf("%s: %w: free some space", d.path, chat.ErrFull)
}

func (d directory) damaged(err error) error {
	return fmt.Errorf("%s: %w (%w); it is left as it is: move it away or restore a copy", d.database(), chat.ErrCorrupt, oneLine{err})
}

// oneLine shows an error of SQLite, which may quote SQL, on one line.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e oneLine) Unwrap() error { return e.error }

// minRoom is how much space, in bytes, a disk must have left to count as one
// that can be written: a batch and what the log grows by.
const minRoom = 1 << 20

// roomLeft wraps chat.ErrFull if the disk has less than minRoom left, as far as
// the file system tells.
func (d directory) roomLeft() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(d.path, &fs); err != nil || fs.Blocks == 0 {
		return nil // some file systems do not count
	}
	free := fs.Bavail
	if unix.Geteuid() == 0 {
		free = fs.Bfree
	}
	if free*uint64(fs.Bsize) < minRoom {
		return d.full()
	}
	return nil
}
