package logs

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable is text as it may be shown on a terminal: what could move the
// cursor, set a title, answer in the reader's name or reorder what is read is
// spelled out, as \x1b or \u202e. Tabs and colours (SGR: ESC [ digits and
// semicolons m) pass; colours may stay on after the end.
func Printable(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		n := passes(text[i:])
		b.WriteString(text[i : i+n])
		i += n
		if n == 0 {
			i += spellOut(&b, text[i:])
		}
	}
	return b.String()
}

// passes is how many bytes at the start of text, which is not empty, can be
// shown as they are: a character or a colour.
func passes(text string) int {
	c, n := utf8.DecodeRuneInString(text)
	switch {
	case c == '\t':
		return n
	case c == '\x1b':
		return colour(text)
	case c == utf8.RuneError && n == 1, unicode.IsControl(c), reorders(c):
		return 0
	}
	return n
}

// colour is the length of the SGR sequence at the start of text, 0 if there is
// none.
func colour(text string) int {
	const open = "\x1b["
	rest, ok := strings.CutPrefix(text, open)
	if !ok {
		return 0
	}
	end := len(rest) - len(strings.TrimLeft(rest, "0123456789;"))
	if end == len(rest) || rest[end] != 'm' {
		return 0
	}
	return len(open) + end + 1
}

// reorders reports whether c is one of Unicode's embeddings, overrides and
// isolates, with which a text can look like another one.
func reorders(c rune) bool {
	return '\u202a' <= c && c <= '\u202e' || '\u2066' <= c && c <= '\u2069'
}

// spellOut writes the character at the start of text in ASCII and returns its
// length. A byte that is no UTF-8 is spelled like one of ASCII: a terminal in
// an 8-bit mode would obey it too.
func spellOut(b *strings.Builder, text string) int {
	c, n := utf8.DecodeRuneInString(text)
	if n == 1 {
		fmt.Fprintf(b, `\x%02x`, text[0])
	} else {
		fmt.Fprintf(b, `\u%04x`, c)
	}
	return n
}
