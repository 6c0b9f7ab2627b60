package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestTheLaterOfTwoVariablesWins(t *testing.T) {
	p := NewProgram("x", []string{"x"})
	p.EnvFiles = []EnvFile{
		{Path: write(t, "first", "B=first\nC=first\nD=first\n")},
		{Path: filepath.Join(t.TempDir(), "missing"), Optional: true},
		{Path: write(t, "second", "C=second\nD=second\n")},
	}
	p.Env = map[string]string{"D": "env", "E": "a=b\n"}
	base := []string{"Z=base", "A=base", "B=base", "A=again", "broken", "C="}
	got, err := p.Environ(base)
	want := []string{"A=again", "B=first", "C=second", "D=env", "E=a=b\n", "Z=base"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if got, err := NewProgram("x", nil).Environ(nil); err != nil || len(got) != 0 {
		t.Errorf("of nothing: %q, %v", got, err)
	}
}

func TestAnEnvFileThatCannotBeRead(t *testing.T) {
	environ := func(f EnvFile) error {
		_, err := Program{EnvFiles: []EnvFile{f}}.Environ(nil)
		return err
	}
	missing := filepath.Join(t.TempDir(), "none")
	if err := environ(EnvFile{Path: missing}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("a missing one: %v", err)
	}
	if err := environ(EnvFile{Path: t.TempDir(), Optional: true}); err == nil {
		t.Error("a folder was taken")
	}
	if err := environ(EnvFile{Path: write(t, "big", strings.Repeat("#", maxFile+1))}); err == nil || !strings.Contains(err.Error(), "more than 256K bytes") {
		t.Errorf("a big one: %v", err)
	}
	wrong := write(t, "wrong", "A=1\nB\n'=secret\n")
	want := wrong + ":2: must be NAME=VALUE, a comment (#) or blank\n" +
		wrong + ":3: the name before = must have letters, digits and '_', and not begin with a digit"
	if err := environ(EnvFile{Path: wrong, Optional: true}); err == nil || err.Error() != want {
		t.Errorf("a wrong one: %v; want %s", err, want)
	}
}
