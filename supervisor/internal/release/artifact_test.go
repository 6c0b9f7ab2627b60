//go:build linux

package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pack makes an artifact of entries, in which a file has its own name as content.
func (h host) pack(entries ...tar.Header) string {
	h.Helper()
	var b bytes.Buffer
	packed := gzip.NewWriter(&b)
	archive := tar.NewWriter(packed)
	for _, e := range entries {
		if e.Typeflag == tar.TypeReg {
			e.Size = int64(len(e.Name))
		}
		h.check(archive.WriteHeader(&e))
		if e.Typeflag == tar.TypeReg {
			_, err := archive.Write([]byte(e.Name))
			h.check(err)
		}
	}
	h.check(archive.Close())
	h.check(packed.Close())
	return h.artifact(b.Bytes())
}

// artifact makes one of any content, with its checksum.
func (h host) artifact(content []byte) string {
	h.Helper()
	path := filepath.Join(h.TempDir(), "simpletalk-7.tar.gz")
	h.put(path, string(content))
	h.put(path+SumSuffix, fmt.Sprintf("%x  simpletalk-7.tar.gz\n", sha256.Sum256(content)))
	return path
}

// tooLarge makes an artifact that promises more than a disk has.
func (h host) tooLarge() string {
	h.Helper()
	var b bytes.Buffer
	packed := gzip.NewWriter(&b)
	h.check(tar.NewWriter(packed).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "app", Mode: 0o755, Size: maxBytes + 1}))
	h.check(packed.Close())
	return h.artifact(b.Bytes())
}

func file(name string, mode int64) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}
}

func symlink(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
}

// install installs an artifact as release 7.
func (h host) install(path string) (fresh bool, err error) {
	h.Helper()
	a, err := OpenArtifact(path, "")
	if err != nil {
		return false, err
	}
	defer a.Close()
	f, err := Open(h.releases(), h.link())
	h.check(err)
	defer f.Close()
	return f.Install(a, "7", func(string) error { return nil })
}

func TestAnArtifactBecomesARelease(t *testing.T) {
	h := newHost(t)
	path := h.pack(tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o700}, file("./app", 0o711), file("nginx/site.conf", 0o600), symlink("nginx/default", "site.conf"))
	if fresh, err := h.install(path); !fresh || err != nil {
		t.Fatal(fresh, err)
	}
	for name, want := range map[string]os.FileMode{"": 0o755, "app": 0o755, "nginx": 0o755, "nginx/site.conf": 0o644} {
		info, err := os.Stat(filepath.Join(h.releases(), "7", name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: %v, %v, want %v: another user runs it", name, info, err, want)
		}
	}
	want := h.state()
	if want["releases/7/app"] != "./app" || want["releases/7/nginx/default"] != "site.conf" {
		t.Errorf("it has %v", want)
	}
	if fresh, err := h.install(path); fresh || err != nil {
		t.Errorf("again: %v, %v", fresh, err)
	}
	h.is(want)
	if _, err := h.install(h.pack(file("app", 0o755), file("more", 0o644))); err == nil || !strings.Contains(err.Error(), "other content") {
		t.Errorf("another artifact of that name: %v", err)
	}
	h.is(want)
}

// A wrong artifact is refused, and nothing of it stays.
func TestWhatIsNoArtifact(t *testing.T) {
	good := func(h host) []byte {
		b, err := os.ReadFile(h.pack(file("app", 0o755)))
		h.check(err)
		return b
	}
	for name, c := range map[string]struct {
		path func(h host) string
		want string
	}{
		"text":       {func(h host) string { return h.artifact([]byte("hello")) }, "unpack simpletalk-7.tar.gz: "},
		"empty":      {func(h host) string { return h.artifact(nil) }, "EOF"},
		"cut short":  {func(h host) string { b := good(h); return h.artifact(b[:len(b)/2]) }, "unexpected EOF"},
		"no files":   {func(h host) string { return h.pack(tar.Header{Typeflag: tar.TypeDir, Name: "app", Mode: 0o755}) }, "has no files"},
		"out":        {func(h host) string { return h.pack(file("../app", 0o755)) }, `"../app": leads out of the release`},
		"absolute":   {func(h host) string { return h.pack(file("/etc/passwd", 0o644)) }, "leads out"},
		"link out":   {func(h host) string { return h.pack(file("a", 0o644), symlink("b", "../../etc")) }, `links to "../../etc"`},
		"link to /":  {func(h host) string { return h.pack(symlink("b", "/etc")) }, "out of the release"},
		"through it": {func(h host) string { return h.pack(symlink("b", "."), file("b/../../x", 0o644)) }, "leads out"},
		"a device":   {func(h host) string { return h.pack(tar.Header{Typeflag: tar.TypeChar, Name: "null"}) }, "only files, folders"},
		"a hard link": {func(h host) string {
			return h.pack(tar.Header{Typeflag: tar.TypeLink, Name: "b", Linkname: "/etc/shadow"})
		}, "only files, folders"},
		"twice":     {func(h host) string { return h.pack(file("a", 0o644), file("a", 0o644)) }, "file exists"},
		"too large": {func(h host) string { return h.tooLarge() }, "the release has more than"},
		"our mark":  {func(h host) string { return h.pack(file(markName, 0o644)) }, "file exists"},
		"changed": {func(h host) string {
			path := h.artifact(good(h))
			b := good(h)
			b[len(b)-1]++
			h.put(path, string(b))
			return path
		}, "it was changed or cut short on its way"},
		"no checksum":       {func(h host) string { p := h.artifact(good(h)); h.check(os.Remove(p + SumSuffix)); return p }, "sha256 is missing: put it there"},
		"an empty checksum": {func(h host) string { p := h.artifact(good(h)); h.put(p+SumSuffix, ""); return p }, "must have 64 hexadecimal digits"},
		"missing":           {func(h host) string { p := h.artifact(good(h)); h.check(os.Remove(p)); return p }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.release("6", 0, true)
			before := h.state()
			_, err := h.install(c.path(h))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q", err, c.want)
			}
			h.is(before)
		})
	}
}

