package worker

import (
	"bufio"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
)

// Build is an executable held open: it can be started again as it is now,
// whatever happens to its file's name. Whoever pinned it closes it when no
// generation can need it any more.
type Build struct {
	Path string // as named, for people

	file   *os.File
	script bool // begins with #!: only its name can be started, so it is not pinned

	sum func() (string, error) // SHA-256 of the content in hex, computed once
}

// Pin opens the executable at path and checks, as far as can be told without
// running it, that this machine can. Its errors say what is wrong with the
// file: missing, no permission, a folder, another architecture, half-written.
func Pin(path string) (*Build, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: no such file", path)
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s: is a directory, not an executable", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: is no regular file (%s)", path, info.Mode())
	case info.Mode().Perm()&0o111 == 0:
		return nil, fmt.Errorf("%s: is not executable (mode %#o): chmod +x it", path, info.Mode().Perm())
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b := &Build{Path: path, file: file}
	b.sum = sync.OnceValues(b.hash)
	if b.script, err = inspect(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// Reopen is Pin of what another process has pinned: fd is its descriptor, which
// the Build owns, also on an error, and path its name for people.
func Reopen(fd int, path string) (*Build, error) {
	file := os.NewFile(uintptr(fd), path)
	b := &Build{Path: path, file: file}
	b.sum = sync.OnceValues(b.hash)
	var err error
	if b.script, err = inspect(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// FD is the descriptor, which stays the Build's.
func (b *Build) FD() int {
	fd, err := rawFD(b.file)
	if err != nil {
		return -1
	}
	return int(fd)
}

// Close lets the executable go. Processes started from it live on.
func (b *Build) Close() error { return b.file.Close() }

// Pinned reports whether Start runs exactly the content that was pinned. A
// script is started by its name, because its interpreter opens it anew.
func (b *Build) Pinned() bool { return !b.script }

// SHA256 returns the content's SHA-256 in hex. The first call reads the whole
// file.
func (b *Build) SHA256() (string, error) { return b.sum() }

func (b *Build) hash() (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(b.file, 0, 1<<62)); err != nil {
		return "", fmt.Errorf("hash %s: %w", b.Path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// machines maps what Go calls this architecture to what ELF does.
var machines = map[string]elf.Machine{
	"amd64": elf.EM_X86_64, "386": elf.EM_386, "arm64": elf.EM_AARCH64, "arm": elf.EM_ARM,
	"riscv64": elf.EM_RISCV, "ppc64le": elf.EM_PPC64, "s390x": elf.EM_S390, "loong64": elf.EM_LOONGARCH,
}

// inspect checks the beginning of an executable and tells whether it is a
// script.
func inspect(f *os.File) (script bool, err error) {
	magic, err := bufio.NewReader(io.NewSectionReader(f, 0, 4)).Peek(4)
	if err != nil && len(magic) < 2 {
		return false, errors.New("is empty: half-written?")
	}
	if string(magic[:2]) == "#!" {
		return true, nil
	}
	if string(magic) != elf.ELFMAG {
		return false, errors.New("is neither an ELF executable nor a script with a #! line")
	}
	return false, inspectELF(f)
}

func inspectELF(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	x, err := elf.NewFile(f)
	if err != nil {
		return fmt.Errorf("its ELF headers cannot be read (%d bytes, half-written?): %w", info.Size(), err)
	}
	if want, known := machines[runtime.GOARCH]; known && x.Machine != want {
		return fmt.Errorf("is built for %s, this machine is %s", x.Machine, want)
	}
	if x.Type != elf.ET_EXEC && x.Type != elf.ET_DYN {
		return fmt.Errorf("is an ELF file of type %s, not an executable", x.Type)
	}
	if want := extent(x); want > uint64(info.Size()) {
		return fmt.Errorf("is half-written: it has %d bytes, its headers ask for %d", info.Size(), want)
	}
	return nil
}

// extent is how long x's headers say that its file is. Sections count beside
// segments: a copy that stopped in the symbols would run, but is not the build.
func extent(x *elf.File) uint64 {
	var end uint64
	for _, p := range x.Progs {
		end = max(end, p.Off+p.Filesz)
	}
	for _, s := range x.Sections {
		if s.Type != elf.SHT_NOBITS && s.Type != elf.SHT_NULL {
			end = max(end, s.Offset+s.FileSize)
		}
	}
	return end
}
