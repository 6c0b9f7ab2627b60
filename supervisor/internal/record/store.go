package record

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// Outcome is what [Open] made of the file.
type Outcome int

// Outcomes.
const (
	Fresh      Outcome = iota // there is no file; the record is empty
	Loaded                    // the file was read
	Recovered                 // the file could not be read, the one before it was
	Unreadable                // neither could be read; the record is empty
)

func (o Outcome) String() string {
	switch o {
	case Fresh:
		return "fresh"
	case Loaded:
		return "loaded"
	case Recovered:
		return "recovered"
	case Unreadable:
		return "unreadable"
	}
	return fmt.Sprintf("outcome %d", int(o))
}

// Finding tells what [Open] found. After Recovered and Unreadable someone
// should look at it: changes may be missing.
type Finding struct {
	Outcome Outcome
	Detail  string // one line for the log: what was wrong, and where it lies now; "" after Fresh and Loaded
}

// String is the finding in one line.
func (f Finding) String() string {
	if f.Detail == "" {
		return f.Outcome.String()
	}
	return f.Outcome.String() + ": " + f.Detail
}

// Store owns the file and the files beside it. Its methods may be called
// concurrently; Record never waits for a disk, Update waits for other Updates.
type Store struct {
	path   string
	record atomic.Pointer[Record] // what it points to is never changed

	mu       sync.Mutex // held while the disk is written
	inTheWay []bad      // what could not be set aside, and must not be overwritten
}

// bad is a file that is no record.
type bad struct {
	path string
	kind string
	why  error
}

// Open reads the record at path. Whatever it finds there, the store is usable,
// because the supervisor must start: the [Finding] says what is wrong. If
// something unreadable could not be set aside (the folder is read-only, the
// file is a symbolic link), Update tries again and is refused until it can. The
// error is only about a path that can name no file.
//
// The folder is made, with mode 0700, by the first Update.
func Open(path string) (*Store, Finding, error) {
	if base := filepath.Base(path); path == "" || strings.HasSuffix(path, "/") || base == "." || base == ".." {
		return nil, Finding{}, fmt.Errorf("open record: %q names no file", path)
	}
	s := &Store{path: path}
	_ = sweep(path) // where it cannot be swept now, the first Update says so
	return s, s.load(), nil
}

// Record returns a copy of the record, which is the caller's. Its maps are
// never nil.
func (s *Store) Record() Record { return s.record.Load().clone() }

// Update calls change with a copy of the record, writes the result, and takes
// it over once the disk has it. On an error nothing has changed: the error
// wraps the system's (ENOSPC, EROFS), or says that the result is not UTF-8 or
// larger than 16 MiB. No map that change is given is nil. change must not call
// Update, and need not let go of what it put in: the store keeps a copy.
func (s *Store) Update(change func(*Record)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.Record()
	change(&next)
	if err := s.save(next); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	s.take(next)
	return nil
}

func (s *Store) take(r Record) {
	r = r.clone()
	s.record.Store(&r)
}

func (s *Store) save(r Record) error {
	data, err := encode(r)
	if err != nil {
		return err
	}
	if err := s.clear(); err != nil {
		return err
	}
	w := &write{path: s.path, data: data}
	return w.run(w.steps())
}

// clear sets aside what could not be before.
func (s *Store) clear() error {
	for len(s.inTheWay) > 0 {
		b := s.inTheWay[0]
		if _, err := setAside(s.path, b.path, b.kind); unlessMissing(err) != nil {
			return fmt.Errorf("%s would be lost, it cannot be read (%w) and not be set aside: %w", b.path, b.why, err)
		}
		s.inTheWay = s.inTheWay[1:]
	}
	return nil
}

// load reads the file, or else the one before it.
func (s *Store) load() Finding {
	r, err := read(s.path)
	if err == nil {
		s.take(r)
		return Finding{Outcome: Loaded}
	}
	before, oldErr := read(s.path + oldSuffix)
	if oldErr == nil {
		return s.restore(before, s.reject(s.path, err))
	}
	s.take(Record{})
	if errors.Is(err, fs.ErrNotExist) && errors.Is(oldErr, fs.ErrNotExist) {
		return Finding{Outcome: Fresh}
	}
	return Finding{Unreadable, s.reject(s.path, err) + "; " + s.reject(s.path+oldSuffix, oldErr)}
}

// restore takes over the record before, and writes it at once: until then there
// is only one copy of it.
func (s *Store) restore(before Record, detail string) Finding {
	s.take(before)
	detail += "; took " + s.path + oldSuffix
	if len(s.inTheWay) == 0 {
		if err := s.save(before); err != nil {
			detail += ", which could not be written again: " + oneLine(err)
		}
	}
	return Finding{Recovered, detail}
}

// reject sets the file at path aside, which why says is no record, and tells
// what became of it.
func (s *Store) reject(path string, why error) string {
	if errors.Is(why, fs.ErrNotExist) {
		return path + " is missing"
	}
	kind := broken
	if errors.Is(why, errNewer) {
		kind = newer
	}
	to, err := setAside(s.path, path, kind)
	if err != nil {
		s.inTheWay = append(s.inTheWay, bad{path, kind, why})
		return fmt.Sprintf("%s cannot be read (%s) and not be set aside (%s), so no change is accepted", path, oneLine(why), oneLine(err))
	}
	return fmt.Sprintf("%s cannot be read (%s), it is now %s", path, oneLine(why), to)
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func read(path string) (Record, error) {
	if err := regular(path); err != nil {
		return Record{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return Record{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return Record{}, err
	}
	if len(data) > maxSize {
		return Record{}, errTooLarge
	}
	return decode(data)
}
