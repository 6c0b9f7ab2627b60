package chat

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// QuickReactions are those that a client offers first.
func QuickReactions() []string { return []string{"👍", "❤️", "😂", "🎉", "😮", "🙏"} }

// maxEmoji is the size of the longest emoji, in bytes: a family of four, or a
// kiss of two with skin tones, has 35.
const maxEmoji = 48

const (
	zwj        = '\u200d'
	emojiStyle = '\ufe0f'
	keycap     = '\u20e3'
	cancelTag  = '\U000e007f'
)

// ValidEmoji says whether s is one emoji as people see it: an emoji character,
// perhaps with a skin tone, several joined, a flag or a keycap (the grammar of
// Unicode Technical Standard #51, section 1.4.9).
func ValidEmoji(s string) error {
	if utf8.ValidString(s) && len(s) <= maxEmoji && isEmoji([]rune(s)) {
		return nil
	}
	return badField("%.48q must be one emoji", s)
}

// isEmoji reads elements with joiners between them.
func isEmoji(r []rune) bool {
	for {
		n := emojiElement(r)
		if n == 0 {
			return false
		}
		if r = r[n:]; len(r) == 0 {
			return true
		}
		if r[0] != zwj {
			return false
		}
		r = r[1:]
	}
}

// emojiElement returns how many runes the element at the start of r has, 0 if
// there is none.
func emojiElement(r []rune) int {
	switch {
	case len(r) == 0:
		return 0
	case isRegional(r[0]):
		if len(r) > 1 && isRegional(r[1]) {
			return 2
		}
		return 0
	case slices.Contains([]rune("0123456789#*"), r[0]):
		if len(r) > 2 && r[1] == emojiStyle && r[2] == keycap {
			return 3
		}
		return 0
	case !unicode.Is(pictographs, r[0]):
		return 0
	}
	n := 1
	if n < len(r) && (r[n] == emojiStyle || isSkinTone(r[n])) {
		n++
	}
	return n + tags(r[n:])
}

// tags returns the length of a tag sequence, which makes the flags of regions.
func tags(r []rune) int {
	for i, c := range r {
		switch {
		case c == cancelTag && i > 0:
			return i + 1
		case c < '\U000e0020' || c > '\U000e007e':
			return 0
		}
	}
	return 0
}

func isRegional(r rune) bool { return '\U0001f1e6' <= r && r <= '\U0001f1ff' }

func isSkinTone(r rune) bool { return '\U0001f3fb' <= r && r <= '\U0001f3ff' }

// pictographs are the characters with the property Extended_Pictographic
// (emoji-data.txt of Unicode 16), without those that only text uses.
var pictographs = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x00a9, 0x00a9, 1}, {0x00ae, 0x00ae, 1}, {0x203c, 0x203c, 1}, {0x2049, 0x2049, 1},
		{0x2122, 0x2122, 1}, {0x2139, 0x2139, 1}, {0x2194, 0x2199, 1}, {0x21a9, 0x21aa, 1},
		{0x231a, 0x231b, 1}, {0x2328, 0x2328, 1}, {0x23cf, 0x23cf, 1}, {0x23e9, 0x23f3, 1},
		{0x23f8, 0x23fa, 1}, {0x24c2, 0x24c2, 1}, {0x25aa, 0x25ab, 1}, {0x25b6, 0x25b6, 1},
		{0x25c0, 0x25c0, 1}, {0x25fb, 0x25fe, 1}, {0x2600, 0x2604, 1}, {0x260e, 0x260e, 1},
		{0x2611, 0x2611, 1}, {0x2614, 0x2615, 1}, {0x2618, 0x2618, 1}, {0x261d, 0x261d, 1},
		{0x2620, 0x2620, 1}, {0x2622, 0x2623, 1}, {0x2626, 0x2626, 1}, {0x262a, 0x262a, 1},
		{0x262e, 0x262f, 1}, {0x2638, 0x263a, 1}, {0x2640, 0x2640, 1}, {0x2642, 0x2642, 1},
		{0x2648, 0x2653, 1}, {0x265f, 0x2660, 1}, {0x2663, 0x2663, 1}, {0x2665, 0x2666, 1},
		{0x2668, 0x2668, 1}, {0x267b, 0x267b, 1}, {0x267e, 0x267f, 1}, {0x2692, 0x2697, 1},
		{0x2699, 0x2699, 1}, {0x269b, 0x269c, 1}, {0x26a0, 0x26a1, 1}, {0x26a7, 0x26a7, 1},
		{0x26aa, 0x26ab, 1}, {0x26b0, 0x26b1, 1}, {0x26bd, 0x26be, 1}, {0x26c4, 0x26c5, 1},
		{0x26c8, 0x26c8, 1}, {0x26ce, 0x26cf, 1}, {0x26d1, 0x26d1, 1}, {0x26d3, 0x26d4, 1},
		{0x26e9, 0x26ea, 1}, {0x26f0, 0x26f5, 1}, {0x26f7, 0x26fa, 1}, {0x26fd, 0x26fd, 1},
		{0x2702, 0x2702, 1}, {0x2705, 0x2705, 1}, {0x2708, 0x270d, 1}, {0x270f, 0x270f, 1},
		{0x2712, 0x2712, 1}, {0x2714, 0x2714, 1}, {0x2716, 0x2716, 1}, {0x271d, 0x271d, 1},
		{0x2721, 0x2721, 1}, {0x2728, 0x2728, 1}, {0x2733, 0x2734, 1}, {0x2744, 0x2744, 1},
		{0x2747, 0x2747, 1}, {0x274c, 0x274c, 1}, {0x274e, 0x274e, 1}, {0x2753, 0x2755, 1},
		{0x2757, 0x2757, 1}, {0x2763, 0x2764, 1}, {0x2795, 0x2797, 1}, {0x27a1, 0x27a1, 1},
		{0x27b0, 0x27b0, 1}, {0x27bf, 0x27bf, 1}, {0x2934, 0x2935, 1}, {0x2b05, 0x2b07, 1},
		{0x2b1b, 0x2b1c, 1}, {0x2b50, 0x2b50, 1}, {0x2b55, 0x2b55, 1}, {0x3030, 0x3030, 1},
		{0x303d, 0x303d, 1}, {0x3297, 0x3297, 1}, {0x3299, 0x3299, 1},
	},
	R32: []unicode.Range32{
		{0x1f004, 0x1f004, 1}, {0x1f0cf, 0x1f0cf, 1}, {0x1f170, 0x1f171, 1}, {0x1f17e, 0x1f17f, 1},
		{0x1f18e, 0x1f18e, 1}, {0x1f191, 0x1f19a, 1}, {0x1f201, 0x1f202, 1}, {0x1f21a, 0x1f21a, 1},
		{0x1f22f, 0x1f22f, 1}, {0x1f232, 0x1f23a, 1}, {0x1f250, 0x1f251, 1}, {0x1f300, 0x1f3fa, 1},
		{0x1f400, 0x1f64f, 1}, {0x1f680, 0x1f6ff, 1}, {0x1f7e0, 0x1f7eb, 1}, {0x1f7f0, 0x1f7f0, 1},
		{0x1f90c, 0x1f93a, 1}, {0x1f93c, 0x1f945, 1}, {0x1f947, 0x1faff, 1},
	},
	LatinOffset: 2,
}
