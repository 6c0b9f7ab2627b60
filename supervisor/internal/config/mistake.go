package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Mistake is something that an operator wrote and that cannot be done.
type Mistake struct {
	File         string
	Line, Column int // from 1, in bytes as editors and compilers count; Column 0 means the whole line
	Text         string
}

// String is one line that editors can jump by: file:line:column: text.
func (m Mistake) String() string {
	if m.Column == 0 {
		return fmt.Sprintf("%s:%d: %s", m.File, m.Line, m.Text)
	}
	return fmt.Sprintf("%s:%d:%d: %s", m.File, m.Line, m.Column, m.Text)
}

// Mistakes are all the mistakes of a file, in its order.
type Mistakes []Mistake

// Error has one line for each mistake.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i := range m {
		lines[i] = m[i].String()
	}
	return strings.Join(lines, "\n")
}

// inOrder sorts by place, and keeps the order of what is at the same place.
func (m Mistakes) inOrder() {
	slices.SortStableFunc(m, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// oneLine keeps what others wrote, such as the TOML parser, to one line.
func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, s)
}

// maxQuoted is as much of a wrong word as helps to find it.
const maxQuoted = 60

func quote(s string) string {
	if len(s) > maxQuoted {
		return strconv.Quote(s[:maxQuoted]) + "…"
	}
	return strconv.Quote(s)
}
