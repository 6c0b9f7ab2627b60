package logs

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", ""},
		{"plain", `C:\x1b "quoted" 100%`, `C:\x1b "quoted" 100%`},
		{"UTF-8", "Grüße 👋 \u200d שלום", "Grüße 👋 \u200d שלום"},
		{"tab", "a\tb", "a\tb"},
		{"controls", "a\x00\a\b\n\r\x7f", `a\x00\x07\x08\x0a\x0d\x7f`},
		{"colours", "\x1b[1;31mred\x1b[m\x1b[0m", "\x1b[1;31mred\x1b[m\x1b[0m"},
		{"cursor", "\x1b[2J\x1b[1;1H", `\x1b[2J\x1b[1;1H`},
		{"title", "\x1b]0;owned\a", `\x1b]0;owned\x07`},
		{"private mode", "\x1b[?25l", `\x1b[?25l`},
		{"almost a colour", "\x1b[>4;1m\x1b[1 m\x1b[1", `\x1b[>4;1m\x1b[1 m\x1b[1`},
		{"escape before a colour", "\x1b\x1b[1m", "\\x1b\x1b[1m"},
		{"C1", "\u009b2J\u0085", `\u009b2J\u0085`},
		{"C1 in eight bits", "\x9b2J\xff", `\x9b2J\xff`},
		{"bidi", "\u202a\u202e\u2066\u2069x", `\u202a\u202e\u2066\u2069x`},
		{"next to bidi", "\u2029\u202f\u2065\u206a", "\u2029\u202f\u2065\u206a"},
		{"replacement", "\uFFFD", "\uFFFD"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Printable(test.text); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m\x1b[2J\u009b\x9b\u202e\t\n")
	f.Fuzz(func(t *testing.T, text string) {
		got := Printable(text)
		if !utf8.ValidString(got) {
			t.Errorf("%q becomes %q: no UTF-8", text, got)
		}
		for _, c := range sgr.ReplaceAllString(got, "") {
			if c != '\t' && unicode.IsControl(c) || strings.ContainsRune("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", c) {
				t.Errorf("%q becomes %q, with %q", text, got, c)
			}
		}
		if again := Printable(got); again != got {
			t.Errorf("%q becomes %q, and that %q", text, got, again)
		}
	})
}
