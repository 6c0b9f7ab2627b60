package archive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// maxLine bounds a line, in bytes: a text of 16 KiB may need six times as much
// in JSON, and a store may hold longer ones.
const maxLine = 16 << 20

// Into is what a stream is imported into.
type Into uint8

const (
	// Empty: a database without events and sessions, else it is refused.
	Empty Into = iota
	// Existing: one that may hold something. It stays, and where the stream has
	// the same event there must be no other. The epoch stays too, unless there
	// is no event.
	Existing
)

// ErrNotEmpty: the database holds something already.
var ErrNotEmpty = errors.New("the database is not empty")

// Import reads a stream into a store and tells how much was in it. Its errors
// name the line. When it ends early, what was read until then is stored, and the
// same stream can be imported again into the [Existing] database.
func Import(ctx context.Context, r io.Reader, s chat.Archive, into Into, progress Progress) (Counts, error) {
	i := &importer{store: s, lines: bufio.NewReaderSize(r, 1<<16), digest: sha256.New(), progress: progress, heads: map[string]int64{}}
	first, err := i.begin()
	if err != nil {
		return i.counts, i.at(err)
	}
	if err := i.prepare(ctx, into, first); err != nil {
		return i.counts, err
	}
	if err := i.read(ctx); err != nil {
		return i.counts, i.at(err)
	}
	return i.counts, i.verify(ctx)
}

type importer struct {
	store    chat.Archive
	lines    *bufio.Reader
	digest   hash.Hash // of all lines before the one at hand
	number   int64     // of the line at hand
	progress Progress
	total    int64 // events that are expected
	counts   Counts
	batch    []chat.Event
	heads    map[string]int64 // of the rooms in the stream
}

// at says where in the stream something is wrong.
func (i *importer) at(err error) error { return fmt.Errorf("line %d: %w", i.number, err) }

// errCut is a stream that ends before its last line.
var errCut = errors.New("the export ends here, but is not complete: export again")

// begin reads the first line.
func (i *importer) begin() (first logLine, err error) {
	raw, err := i.next()
	if err != nil {
		return first, err
	}
	if err := json.Unmarshal(raw, &first); err != nil || first.T != kindLog || first.Epoch == "" {
		return first, errors.New("this is no export of a chat: it must begin with a line of type log")
	}
	if first.Version < versionPosts || first.Version > version {
		return first, fmt.Errorf("the export is of version %d, this build reads up to %d: use the build that wrote it, or a newer one", first.Version, version)
	}
	i.total = first.Events
	i.digest.Write(raw)
	return first, nil
}

// next reads a line, without its end.
func (i *importer) next() ([]byte, error) {
	i.number++
	var line []byte
	for {
		part, err := i.lines.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return nil, fmt.Errorf("the line is longer than %d MiB", maxLine>>20)
		case err == nil:
			return line, nil
		case errors.Is(err, io.EOF):
			return nil, errCut
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("read: %w", err)
		}
	}
}

// prepare looks at what the database holds and gives an empty one the stream's
// epoch, so that clients find their cursors valid.
func (i *importer) prepare(ctx context.Context, into Into, first logLine) error {
	err := wantEmpty(ctx, i.store)
	if errors.Is(err, ErrNotEmpty) && into == Existing {
		err = nil
	}
	if err != nil {
		return err
	}
	err = i.store.Adopt(ctx, first.Epoch)
	if errors.Is(err, chat.ErrConflict) && into == Existing {
		return nil
	}
	return err
}

func wantEmpty(ctx context.Context, s chat.Archive) error {
	rooms, err := s.Rooms(ctx)
	if err != nil {
		return err
	}
	if len(rooms) > 0 {
		return fmt.Errorf("%w: it has %d rooms", ErrNotEmpty, len(rooms))
	}
	err = s.EachAccount(ctx, func(chat.Account) error { return fmt.Errorf("%w: it has accounts", ErrNotEmpty) })
	if err != nil {
		return err
	}
	return s.EachSession(ctx, func(chat.Session) error { return fmt.Errorf("%w: it has sessions", ErrNotEmpty) })
}

// read takes in every line up to the last.
func (i *importer) read(ctx context.Context) error {
	for {
		raw, err := i.next()
		if err != nil {
			return err
		}
		end, err := i.take(ctx, raw)
		if err != nil {
			return err
		}
		if end != nil {
			return i.end(ctx, *end)
		}
		i.digest.Write(raw)
	}
}

