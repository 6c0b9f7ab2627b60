package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/DeRuina/timberjack"
	"golang.org/x/sys/unix"
)

// FileSettings say where lines are kept on disk, and how much of them. Without
// a Path they are not.
type FileSettings struct {
	Path     string        // absolute
	Program  string        // told in lines of JSON
	Format   FileFormat    // of each line
	MaxSize  int64         // bytes, whole MiB; the file is turned over before it would exceed them
	Every    time.Duration // the file is turned over at this age; 0: at none
	Keep     int           // how many of those turned over are kept; 0: all
	KeepDays int           // how long they are; 0: for ever
	Compress bool          // those turned over, by gzip
}

// FileFormat is what a line of a log file looks like.
type FileFormat string

// Formats of a log file.
const (
	Plain FileFormat = "plain" // as the program wrote it
	Timed FileFormat = "time"  // with its time, its generation, and ! for standard error
	JSON  FileFormat = "json"  // as `supervisor logs --json` prints it
)

// FileState is how a log file does.
type FileState struct {
	Path string
	Err  error  // of the write that is being tried again; nil: there is none
	Lost uint64 // lines that the ring let go of before they could be written
}

// retryEvery is how long a file that cannot be written is left alone.
const retryEvery = time.Second

// File copies a [Ring] into a log file, from a goroutine of its own. It is a
// follower of the ring: a disk that is full, slow or gone holds up nobody. The
// same lines are tried again until they are written, and what the ring lets go
// of meanwhile is counted and told in its place. Its methods may be called
// concurrently, those that return an error while [File.Run] runs.
type File struct {
	ring    *Ring
	log     *slog.Logger
	orders  chan func()   // run by Run
	changed chan struct{} // tells Run of other settings
	ended   chan struct{} // closed when Run returns

	cursor *follower          // owned by Run, as what follows; nil: nothing is written
	rest   []byte             // of lines that are not written yet
	logger *timberjack.Logger // nil: the file is not open
	opened FileSettings       // of logger
	born   time.Time          // of the file that logger writes

	mu       sync.Mutex
	settings FileSettings
	state    FileState
}

// NewFile returns a File for the lines that are added to ring from now on. Until
// it is given a path they go nowhere.
func NewFile(ring *Ring, log *slog.Logger) *File {
	return &File{
		ring: ring, log: log, orders: make(chan func()), changed: make(chan struct{}, 1), ended: make(chan struct{}),
		cursor: ring.follower(Query{Lines: -1, Follow: true}),
	}
}

// Run writes lines until ctx ends and then what is left, for a second at most.
// If the disk hangs then, the goroutine that waits on it is left to end with
// the process.
func (f *File) Run(ctx context.Context) error {
	defer close(f.ended)
	written := make(chan struct{})
	go func() {
		defer close(written)
		f.follow(ctx)
		f.close()
	}()
	<-ctx.Done()
	select {
	case <-written:
	case <-time.After(flushTime):
	}
	return nil
}

func (f *File) follow(ctx context.Context) {
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for {
		more := f.writeAll()
		select {
		case <-more:
		case <-f.retry(retry):
		case <-f.changed:
		case order := <-f.orders:
			order()
		case <-ctx.Done():
			f.writeAll()
			return
		}
	}
}

// retry is when to try again, if something is to be.
func (f *File) retry(t *time.Ticker) <-chan time.Time {
	if len(f.rest) == 0 {
		return nil
	}
	return t.C
}

// writeAll writes all there is, and returns what tells that there is more: nil
// while nothing can be written.
func (f *File) writeAll() (more <-chan struct{}) {
	for f.write() {
		s := f.chosen()
		if s.Path == "" {
			f.cursor = nil
			return nil
		}
		if f.cursor == nil {
			f.cursor = f.ring.follower(Query{Lines: -1, Follow: true})
		}
		batch, more := f.cursor.next()
		for _, l := range batch {
			f.rest = f.append(f.rest, s, l)
		}
		if len(batch) == 0 && more != nil {
			return more
		}
	}
	return nil
}

// append adds a line of the ring to those that are to be written.
func (f *File) append(b []byte, s FileSettings, l Line) []byte {
	if l.Lost > 0 {
		f.mu.Lock()
		f.state.Lost += l.Lost
		f.mu.Unlock()
	}
	return append(s.Format.appendLine(b, s.Program, l), '\n')
}

func (format FileFormat) appendLine(b []byte, program string, l Line) []byte {
	l.Program = program
	text := l.Text
	if l.Lost > 0 {
		text = fmt.Sprintf("supervisor: %d lines lost: the log file could not be written in time", l.Lost)
	}
	switch format {
	case JSON:
		line, err := l.MarshalJSON()
		if err != nil {
			return b // it cannot be: text is valid
		}
		return append(b, line...)
	case Timed:
		mark := ""
		if l.Err {
			mark = "!"
		}
		return fmt.Appendf(b, "%s %s%s %s", l.Time.Format("2006-01-02T15:04:05.000Z"), l.Origin.Alone(), mark, text)
	default:
		return append(b, text...)
	}
}

