package e2e

import (
	"context"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A build that cannot serve changes nothing for any client: the old one serves
// on, nobody's connection ends, CI gets exit code 3 and the reason.
func TestABadBuildChangesNothing(t *testing.T) {
	good := binaries.app(t, "aaaa")
	s := open(t, good, "--ready-timeout", "8s")
	g, err := newGuest(s, "witness", "lobby")
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.run(ctx)
	}()
	defer func() { leave(); <-done }()
	before := s.mustHealth()

	for name, bad := range map[string]struct {
		build func(t *testing.T, path string)
		want  string // in the reason
	}{
		"missing":              {func(*testing.T, string) {}, "no such file"},
		"not executable":       {copied(good, 1, 0o644), "is not executable"},
		"another architecture": {foreign(good), "is built for"},
		"half-written":         {copied(good, 2, 0o755), "half-written"},
		"still being written":  {busy(good), "text file busy"},
		"empty":                {script(""), "is empty"},
		"no program":           {script("hello"), "neither an ELF executable nor a script"},
		"crashes":              {script("#!/bin/sh\necho no database here >&2\nexit 7\n"), "exit status 7 before it was ready\n  | no database here\n"},
		"dies of a signal":     {script("#!/bin/sh\nkill -SEGV $$\n"), "killed by SIGSEGV before it was ready"},
		"hangs":                {script("#!/bin/sh\nexec sleep 600\n"), "not ready within 8s"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app")
			bad.build(t, path)
			s.install(path)
			out, code, _ := s.command("reload", "--wait")
			if code != 3 || !strings.Contains(out, "rejected") || !strings.Contains(out, bad.want) {
				t.Errorf("exit code %d, output %q, want 3, rejected and %q", code, out, bad.want)
			}
			if now := s.mustHealth(); now != before {
				t.Errorf("%+v serves, want %+v", now, before)
			}
		})
	}

	s.install(good)
	if out, code, err := s.command("reload", "--wait"); code != 0 {
		t.Errorf("the good build was not accepted after all: %s %v", out, err)
	}
	g.note(func() {
		// The accepted build at the end may have sent it over, the bad ones must not.
		if g.connects > 2 {
			t.Errorf("the witness was disconnected: %v", g.closes)
		}
	})
}

// copied writes the first 1/part of a build.
func copied(from string, part int64, mode os.FileMode) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		src, err := os.Open(from)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		info, err := src.Stat()
		if err != nil {
			t.Fatal(err)
		}
		dst, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, mode)
		if err != nil {
			t.Fatal(err)
		}
		defer dst.Close()
		if _, err := io.CopyN(dst, src, info.Size()/part); err != nil {
			t.Fatal(err)
		}
	}
}

// foreign writes a build whose header names another machine.
func foreign(from string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		copied(from, 1, 0o755)(t, path)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		machine := elf.EM_AARCH64
		if runtime.GOARCH == "arm64" {
			machine = elf.EM_X86_64
		}
		const machineOffset = 18 // e_machine, elf(5)
		if _, err := f.WriteAt(binary.LittleEndian.AppendUint16(nil, uint16(machine)), machineOffset); err != nil {
			t.Fatal(err)
		}
	}
}

// busy writes a whole build that somebody still has open for writing.
func busy(from string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		copied(from, 1, 0o755)(t, path)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
	}
}

func script(text string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
