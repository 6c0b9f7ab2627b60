package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// pageSize is how many events are read or restored at once.
const pageSize = 500

// Progress is told now and then how many events of how many are done. It is
// called by the goroutine that works.
type Progress func(done, of int64)

// Export writes everything that a store holds, and tells how much that is. On
// an error what was written is not complete, and says so by lacking its end.
func Export(ctx context.Context, s chat.Archive, w io.Writer, progress Progress) (Counts, error) {
	rooms, err := s.Rooms(ctx)
	if err != nil {
		return Counts{}, fmt.Errorf("list rooms: %w", err)
	}
	e := newExporter(s, w, progress)
	for _, r := range rooms {
		e.total += r.Head
	}
	e.write(logLine{T: kindLog, Version: version, Epoch: s.Epoch(), Rooms: int64(len(rooms)), Events: e.total})
	for _, r := range rooms {
		if err := e.room(ctx, r); err != nil {
			return Counts{}, err
		}
	}
	err = s.EachAccount(ctx, func(account chat.Account) error {
		e.counts.Accounts++
		return e.write(lineOfAccount(account))
	})
	if err != nil {
		return Counts{}, err
	}
	err = s.EachSession(ctx, func(session chat.Session) error {
		e.counts.Sessions++
		return e.write(lineOfSession(session))
	})
	if err != nil {
		return Counts{}, err
	}
	return e.counts, e.end()
}

// exporter writes lines and counts them. Its first error of writing stays.
type exporter struct {
	store    chat.Archive
	lines    *json.Encoder
	buffer   *bufio.Writer
	digest   hash.Hash
	progress Progress
	counts   Counts
	total    int64 // events that are expected
}

func newExporter(s chat.Archive, w io.Writer, progress Progress) *exporter {
	e := &exporter{store: s, buffer: bufio.NewWriterSize(w, 1<<16), digest: sha256.New(), progress: progress}
	e.lines = json.NewEncoder(io.MultiWriter(e.buffer, e.digest))
	e.lines.SetEscapeHTML(false)
	return e
}

func (e *exporter) write(line any) error {
	if err := e.lines.Encode(line); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// room writes a room up to the head it had.
func (e *exporter) room(ctx context.Context, r chat.RoomHead) error {
	for seq := int64(0); seq < r.Head; {
		page, err := e.store.After(ctx, r.Room, seq, int(min(pageSize, r.Head-seq)))
		if err != nil {
			return fmt.Errorf("room %s: %w", r.Room, err)
		}
		if err := e.page(r.Room, seq, page); err != nil {
			return err
		}
		seq += int64(len(page))
		e.progress(e.counts.Events, e.total)
	}
	e.counts.Rooms++
	return nil
}

// page checks what the whole stream promises: nothing is missing.
func (e *exporter) page(room string, seq int64, page []chat.Event) error {
	if len(page) == 0 {
		return fmt.Errorf("room %s ends at %d, which is before its head: %w", room, seq, chat.ErrCorrupt)
	}
	for _, event := range page {
		if seq++; event.Seq != seq {
			return fmt.Errorf("room %s has no event %d: %w", room, seq, chat.ErrCorrupt)
		}
		line, err := lineOf(event)
		if err != nil {
			return err
		}
		if err := e.write(line); err != nil {
			return err
		}
		e.counts.Events++
	}
	return nil
}

func (e *exporter) end() error {
	sum := hex.EncodeToString(e.digest.Sum(nil))
	if err := e.write(endLine{T: kindEnd, Counts: e.counts, SHA256: sum}); err != nil {
		return err
	}
	if err := e.buffer.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
