package worker

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// copySelf returns the path of a copy of this test binary.
func copySelf(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// patched is a copy of this test binary with another half-word at off.
func patched(t *testing.T, off int64, value uint16) string {
	t.Helper()
	path := copySelf(t)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(binary.NativeEndian.AppendUint16(nil, value), off); err != nil {
		t.Fatal(err)
	}
	return path
}

// Offsets in the ELF header (elf(5)).
const (
	offType    = 16
	offMachine = 18
)

func foreign() (machine elf.Machine) {
	if runtime.GOARCH == "arm64" {
		return elf.EM_X86_64
	}
	return elf.EM_AARCH64
}

func file(t *testing.T, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPinSaysWhatIsWrong(t *testing.T) {
	dangling := filepath.Join(t.TempDir(), "current")
	if err := os.Symlink("gone", dangling); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path, says string
	}{
		{"missing", "/no/such/app", "no such file"},
		{"a dangling link", dangling, "no such file"},
		{"below a file", file(t, "#!/bin/sh\n", 0o755) + "/app", "not a directory"},
		{"a directory", t.TempDir(), "is a directory"},
		{"a fifo", fifo, "is no regular file"},
		{"not executable", file(t, "#!/bin/sh\n", 0o644), "is not executable (mode 0644): chmod +x it"},
		{"empty", file(t, "", 0o755), "is empty"},
		{"one byte", file(t, "#", 0o755), "is empty"},
		{"text", file(t, "echo hello\n", 0o755), "neither an ELF executable nor a script"},
		{"the magic number alone", file(t, elf.ELFMAG, 0o755), "half-written"},
		{"garbage behind the magic number", file(t, elf.ELFMAG+strings.Repeat("\xff", 4096), 0o755), "ELF headers cannot be read"},
		{"another architecture", patched(t, offMachine, uint16(foreign())), "is built for " + foreign().String()},
		{"an object file", patched(t, offType, uint16(elf.ET_REL)), "type ET_REL, not an executable"},
		{"a core dump", patched(t, offType, uint16(elf.ET_CORE)), "type ET_CORE, not an executable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, err := Pin(test.path)
			if err == nil {
				b.Close()
				t.Fatal("it was taken")
			}
			line := err.Error()
			if !strings.Contains(line, test.says) || !strings.Contains(line, test.path) || strings.Contains(line, "\n") {
				t.Errorf("it says %q, want one line with %q and the path", line, test.says)
			}
		})
	}
}

// A copy that is under way is refused wherever it has come to.
func TestPinRefusesHalfACopy(t *testing.T) {
	path := copySelf(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	whole := info.Size()
	lengths := []int64{whole - 1, whole - 100}
	for i := int64(63); i > 0; i-- {
		lengths = append(lengths, whole*i/64)
	}
	lengths = append(lengths, 4096, 1000, 512, 100, 64, 63, 52, 20, 16, 5, 4, 3, 2, 1, 0)
	for _, n := range lengths { // downwards
		if err := os.Truncate(path, n); err != nil {
			t.Fatal(err)
		}
		b, err := Pin(path)
		if err == nil {
			b.Close()
			t.Errorf("%d bytes of %d were taken", n, whole)
		} else if n > 4 && !strings.Contains(err.Error(), "half-written") {
			t.Errorf("%d bytes of %d: %v, want it called half-written", n, whole, err)
		}
	}
}

func TestPinFollowsALink(t *testing.T) {
	link := filepath.Join(t.TempDir(), "current")
	if err := os.Symlink(copySelf(t), link); err != nil {
		t.Fatal(err)
	}
	b := pin(t, link)
	if b.Path != link || !b.Pinned() {
		t.Errorf("path %s, pinned %v; want the link's, because a reload looks there again", b.Path, b.Pinned())
	}
}