// take stores what a line says. It returns the last line.
func (i *importer) take(ctx context.Context, raw []byte) (*endLine, error) {
	var kind struct {
		T string `json:"t"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	switch kind.T {
	case kindEvent:
		return nil, i.event(ctx, raw)
	case kindSession:
		return nil, i.session(ctx, raw)
	case kindAccount:
		return nil, i.account(ctx, raw)
	case kindEnd:
		var end endLine
		if err := json.Unmarshal(raw, &end); err != nil {
			return nil, err
		}
		return &end, nil
	default:
		return nil, fmt.Errorf("type %q is not one of an export: event, session, account or end must follow", kind.T)
	}
}

func (i *importer) event(ctx context.Context, raw []byte) error {
	var line eventLine
	if err := json.Unmarshal(raw, &line); err != nil {
		return err
	}
	if line.Room == "" || line.Seq != i.heads[line.Room]+1 {
		return fmt.Errorf("event %d of room %q is out of place: event %d must follow", line.Seq, line.Room, i.heads[line.Room]+1)
	}
	i.heads[line.Room] = line.Seq
	i.counts.Rooms = int64(len(i.heads))
	i.counts.Events++
	i.batch = append(i.batch, line.event())
	if len(i.batch) < pageSize {
		return nil
	}
	return i.flush(ctx)
}

// flush stores the batch.
func (i *importer) flush(ctx context.Context) error {
	if err := persist(ctx, func() error { return i.store.Restore(ctx, i.batch) }); err != nil {
		return err
	}
	clear(i.batch)
	i.batch = i.batch[:0]
	i.progress(i.counts.Events, i.total)
	return nil
}

func (i *importer) session(ctx context.Context, raw []byte) error {
	var line sessionLine
	if err := json.Unmarshal(raw, &line); err != nil {
		return err
	}
	session, err := line.session()
	if err != nil {
		return err
	}
	i.counts.Sessions++
	return persist(ctx, func() error { return i.store.PutSession(ctx, session) })
}

func (i *importer) account(ctx context.Context, raw []byte) error {
	var line accountLine
	if err := json.Unmarshal(raw, &line); err != nil {
		return err
	}
	if line.User == "" {
		return errors.New("an account must say whose it is")
	}
	i.counts.Accounts++
	return persist(ctx, func() error {
		_, err := i.store.EditAccount(ctx, line.User, func(a *chat.Account) error { *a = line.account(); return nil })
		return err
	})
}

// How long a store that is away is waited for, and how often it is asked.
const (
	awayLimit = 30 * time.Second
	awayRetry = 500 * time.Millisecond
)

// persist does again what a store could not answer: all that an import does may
// be repeated.
func persist(ctx context.Context, do func() error) error {
	end := time.Now().Add(awayLimit)
	for {
		err := do()
		if !errors.Is(err, chat.ErrUnavailable) || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
		select {
		case <-time.After(awayRetry):
		case <-ctx.Done():
			return err
		}
	}
}

// end compares what was read with what was written.
func (i *importer) end(ctx context.Context, told endLine) error {
	if err := i.flush(ctx); err != nil {
		return err
	}
	sum := hex.EncodeToString(i.digest.Sum(nil))
	if told.Counts != i.counts || told.SHA256 != sum {
		return fmt.Errorf("the export was changed: it should hold %v and holds %v, or other ones: export again", told.Counts, i.counts)
	}
	rest, err := io.ReadAll(io.LimitReader(i.lines, maxLine))
	if err == nil && len(bytes.TrimSpace(rest)) > 0 {
		i.number++
		err = errors.New("there is something behind the end: one export at a time")
	}
	return err
}

// verify reads back where the rooms end.
func (i *importer) verify(ctx context.Context) error {
	rooms, err := i.store.Rooms(ctx)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	stored := map[string]int64{}
	for _, r := range rooms {
		stored[r.Room] = r.Head
	}
	for room, head := range i.heads {
		if stored[room] < head {
			return fmt.Errorf("verify: room %s ends at %d in the database, at %d in the export: %w", room, stored[room], head, chat.ErrCorrupt)
		}
	}
	return nil
}
