package chat

import (
	"slices"
	"strings"
	"unicode"
)

// maxWords is how many words a search may have: further ones hardly narrow it.
const maxWords = 8

// maxWord is how many runes of a word are indexed and searched.
const maxWord = 64

// Words returns the words of a text as a search finds them: runs of letters,
// marks and digits, without case, each once, in their order.
func Words(text string) []string {
	var words []string
	seen := map[string]bool{}
	for _, w := range strings.FieldsFunc(text, isNoWord) {
		if w = foldWord(w); !seen[w] {
			seen[w] = true
			words = append(words, w)
		}
	}
	return words
}

// Query returns the words that a search looks for, of what somebody typed.
func Query(typed string) []string {
	words := Words(typed)
	return words[:min(len(words), maxWords)]
}

func isNoWord(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r)
}

func foldWord(w string) string {
	runes := []rune(w)
	runes = runes[:min(len(runes), maxWord)]
	return strings.ToLower(strings.Map(foldRune, string(runes)))
}

// Matches reports whether a text has, for each of the words, one that begins
// with it. Words are those of [Query].
func Matches(text string, words []string) bool {
	has := Words(text)
	for _, w := range words {
		if !slices.ContainsFunc(has, func(h string) bool { return strings.HasPrefix(h, w) }) {
			return false
		}
	}
	return len(words) > 0
}
