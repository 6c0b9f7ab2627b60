package e2e

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// makeArtifact makes an artifact as a workflow does, from files by their names in
// it, and a checksum beside it.
func makeArtifact(t testing.TB, path string, files map[string]string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum := sha256.New()
	packed, _ := gzip.NewWriterLevel(io.MultiWriter(f, sum), gzip.NoCompression) // the checksum of it takes long enough
	archive := tar.NewWriter(packed)
	for name, from := range files {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	for _, close := range []func() error{archive.Close, packed.Close} {
		if err := close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path+".sha256", fmt.Appendf(nil, "%x  %s\n", sum.Sum(nil), filepath.Base(path)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// badBuild is an app that ends before it is ready.
func badBuild(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho no such table >&2\nexit 7\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
