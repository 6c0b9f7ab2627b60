package chat

import (
	"strings"
	"unicode"
)

// FoldName returns what two names have in common that people would take for
// the same: without the spaces around, and without case (the simple folding of
// the Unicode Standard, section 5.18).
func FoldName(name string) string { return strings.Map(foldRune, strings.TrimSpace(name)) }

// foldRune returns the smallest of the runes that fold to each other.
func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}
