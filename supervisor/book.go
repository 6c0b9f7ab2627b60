//go:build linux

package main

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/simpletalk/simpletalk/supervisor/internal/statedir"
	"github.com/simpletalk/simpletalk/supervisor/internal/supervise"
)

// restoreBook enters what a supervisor before this one knew of its deploys. A
// file that cannot be read costs the history and nothing else.
func restoreBook(b *supervise.Book, dir *statedir.Dir, log *slog.Logger) {
	text, err := dir.ReadDeploys()
	var entries []supervise.Entry
	if err == nil && text != nil {
		err = json.Unmarshal(text, &entries)
	}
	if err != nil {
		log.Warn("earlier deploys are not known", "err", err)
		return
	}
	b.Restore(entries)
}

// keepBook writes the book after every change until ctx ends, and then what is
// not written yet.
func keepBook(ctx context.Context, b *supervise.Book, dir *statedir.Dir, log *slog.Logger) {
	failed := false
	for done := false; !done; {
		changed := b.Changed()
		err := writeBook(b, dir)
		if err != nil && !failed {
			log.Warn("deploys not kept", "err", err)
		}
		failed = err != nil
		select {
		case <-changed:
		case <-ctx.Done():
			select {
			case <-changed: // once more
			default:
				done = true
			}
		}
	}
}

func writeBook(b *supervise.Book, dir *statedir.Dir) error {
	text, err := json.Marshal(b.Entries())
	if err != nil {
		return err
	}
	return dir.WriteDeploys(text)
}
