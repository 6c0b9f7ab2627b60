//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/simpletalk/simpletalk/app/internal/archive"
	"github.com/simpletalk/simpletalk/app/internal/chat"
)

func newImport() *cobra.Command {
	var existing bool
	cmd := &cobra.Command{
		Use:   "import [FILE]",
		Short: "read into a store what app export wrote",
		Long: `Import reads JSON lines from FILE, or from standard input, into a store, and
checks that all of them arrived. Events keep their numbers and times, people
their sessions, clients their places.

Nothing else may write to the store meanwhile: start the chat afterwards. A store
that holds something is refused. With --existing what it holds stays, and must be
the same where the export has something in its place: so can an import that was
interrupted be gone on with.

` + whichStore,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := readArchiveConfig(cmd.Flags())
			if err != nil {
				return err
			}
			into := archive.Empty
			if existing {
				into = archive.Existing
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			p := newProgress("imported", cmd.ErrOrStderr())
			counts, err := importFrom(ctx, c, file(args), cmd.InOrStdin(), into, p)
			return p.end(counts, err)
		},
	}
	addArchiveSettings(cmd.Flags())
	cmd.Flags().BoolVar(&existing, "existing", false, "into a store that holds something")
	return cmd
}

// importFrom imports a file, or in if path is "".
func importFrom(ctx context.Context, c config, path string, in io.Reader, into archive.Into, p *progress) (archive.Counts, error) {
	if path != "" {
		f, err := os.Open(path)
		if err != nil {
			return archive.Counts{}, err
		}
		defer f.Close()
		in = f
	}
	store, err := c.target(ctx)
	if err != nil {
		return archive.Counts{}, err
	}
	counts, err := archive.Import(ctx, in, store, into, p.tell)
	err = plainly(ctx, err)
	switch {
	case errors.Is(err, archive.ErrNotEmpty):
		err = fmt.Errorf("%w: import into another one, or with --existing", err)
	case err != nil && counts.Events > 0 && !errors.Is(err, chat.ErrConflict):
		err = fmt.Errorf("%w; the store holds a part of the export: import again with --existing", err)
	}
	return counts, errors.Join(err, wrap("close store", store.Close()))
}