func TestAReleaseThatFailsItsCheckIsNone(t *testing.T) {
	h := newHost(t)
	a, err := OpenArtifact(h.pack(file("app", 0o755)), "")
	h.check(err)
	defer a.Close()
	no := errors.New("does not run")
	_, err = h.open().Install(a, "7", func(dir string) error {
		if _, err := os.Stat(filepath.Join(dir, "app")); err != nil {
			t.Error("it is asked too early:", err)
		}
		return no
	})
	if !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	h.is(map[string]string{})
}

func TestAChecksumMayBeGiven(t *testing.T) {
	h := newHost(t)
	path := h.artifact([]byte("x"))
	sum := fmt.Sprintf("%X", sha256.Sum256([]byte("x")))
	h.check(os.Remove(path + SumSuffix))
	a, err := OpenArtifact(path, sum)
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	if _, err := OpenArtifact(path, strings.Repeat("0", 64)); err == nil {
		t.Error("a wrong one is believed")
	}
}

// Whatever an archive has, nothing comes to be outside its release, and nothing
// there is changed.
func FuzzAReleaseStaysInItsFolder(f *testing.F) {
	f.Add("b", "../../x", "b/y", byte(tar.TypeSymlink))
	f.Add("../x", "", "y", byte(tar.TypeReg))
	f.Add("a", "a", "a/b", byte(tar.TypeSymlink))
	f.Add("a/../b", "..", "b/current", byte(tar.TypeSymlink))
	f.Add("dir", "", "dir/app", byte(tar.TypeDir))
	f.Add("app", "/etc/passwd", "app", byte(tar.TypeLink))
	f.Fuzz(func(t *testing.T, first, link, second string, kind byte) {
		h := newHost(t)
		h.release("6", 0, true)
		h.put(filepath.Join(h.dir, "x"), "canary")
		want := h.state()
		var b bytes.Buffer
		packed := gzip.NewWriter(&b)
		archive := tar.NewWriter(packed)
		for _, e := range []tar.Header{{Typeflag: kind, Name: first, Linkname: link, Mode: 0o777}, {Typeflag: tar.TypeReg, Name: second, Size: 3, Mode: 0o644}} {
			if archive.WriteHeader(&e) != nil {
				return // no archive can say that
			}
		}
		archive.Write([]byte("new"))
		archive.Close()
		packed.Close()
		h.install(h.artifact(b.Bytes())) // it may be refused
		got := h.state()
		for name := range got {
			if strings.HasPrefix(name, "releases/7/") {
				delete(got, name)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q, %q, %q, %q: there is %v, want %v", first, link, second, kind, got, want)
		}
	})
}

// A disk that fills up while a release is unpacked costs the release, and what was
// there before stays.
func TestAFullDisk(t *testing.T) {
	h := newHost(t)
	if err := unix.Mount("tmpfs", h.dir, "tmpfs", 0, "size=256k"); err != nil {
		if os.Getenv("REQUIRE_ALL") == "1" {
			t.Fatal("REQUIRE_ALL=1, but no file system can be mounted: ", err)
		}
		t.Skip("no file system can be mounted: ", err)
	}
	t.Cleanup(func() { unix.Unmount(h.dir, 0) })
	h.release("6", 0, true)
	before := h.state()
	var b bytes.Buffer
	packed := gzip.NewWriter(&b)
	archive := tar.NewWriter(packed)
	h.check(archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "app", Mode: 0o755, Size: 1 << 20}))
	_, err := archive.Write(make([]byte, 1<<20))
	h.check(err)
	h.check(archive.Close())
	h.check(packed.Close())
	path := h.artifact(b.Bytes())
	if _, err := h.install(path); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v, want a full disk", err)
	}
	h.is(before)
	h.put(h.dir+"/filler", string(make([]byte, 200<<10)))
	before = h.state()
	f := h.open()
	big := Settings{Path: h.env(), Content: make([]byte, 100<<10)}
	if _, err := f.Begin("6", big); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("settings: got %v, want a full disk", err)
	}
	h.is(before)
	f.Close() // for the file system to be unmounted
}
