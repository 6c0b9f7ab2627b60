package logs

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// write runs a File with those settings until stop is called.
func writeFile(t *testing.T, r *Ring, log io.Writer, s FileSettings) (f *File, stop func()) {
	t.Helper()
	s.MaxSize = max(s.MaxSize, 1<<20)
	f = NewFile(r, slog.New(slog.NewTextHandler(log, nil)))
	f.Set(s)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); running.Wait() }) }
	t.Cleanup(stop)
	return f, stop
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// eventually waits for what another goroutine brings about.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func TestALogFileHasEveryLine(t *testing.T) {
	for _, test := range []struct {
		format FileFormat
		want   string // of the third line, without its time
	}{
		{Plain, "line 2"},
		{Timed, " [7]! line 2"},
		{JSON, `"program":"chat","gen":7,"stream":"err","text":"line 2"}`},
	} {
		t.Run(string(test.format), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "new", "chat.log")
			r := NewRing(1 << 20) // keeps them all, however slow the disk
			_, stop := writeFile(t, r, io.Discard, FileSettings{Path: path, Program: "chat", Format: test.format})
			for i := range 1000 {
				r.Add(Origin{Gen: 7}, i%2 == 0, fmt.Appendf(nil, "line %d", i))
				if i%100 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			stop()
			all := strings.Split(strings.TrimSuffix(content(t, path), "\n"), "\n")
			if len(all) != 1000 || !strings.HasSuffix(all[2], test.want) {
				t.Errorf("%d lines of 1000, the third %q, want one that ends with %q", len(all), all[2], test.want)
			}
			if info, _ := os.Stat(path); info.Mode().Perm()&0o007 != 0 {
				t.Errorf("everybody may read it: %v", info.Mode())
			}
		})
	}
}

func TestALogFileIsAddedTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.log")
	for i := range 3 {
		r := NewRing(0)
		_, stop := writeFile(t, r, io.Discard, FileSettings{Path: path})
		r.Add(Origin{Gen: 1}, false, fmt.Appendf(nil, "run %d", i))
		stop()
	}
	if got, want := content(t, path), "run 0\nrun 1\nrun 2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestALogFileIsTurnedOverBySize(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "chat.log")
	r := NewRing(8 << 20)
	_, stop := writeFile(t, r, io.Discard, FileSettings{Path: path, Keep: 2, Compress: true})
	line := []byte(strings.Repeat("x", 1023))
	for range 5 {
		for range 1024 {
			r.Add(Origin{Gen: 1}, false, line)
		}
		time.Sleep(50 * time.Millisecond) // names of files turned over tell milliseconds
	}
	eventually(t, "two compressed files", func() bool {
		gz, _ := filepath.Glob(filepath.Join(dir, "*.gz"))
		all, _ := filepath.Glob(filepath.Join(dir, "*"))
		return len(gz) == 2 && len(all) == 3
	})
	stop()
	gz, _ := filepath.Glob(filepath.Join(dir, "*.gz"))
	f, err := os.Open(gz[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(z); err != nil || len(text) > 1<<20 || !bytes.HasPrefix(text, line) {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 1<<20 {
		t.Errorf("the file: %v, %v", info, err)
	}
}

// The age is the file's: a supervisor that was started meanwhile does not make it
// younger.
func TestALogFileIsTurnedOverByAge(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "chat.log")
	if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if time.Since(birth(path)) < 50*time.Millisecond {
		t.Skip("this file system does not tell when a file was made")
	}
	r := NewRing(0)
	_, stop := writeFile(t, r, io.Discard, FileSettings{Path: path, Every: 40 * time.Millisecond})
	r.Add(Origin{Gen: 1}, false, []byte("new"))
	stop()
	if got := content(t, path); got != "new\n" {
		t.Errorf("the file has %q", got)
	}
	if all, _ := filepath.Glob(filepath.Join(dir, "chat-*-time.log")); len(all) != 1 {
		t.Errorf("turned over: %q", all)
	}
}

func TestALogFileIsReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.log")
	r := NewRing(0)
	f, stop := writeFile(t, r, io.Discard, FileSettings{Path: path})
	r.Add(Origin{Gen: 1}, false, []byte("before"))
	if err := f.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := f.Reopen(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Add(Origin{Gen: 1}, false, []byte("after"))
	stop()
	if content(t, path+".1") != "before\n" || content(t, path) != "after\n" {
		t.Errorf("%q, then %q", content(t, path+".1"), content(t, path))
	}
}

// What comes after a log was flushed is in it, however soon it comes.
func TestALogIsFlushed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chat.log")
	r := NewRing(0)
	f, _ := writeFile(t, r, io.Discard, FileSettings{Path: path})
	for i := range 200 {
		before, after := fmt.Sprint("before ", i), fmt.Sprint("after ", i)
		r.Add(Origin{Gen: 1}, false, []byte(before))
		if err := f.Settle(t.Context()); err != nil || !strings.HasSuffix(content(t, path), before+"\n") {
			t.Fatal("nothing was written", err)
		}
		if err := f.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if content(t, path) != "" || all(r) != "" {
			t.Errorf("the file has %q, the ring %q", content(t, path), all(r))
		}
		r.Add(Origin{Gen: 1}, false, []byte(after))
		if err := f.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := content(t, path); got != after+"\n" {
			t.Fatalf("then the file has %q, want %q", got, after)
		}
	}
}