// write writes the rest and reports whether it did.
func (f *File) write() bool {
	s := f.chosen()
	if s != f.opened {
		f.close()
	}
	if s.Path == "" {
		f.rest = nil
	}
	if len(f.rest) == 0 {
		return true
	}
	err := f.turnOver(s)
	if err == nil {
		err = f.put()
	}
	f.tell(err)
	return err == nil
}

// put writes the rest, or as many whole lines of it as there is room for: what
// comes next may be another file.
func (f *File) put() error {
	n, err := f.logger.Write(f.rest)
	whole := bytes.LastIndexByte(f.rest[:n], '\n') + 1
	if n > whole && f.takeBack(n-whole) == nil {
		n = whole
	}
	f.rest = f.rest[n:]
	return err
}

// takeBack cuts the end of the file off, and has it opened anew.
func (f *File) takeBack(bytes int) error {
	path := f.opened.Path
	f.close()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Truncate(path, info.Size()-int64(bytes))
}

// turnOver has the file open, and a new one if it is too old.
func (f *File) turnOver(s FileSettings) error {
	if f.logger == nil {
		if err := f.open(s); err != nil {
			return err
		}
	}
	if s.Every == 0 || time.Since(f.born) < s.Every {
		return nil
	}
	if err := f.logger.RotateWithReason("time"); err != nil {
		return err
	}
	f.born = time.Now()
	return nil
}

// open opens the file, which is a regular one or none yet: anything else must
// not be renamed.
func (f *File) open(s FileSettings) error {
	if info, err := os.Stat(s.Path); err == nil && !info.Mode().IsRegular() {
		return &fs.PathError{Op: "open", Path: s.Path, Err: fmt.Errorf("is no regular file")}
	}
	logger := &timberjack.Logger{
		Filename: s.Path, MaxSize: int(s.MaxSize >> 20), MaxBackups: s.Keep, MaxAge: s.KeepDays,
		Compression: "none", FileMode: 0o640,
	}
	if s.Compress {
		logger.Compression = "gzip"
	}
	if _, err := logger.Write(nil); err != nil { // opens it
		logger.Close()
		return err
	}
	f.logger, f.opened, f.born = logger, s, birth(s.Path)
	return nil
}

// birth is when a file was made, or now where the file system does not say
// (statx(2)).
func birth(path string) time.Time {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return time.Now()
	}
	return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
}

func (f *File) close() {
	if f.logger != nil {
		f.logger.Close()
		f.logger = nil
	}
}

// tell notes the outcome of a write, and logs the first that failed and the
// first that did not any more.
func (f *File) tell(err error) {
	f.mu.Lock()
	before := f.state
	f.state.Err = err
	f.mu.Unlock()
	switch {
	case err != nil && before.Err == nil:
		f.log.Error("log file cannot be written", "path", before.Path, "err", err)
	case err == nil && before.Err != nil:
		f.log.Info("log file is written again", "path", before.Path, "lost", before.Lost)
	}
}

func (f *File) chosen() FileSettings {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.settings
}

// Set changes the settings of the lines to come. With another path they are
// those that are added from now on.
func (f *File) Set(s FileSettings) {
	f.mu.Lock()
	f.settings = s
	if f.state.Path != s.Path {
		f.state = FileState{Path: s.Path}
	}
	f.mu.Unlock()
	select {
	case f.changed <- struct{}{}:
	default: // it has not looked since
	}
}

// State tells how the file does.
func (f *File) State() FileState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Reopen opens the file anew: what rotates it otherwise has moved it away. It
// returns what keeps it from that.
func (f *File) Reopen(ctx context.Context) error {
	return f.order(ctx, func() error {
		f.close()
		s := f.chosen()
		if s.Path == "" {
			return nil
		}
		err := f.open(s)
		f.tell(err)
		return err
	})
}

// Flush forgets every line: the ring's, and the file's, which is empty then.
// Files turned over stay.
func (f *File) Flush(ctx context.Context) error {
	return f.order(ctx, func() error {
		f.ring.Clear()
		f.close()
		f.rest, f.cursor = nil, f.ring.follower(Query{Follow: true}) // whatever comes after what was let go of
		s := f.chosen()
		if s.Path == "" {
			return nil
		}
		if err := os.Truncate(s.Path, 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// Settle writes what there is at this moment, and returns what keeps it from
// that: another process is about to go on with the file.
func (f *File) Settle(ctx context.Context) error {
	return f.order(ctx, func() error {
		f.writeAll()
		return f.State().Err
	})
}

// order has Run do something.
func (f *File) order(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	select {
	case f.orders <- func() { done <- do() }:
	case <-f.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
