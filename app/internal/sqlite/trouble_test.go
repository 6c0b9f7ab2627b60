package sqlite

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/chat/chattest"
)

// wantRefused checks that a directory is refused in one line that holds every
// part of want, and that nothing in it has changed but the lock file.
func wantRefused(t *testing.T, dir string, is error, want ...string) {
	t.Helper()
	before := contents(t, dir)
	s, err := Open(t.Context(), dir, Options{LockWait: 200 * time.Millisecond})
	if err == nil {
		s.Close()
		t.Fatal("it was opened")
	}
	t.Log(err)
	if is != nil && !errors.Is(err, is) {
		t.Errorf("%v: want it to be %q", err, is)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is more than one line", err)
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if after := contents(t, dir); !maps.EqualFunc(before, after, bytes.Equal) {
		t.Errorf("the directory held %v, now %v", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
	}
}

// contents maps the names of the database and its log to what they hold. An
// empty log and the index of the log are SQLite's to make.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range []string{"simpletalk.db", "simpletalk.db-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && (len(b) > 0 || name == "simpletalk.db") {
			files[name] = b
		}
	}
	return files
}

func TestOddPathsAreOpened(t *testing.T) {
	base := t.TempDir()
	t.Chdir(base)
	for _, dir := range []string{
		"with space", "100%", "a%20b", "what?mode=ro", "hash#tag", "ünïcode 🙂", "quote'\"", "a&b=c;d", "file:x", "deep/er/still",
		filepath.Join(base, strings.Repeat("long/", 60)),
	} {
		s, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Errorf("%q: %v", dir, err)
			continue
		}
		wantAppends(t, s)
		if err := s.Close(); err != nil {
			t.Errorf("%q: close: %v", dir, err)
		}
		info, err := os.Stat(filepath.Join(dir, "simpletalk.db"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%q: database is %v, %v, want mode 0600", dir, info, err)
		}
		info, err = os.Stat(dir)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%q: directory is %v, %v, want mode 0700", dir, info, err)
		}
	}
}

func TestUnusablePathsAreExplained(t *testing.T) {
	base := t.TempDir()
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(base, "dir", "simpletalk.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		want       []string
	}{
		{"no name", "", []string{"no name", "give one"}},
		{"a file", file, []string{file, "it is a file", "give a directory"}},
		{"below a file", file + "/data", []string{file, "it is a file", "give a directory"}},
		{"database is a directory", base + "/dir", []string{"simpletalk.db", "it is not a file"}},
		{"nowhere to make it", "/proc/no/such", []string{"/proc/no", "data directory"}},
	} {
		t.Run(c.name, func(t *testing.T) { wantRefused(t, c.path, nil, c.want...) })
	}
}

