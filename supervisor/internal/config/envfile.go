package config

import (
	"fmt"
	"strings"
)

// parseEnvFile reads the syntax of systemd's EnvironmentFile= (systemd.exec(5)),
// so that one file serves a unit and a program:
//
//   - NAME=VALUE; blank lines and lines that begin with # or ; are ignored.
//   - Without quotes, white space around the value goes, a backslash keeps the
//     next character, and one at the end of the line continues it.
//   - 'In single quotes' everything stands for itself.
//   - "In double quotes" a backslash keeps one of " \ ` $, and before the end of
//     the line it goes with it; before anything else it stands for itself.
//   - Quotes may span lines, and what follows them belongs to the value.
//
// $NAME is not replaced: a password may hold a dollar sign. That is why this is
// no dotenv library, each of which expands. systemd is silent about a line that
// it cannot read; here it is a mistake. No mistake shows what the line has: on
// a wrong line the name may be a piece of a password.
func parseEnvFile(file, text string) (map[string]string, Mistakes) {
	s := &envScanner{file: file, rest: strings.ReplaceAll(text, "\r\n", "\n"), line: 1, env: map[string]string{}}
	if before, _, found := strings.Cut(s.rest, "\x00"); found {
		s.mistake(1+strings.Count(before, "\n"), "has a zero byte, which no variable can hold")
		return nil, s.mistakes
	}
	for s.rest != "" {
		s.entry()
	}
	return s.env, s.mistakes
}

type envScanner struct {
	file     string
	rest     string
	line     int // of what rest begins with
	env      map[string]string
	mistakes Mistakes
}

func (s *envScanner) mistake(line int, format string, args ...any) {
	s.mistakes = append(s.mistakes, Mistake{File: s.file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// take returns the next n bytes and goes past them.
func (s *envScanner) take(n int) string {
	taken := s.rest[:n]
	s.rest = s.rest[n:]
	s.line += strings.Count(taken, "\n")
	return taken
}

// upTo takes everything before the first of the characters in any, or all.
func (s *envScanner) upTo(any string) string {
	if n := strings.IndexAny(s.rest, any); n >= 0 {
		return s.take(n)
	}
	return s.take(len(s.rest))
}

// spaces are what may stand around names and values within a line.
const spaces = " \t\r"

func (s *envScanner) skipSpaces() { s.take(len(s.rest) - len(strings.TrimLeft(s.rest, spaces))) }

// entry reads a line, or several if a value spans them.
func (s *envScanner) entry() {
	s.skipSpaces()
	switch {
	case s.rest == "":
	case s.rest[0] == '\n':
		s.take(1)
	case s.rest[0] == '#', s.rest[0] == ';':
		s.upTo("\n")
	default:
		s.assignment()
	}
}

func (s *envScanner) assignment() {
	line := s.line
	name := strings.TrimRight(s.upTo("=\n"), spaces)
	if !strings.HasPrefix(s.rest, "=") {
		s.mistake(line, "must be NAME=VALUE, a comment (#) or blank")
		return
	}
	s.take(1)
	value, closed := s.value()
	switch {
	case !closed:
		s.mistake(line, "the value has a quote that is not closed")
	case strings.HasPrefix(name, "export ") || strings.HasPrefix(name, "export\t"):
		s.mistake(line, "must be NAME=VALUE without export: this file is not for a shell")
	case !ValidVariable(name):
		s.mistake(line, "the name before = must have %s", variableRule)
	case reserved(name):
		s.mistake(line, "%s: only the supervisor may set it", name)
	default:
		s.env[name] = value
	}
}

// value reads up to the end of the line and reports whether every quote was
// closed.
func (s *envScanner) value() (value string, closed bool) {
	var b strings.Builder
	for {
		s.skipSpaces()
		switch {
		case s.rest == "" || s.rest[0] == '\n':
			return b.String(), true
		case s.rest[0] == '\'':
			closed = s.singleQuoted(&b)
		case s.rest[0] == '"':
			closed = s.doubleQuoted(&b)
		default:
			s.unquoted(&b)
			return b.String(), true
		}
		if !closed {
			return "", false
		}
	}
}

func (s *envScanner) singleQuoted(b *strings.Builder) (closed bool) {
	s.take(1)
	b.WriteString(s.upTo("'"))
	if s.rest == "" {
		return false
	}
	s.take(1)
	return true
}

func (s *envScanner) doubleQuoted(b *strings.Builder) (closed bool) {
	s.take(1)
	for {
		b.WriteString(s.upTo(`"\`))
		switch {
		case s.rest == "":
			return false
		case s.rest[0] == '"':
			s.take(1)
			return true
		default:
			s.escaped(b)
		}
	}
}

// escaped reads a backslash in double quotes and what it is before.
func (s *envScanner) escaped(b *strings.Builder) {
	s.take(1)
	if s.rest == "" {
		return
	}
	switch c := s.take(1); c {
	case `"`, `\`, "`", "$":
		b.WriteString(c)
	case "\n":
	default:
		b.WriteString(`\` + c)
	}
}

// unquoted reads the rest of the line, where quotes stand for themselves.
// White space at its end goes, unless a backslash keeps it.
func (s *envScanner) unquoted(b *strings.Builder) {
	for {
		plain := s.upTo("\\\n")
		if !strings.HasPrefix(s.rest, `\`) {
			b.WriteString(strings.TrimRight(plain, spaces))
			return
		}
		b.WriteString(plain)
		s.take(1)
		if s.rest == "" {
			return
		}
		if c := s.take(1); c != "\n" {
			b.WriteString(c)
		}
	}
}
