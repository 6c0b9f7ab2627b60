//go:build linux

package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// artifact makes an artifact, as CI does. Its compression is left out: it is the
// test binary's 40 MB.
func artifact(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 3)
	self, err := os.Executable()
	ts.Check(err)
	content, err := os.ReadFile(self)
	ts.Check(err)
	content = append(content, appBuild{args[1], args[2]}.mark()...)
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	packed, err := gzip.NewWriterLevel(f, gzip.NoCompression)
	ts.Check(err)
	archive := tar.NewWriter(packed)
	pack := func(name string, content []byte) {
		ts.Check(archive.WriteHeader(&tar.Header{Name: "./" + name, Mode: 0o755, Size: int64(len(content))}))
		_, err := archive.Write(content)
		ts.Check(err)
	}
	pack("app", content)
	for _, name := range args[3:] {
		more, err := os.ReadFile(ts.MkAbs(name))
		ts.Check(err)
		pack(filepath.Base(name), more)
	}
	ts.Check(archive.Close())
	ts.Check(packed.Close())
	ts.Check(f.Close())
	sum(ts, false, args[:1])
}

func sum(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 1)
	path := ts.MkAbs(args[0])
	content, err := os.ReadFile(path)
	ts.Check(err)
	ts.Check(os.WriteFile(path+".sha256", fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(content), filepath.Base(path)), 0o644))
}

func readlink(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2)
	got, err := os.Readlink(ts.MkAbs(args[0]))
	ts.Check(err)
	if got != args[1] {
		ts.Fatalf("%s says %s, want %s", args[0], got, args[1])
	}
}

func mode(ts *testscript.TestScript, neg bool, args []string) {
	arguments(ts, neg, args, 2)
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if want, err := strconv.ParseUint(args[1], 8, 32); err != nil || uint64(info.Mode().Perm()) != want {
		ts.Fatalf("%s has mode %04o, want %s", args[0], info.Mode().Perm(), args[1])
	}
}
