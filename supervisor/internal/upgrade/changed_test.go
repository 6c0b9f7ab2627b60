package upgrade

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestChanged(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	other := append([]byte(nil), content...)
	other[len(other)-1]++
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path string
		want       bool
	}{
		{"same file", self, false},
		{"link to it", link, false},
		{"copy of it", write("copy", content), false},
		{"other content of the same length", write("other", other), true},
		{"cut off", write("short", content[:len(content)-1]), true},
		{"empty", write("empty", nil), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := differs(test.path); err != nil || got != test.want {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

// What cannot be read is no reason to upgrade, and is told.
func TestAnExecutableThatCannotBeRead(t *testing.T) {
	if got, err := differs(filepath.Join(t.TempDir(), "none")); got || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v, %v", got, err)
	}
	if _, err := differs(t.TempDir()); err == nil {
		t.Error("a folder was read")
	}
}
