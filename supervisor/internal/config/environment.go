package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/simpletalk/simpletalk/proto"
)

// Environ returns the environment of the program: base, which is of the form
// NAME=VALUE, then what the files say at this moment, then Env. The later of
// two wins. It is sorted and has each variable once. No error shows a value.
func (p Program) Environ(base []string) ([]string, error) {
	env := map[string]string{}
	for _, v := range base {
		if name, value, ok := strings.Cut(v, "="); ok {
			env[name] = value
		}
	}
	for _, f := range p.EnvFiles {
		variables, err := f.read()
		if err != nil {
			return nil, err
		}
		maps.Copy(env, variables)
	}
	maps.Copy(env, p.Env)
	all := make([]string, 0, len(env))
	for name, value := range env {
		all = append(all, name+"="+value)
	}
	slices.Sort(all)
	return all, nil
}

func (f EnvFile) read() (map[string]string, error) {
	text, err := readBounded(f.Path)
	if f.Optional && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read environment: %w", err)
	}
	variables, mistakes := parseEnvFile(f.Path, string(text))
	if len(mistakes) > 0 {
		return nil, mistakes
	}
	return variables, nil
}

// variableRule is what ValidVariable asks for.
const variableRule = "letters, digits and '_', and not begin with a digit"

// ValidVariable reports whether every shell can name the variable.
func ValidVariable(name string) bool {
	for i, c := range name {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_', i > 0 && '0' <= c && c <= '9':
		default:
			return false
		}
	}
	return name != ""
}

// reserved reports whether the variable is how a worker is told what it was
// given: with another value it would take a stranger's descriptors.
func reserved(name string) bool {
	switch name {
	case proto.EnvListenFDs, proto.EnvListenName, proto.EnvListenPID, proto.EnvNotify:
		return true
	}
	return strings.HasPrefix(name, proto.EnvControl)
}

func hasNUL(s string) bool { return strings.Contains(s, "\x00") }

// environment reads env. Its mistakes show no values: they may be passwords.
func (t *table) environment() map[string]string {
	in := t.table("env", `{ NAME = "value" }`)
	var env map[string]string
	for _, name := range in.keys() {
		value, ok := in.variable(name)
		if !ok {
			continue
		}
		if env == nil {
			env = map[string]string{}
		}
		env[name] = value
	}
	return env
}

func (t *table) variable(name string) (value string, ok bool) {
	value, ok = t.values[name].(string)
	switch at := t.at.of(name); {
	case !ValidVariable(name):
		t.mistake(at, "env: the name %s must have %s", quote(name), variableRule)
	case reserved(name):
		t.mistake(at, "%s%s: only the supervisor may set it", t.name, name)
	case !ok:
		t.wrong(name, "a string in quotes", kind(t.values[name]))
	case hasNUL(value):
		t.mistake(at, "%s%s has a zero byte, which no variable can hold", t.name, name)
	default:
		return value, true
	}
	return "", false
}

// envFiles reads env_file. As in systemd, a '-' before a path says that the
// file may be missing.
func (t *table) envFiles() []EnvFile {
	const must = `a path in quotes or an array of them such as ["/etc/chat/env"]`
	var paths []string
	if path, ok := t.values["env_file"].(string); ok {
		paths = []string{path}
		t.asked = append(t.asked, "env_file")
	} else {
		paths = t.texts("env_file", must)
	}
	var files []EnvFile
	for _, path := range paths {
		path, optional := strings.CutPrefix(path, "-")
		if path == "" || hasNUL(path) {
			t.wrong("env_file", must, quote(path))
			continue
		}
		files = append(files, EnvFile{t.absolute(path), optional})
	}
	return files
}