// TestForbiddenDirectory opens as a user who may not: this one, or nobody.
func TestForbiddenDirectory(t *testing.T) {
	base := t.TempDir()
	for _, dir := range []string{base, filepath.Dir(base)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	closed := filepath.Join(base, "closed")
	if err := os.Mkdir(closed, 0o555); err != nil {
		t.Fatal(err)
	}
	var user *syscall.Credential
	if os.Geteuid() == 0 {
		user = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	for _, dir := range []string{closed, closed + "/data"} {
		p := startAs(t, user, "open", dir)
		p.Line()
		p.Next()
		got := p.Line()
		t.Log(got)
		if !strings.Contains(got, "user ") || !strings.Contains(got, "may not write there") || !strings.Contains(got, closed) {
			t.Errorf("%s: %q does not explain who may not write where", dir, got)
		}
	}
}

// TestForbiddenFile: a store that root made by hand is no longer the user's.
func TestForbiddenFile(t *testing.T) {
	if os.Geteuid() != 0 {
		lacking(t, "a file of another user needs root")
	}
	for _, name := range []string{"simpletalk.db", "simpletalk.db-wal", "simpletalk.lock"} {
		dir := database(t, 1)
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		files := []string{dir}
		for _, file := range []string{"simpletalk.db", "simpletalk.db-wal", "simpletalk.lock"} {
			path := filepath.Join(dir, file)
			f, err := os.OpenFile(path, os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			if file != name {
				files = append(files, path)
			}
		}
		for _, path := range files {
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
		p := startAs(t, &syscall.Credential{Uid: 65534, Gid: 65534}, "open", dir)
		p.Line()
		p.Next()
		if got := p.Line(); !strings.Contains(got, "user 65534 may not write there") {
			t.Errorf("with %s of root: %q does not say who may not write", name, got)
		}
	}
}

func TestReadOnlyFileSystem(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	wantAppends(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mount(t, dir, "", syscall.MS_BIND, "")
	if err := syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, dir, nil, dir, "read-only")
	wantRefused(t, dir+"/new", nil, dir, "read-only")
}

// mount mounts over dir until the test ends: a file system of kind, or dir
// itself.
func mount(t *testing.T, dir, kind string, flags uintptr, data string) {
	t.Helper()
	if os.Geteuid() != 0 {
		lacking(t, "mounting a small file system needs root")
	}
	if err := syscall.Mount(dir, dir, kind, flags, data); err != nil {
		lacking(t, fmt.Sprint("mounting a small file system: ", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "tmpfs", 0, "size=4m")
	s := openIn(t, dir)
	t.Cleanup(func() { s.Close() })
	wantAppends(t, s)
	if err := s.Ping(t.Context()); err != nil {
		t.Fatalf("ping before: %v", err)
	}

	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	stored := chattest.Told{"lobby": {}}
	var err error
	for b := 0; err == nil && b < 1000; b++ { // the log may have room left
		var got []chat.Appended
		got, err = s.Append(t.Context(), posts("lobby", fmt.Sprint("full", b), 16))
		for _, a := range got {
			stored["lobby"][a.Event.Nonce] = a.Event.Seq
		}
	}
	wantFull(t, "append", err)
	wantFull(t, "ping", s.Ping(t.Context()))
	wantFull(t, "put session", s.PutSession(t.Context(), chat.Session{User: chat.User{Name: strings.Repeat("x", 1<<20)}}))
	if _, err := s.After(t.Context(), "lobby", 0, 10); err != nil {
		t.Errorf("read on a full disk: %v", err)
	}
	_, err = Open(t.Context(), filepath.Join(dir, "another"), Options{})
	wantFull(t, "open", err)

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("ping after: %v", err)
	}
	wantAppends(t, s)
	if untold := stored.Check(t, s); untold != 2 {
		t.Errorf("%d events are stored beside those reported, want 2", untold)
	}
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; _, err = f.Write(block) {
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func wantFull(t *testing.T, what string, err error) {
	t.Helper()
	t.Log(what, err)
	if !errors.Is(err, chat.ErrFull) || errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("%s = %v, want chat.ErrFull", what, err)
	}
}

// database is a closed store's directory with n events of about 500 bytes.
func database(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	s := openIn(t, dir)
	drafts := posts("lobby", "n", n)
	for i := range drafts {
		drafts[i].Text = strings.Repeat("x", 500)
	}
	if _, err := s.Append(t.Context(), drafts); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDamagedDatabaseIsRefusedAndKept(t *testing.T) {
	const moved = "move it away or restore a copy"
	for name, damage := range map[string]func(db []byte) []byte{
		"text":             func([]byte) []byte { return []byte("this was never a database\n") },
		"noise":            func([]byte) []byte { return bytes.Repeat([]byte{0xa5, 0x5a, 0}, 5000) },
		"zeros":            func(db []byte) []byte { return make([]byte, len(db)) },
		"half a header":    func(db []byte) []byte { return db[:50] },
		"first page only":  func(db []byte) []byte { return db[:4096] },
		"first page empty": func(db []byte) []byte { return append(db[:100:100], make([]byte, len(db)-100)...) },
		"cut in half":      func(db []byte) []byte { return db[:len(db)/2] },
	} {
		t.Run(name, func(t *testing.T) {
			dir := database(t, 200)
			path := directory{dir}.database()
			db, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(db), 0o600); err != nil {
				t.Fatal(err)
			}
			wantRefused(t, dir, chat.ErrCorrupt, path, moved)
			wantRefused(t, dir, chat.ErrCorrupt, path, moved) // again, after a first look
		})
	}
	for name, spoil := range map[string]func(path string) error{
		"gone but for its log":  os.Remove,
		"empty but for its log": func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := database(t, 10)
			path := directory{dir}.database()
			if err := os.WriteFile(path+"-wal", []byte("what was stored last"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			wantRefused(t, dir, chat.ErrCorrupt, path, moved)
		})
	}
}

// TestDamageInMidFile: what the opening does not touch shows later; from then
// on nothing is written.
func TestDamageInMidFile(t *testing.T) {
	dir := database(t, 2000)
	path := directory{dir}.database()
	db, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	middle := len(db) / 2 / 4096 * 4096
	copy(db[middle:], bytes.Repeat([]byte{0xff}, 40*4096))
	if err := os.WriteFile(path, db, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openIn(t, dir)
	_, err = s.After(t.Context(), "lobby", 0, 10_000)
	if !errors.Is(err, chat.ErrCorrupt) {
		t.Errorf("read = %v, want chat.ErrCorrupt", err)
	}
	if _, err := s.Append(t.Context(), posts("den", "n", 1)); !errors.Is(err, chat.ErrCorrupt) {
		t.Errorf("append = %v, want chat.ErrCorrupt", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, chat.ErrCorrupt) {
		t.Errorf("ping = %v, want chat.ErrCorrupt", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, db) {
		t.Error("a damaged database was written")
	}
}

func TestMovedDatabaseIsNotWritten(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	t.Cleanup(func() { s.Close() })
	wantAppends(t, s)
	path := directory{dir}.database()
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Append(t.Context(), posts("lobby", "lost", 1)); !errors.Is(err, chat.ErrUnavailable) {
			t.Errorf("append = %v, want chat.ErrUnavailable", err)
		}
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a database that had vanished was made anew")
	}
	if err := os.Rename(path+".moved", path); err != nil {
		t.Fatal(err)
	}
	wantAppends(t, s)
}