func TestWhatIsNoFileIsLeftAlone(t *testing.T) {
	r := NewRing(0)
	f, stop := writeFile(t, r, io.Discard, FileSettings{Path: "/dev/full"})
	r.Add(Origin{Gen: 1}, false, []byte("line"))
	if err := f.Settle(t.Context()); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("to a device: %v", err)
	}
	stop()
	if _, err := os.Lstat("/dev/full"); err != nil {
		t.Error(err)
	}
}

// Nobody waits for a full disk. It is told once, what the ring keeps is written
// when there is room again, and what it could not keep is counted.
func TestAFullDiskHoldsUpNobody(t *testing.T) {
	dir := smallDisk(t)
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the disk is not full")
	}
	path := filepath.Join(dir, "chat.log")
	var log lines
	r := NewRing(0)
	f, stop := writeFile(t, r, &log, FileSettings{Path: path})
	began := time.Now()
	for i := range 5000 {
		r.Add(Origin{Gen: 1}, false, fmt.Appendf(nil, "line %d", i))
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("5000 lines took %s", took)
	}
	eventually(t, "an error", func() bool { return f.State().Err != nil })
	for i := range 5000 {
		r.Add(Origin{Gen: 1}, false, fmt.Appendf(nil, "line %d", 5000+i))
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no error", func() bool { return f.State().Err == nil })
	r.Add(Origin{Gen: 1}, false, []byte("the last line"))
	stop()
	var written, lost int
	for line := range strings.Lines(content(t, path)) {
		var n int
		if _, err := fmt.Sscanf(line, "supervisor: %d lines lost", &n); err == nil {
			lost += n
			continue
		}
		written++
	}
	if written+lost != 10_001 || lost == 0 || !strings.HasSuffix(content(t, path), "the last line\n") {
		t.Errorf("%d lines written and %d told as lost, want 10001 in all", written, lost)
	}
	if got := f.State().Lost; int(got) != lost {
		t.Errorf("the state tells %d lost, the file %d", got, lost)
	}
	if told := log.text(); strings.Count(told, "cannot be written") != 1 || strings.Count(told, "written again") != 1 {
		t.Errorf("told: %s", told)
	}
}

// A line that a full disk cuts is taken back, and written whole when there is room:
// the file may be another one by then.
func TestAFullDiskTearsNoLine(t *testing.T) {
	dir := smallDisk(t)
	path := filepath.Join(dir, "chat.log")
	r := NewRing(1 << 20)
	f, stop := writeFile(t, r, new(lines), FileSettings{Path: path})
	for i := range 100 {
		r.Add(Origin{Gen: 1}, false, fmt.Appendf(nil, "%01500d", i))
	}
	eventually(t, "an error", func() bool { return f.State().Err != nil })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	first := content(t, path+".1")
	if err := os.Remove(path + ".1"); err != nil {
		t.Fatal(err)
	}
	f.Reopen(t.Context())
	eventually(t, "another error", func() bool { return len(content(t, path)) > 30_000 && f.State().Err != nil })
	stop()
	next := 0
	for line := range strings.Lines(first + content(t, path)) {
		if want := fmt.Sprintf("%01500d\n", next); line != want {
			t.Fatalf("line %d is %d bytes: %.20q…", next, len(line), line)
		}
		next++
	}
	if next < 60 {
		t.Errorf("%d lines are there", next)
	}
}

// smallDisk is a file system of 64 KiB of the test's own.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("simpletalk-test", dir, "tmpfs", 0, "size=64k,mode=700"); err != nil {
		if os.Getenv("REQUIRE_ALL") == "1" && os.Getuid() == 0 {
			t.Fatal("REQUIRE_ALL=1, but mount: ", err)
		}
		t.Skip("mount: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}
