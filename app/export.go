//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/app/internal/archive"
)

func newExport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [FILE]",
		Short: "write everything that a store holds as JSON lines",
		Long: `Export writes rooms, events and sessions as JSON lines to FILE, or to standard
output, for app import to read. The chat may run meanwhile: what is posted after
the export began is not in it.

FILE must not exist; it is there only once it is complete. Who may read it may
read every conversation.

` + whichStore,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := readArchiveConfig(cmd.Flags())
			if err != nil {
				return err
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			p := newProgress("exported", cmd.ErrOrStderr())
			counts, err := exportTo(ctx, c, file(args), cmd.OutOrStdout(), p)
			return p.end(counts, err)
		},
	}
	addArchiveSettings(cmd.Flags())
	return cmd
}

// exportTo exports to a file, or to out if path is "".
func exportTo(ctx context.Context, c config, path string, out io.Writer, p *progress) (archive.Counts, error) {
	if path == "" && terminal(out) != nil {
		return archive.Counts{}, errors.New("standard output is a terminal: name a FILE or redirect it")
	}
	if err := mayMake(path); err != nil {
		return archive.Counts{}, err
	}
	store, err := c.source(ctx)
	if err != nil {
		return archive.Counts{}, err
	}
	var counts archive.Counts
	write := func(w io.Writer) error {
		counts, err = archive.Export(ctx, store, w, p.tell)
		if err == nil && counts == (archive.Counts{}) {
			err = errors.New("the store holds nothing: is it the right one?")
		}
		return err
	}
	if path == "" {
		err = write(out)
	} else {
		err = writeNew(path, write)
	}
	return counts, errors.Join(plainly(ctx, err), wrap("close store", store.Close()))
}

// mayMake refuses a path at which there is something: nothing is overwritten.
func mayMake(path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, fmt.Errorf("%s exists already: name another file", path))
	}
	return nil
}

// writeNew has write make a file that appears under its name once it is complete
// and on the disk. Only its owner may read it.
func writeNew(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s.part exists: it is of an export that was interrupted, or is under way: remove it", path)
	}
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return unix.Renameat2(unix.AT_FDCWD, f.Name(), unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
}
