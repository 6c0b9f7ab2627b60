package watch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// watching runs a Watcher of a folder until the test is over, and returns what it
// tells.
func watching(t *testing.T, dir string, ignore ...string) <-chan string {
	t.Helper()
	told := make(chan string, 100)
	ctx, cancel := context.WithCancel(context.Background())
	began := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		err := Watcher{Roots: []string{dir}, Ignore: ignore, Settle: 100 * time.Millisecond}.Run(ctx, func() { close(began) }, func(paths []string) {
			for i, p := range paths {
				paths[i], _ = filepath.Rel(dir, p)
			}
			told <- strings.Join(paths, " ")
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	select {
	case <-began:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is watched")
	}
	return told
}

func put(t *testing.T, dir, name string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, told <-chan string, want string) {
	t.Helper()
	select {
	case got := <-told:
		if got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("nothing told, want %q", want)
	}
}

func quiet(t *testing.T, told <-chan string) {
	t.Helper()
	select {
	case got := <-told:
		t.Errorf("told %q", got)
	case <-time.After(400 * time.Millisecond):
	}
}

func TestABurstIsToldOnce(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "old.go")
	told := watching(t, dir)
	quiet(t, told) // what was there is no change
	for i := range 20 {
		put(t, dir, "a.go")
		put(t, dir, fmt.Sprintf("b%d.go", i%2))
		time.Sleep(10 * time.Millisecond)
	}
	expect(t, told, "a.go b0.go b1.go")
	quiet(t, told)
	if err := os.Remove(filepath.Join(dir, "old.go")); err != nil {
		t.Fatal(err)
	}
	expect(t, told, "old.go")
}

// As editors save: into another file, which takes the first one's place.
func TestARenameIsAChange(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.go")
	told := watching(t, dir)
	put(t, dir, ".a.go.new")
	if err := os.Rename(filepath.Join(dir, ".a.go.new"), filepath.Join(dir, "a.go")); err != nil {
		t.Fatal(err)
	}
	expect(t, told, "a.go")
}

func TestNewFoldersAreWatched(t *testing.T) {
	dir := t.TempDir()
	told := watching(t, dir)
	put(t, dir, "x/y/a.go")
	select {
	case got := <-told:
		if !strings.Contains(got, "x") {
			t.Errorf("told %q", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("a new folder is not told")
	}
	quiet(t, told)
	put(t, dir, "x/y/b.go")
	expect(t, told, "x/y/b.go")
}

func TestWhatIsIgnored(t *testing.T) {
	dir := t.TempDir()
	told := watching(t, dir, "bin", "*_test.go", "ui/dist/*")
	for _, name := range []string{"bin/app", "x/bin/app", ".git/index", "a_test.go", "a.go~", "node_modules/x/y.js", "ui/dist/app.js"} {
		put(t, dir, name)
	}
	select {
	case got := <-told:
		for name := range strings.FieldsSeq(got) {
			if name != "x" && name != "ui" && name != "ui/dist" {
				t.Errorf("told %q", got)
			}
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing told of the folders that are not ignored")
	}
	if err := os.Chmod(filepath.Join(dir, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	quiet(t, told)
}

func TestOneFileIsWatched(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.go")
	put(t, dir, "b.go")
	told := watching(t, filepath.Join(dir, "a.go"))
	put(t, dir, "b.go")
	quiet(t, told)
	put(t, dir, "a.go")
	expect(t, told, ".")
}

func TestWhatCannotBeWatched(t *testing.T) {
	w := Watcher{Roots: []string{filepath.Join(t.TempDir(), "none")}, Settle: time.Second}
	if err := w.Run(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "none: no such file") {
		t.Errorf("got %v", err)
	}
	if err := (Watcher{Ignore: []string{"["}}).Check(); err == nil || !strings.Contains(err.Error(), `pattern "["`) {
		t.Errorf("got %v", err)
	}
}
