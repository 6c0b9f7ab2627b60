package auth

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
	"go.mau.fi/util/confusable"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// CheckName returns the form in which a name is kept and shown, or a
// *[wire.Error]: at most [wire.MaxName] graphemes of one script, as the PRECIS
// profile Nickname (RFC 8266) has them, and no word that could be taken for the
// chat's own.
func CheckName(raw string) (string, error) {
	if err := wire.ValidName(raw); err != nil {
		return "", err
	}
	name, err := precis.Nickname.String(raw)
	if err != nil {
		return "", badName("a name may hold letters, digits, punctuation and symbols, of which %q has others", raw)
	}
	if err := wire.ValidName(name); err != nil { // normalised, it may have grown
		return "", err
	}
	if n := uniseg.GraphemeClusterCount(name); n > wire.MaxName {
		return "", badName("a name has 1 to %d characters, not %d", wire.MaxName, n)
	}
	if hasBlank(name) || hasLooseMarks(name) {
		return "", badName("a name must not hold characters that nobody can see, or marks without a letter or more than %d on one", maxMarks)
	}
	if scripts := scriptsOf(name); len(scripts) == 0 {
		return "", badName("the letters of a name must be of one script, those of %q are of several", raw)
	}
	if isReserved(name) {
		return "", badName("%q could be taken for the chat itself: pick another name", raw)
	}
	return name, nil
}

func badName(format string, args ...any) error {
	return &wire.Error{Code: wire.CodeBadField, Msg: fmt.Sprintf(format, args...)}
}

// blank are symbols that PRECIS lets through, and of which nothing or no more than
// a placeholder is seen: braille without dots, a note without a head, an object
// that is not there, and what stands for a character that could not be read.
const blank = "\u2800\U0001d159\ufffc\ufffd"

func hasBlank(name string) bool { return strings.ContainsAny(name, blank) }

// maxMarks is how many marks one letter may have, as UTS 39 section 5.4 has it: no
// language needs more, and a heap of them covers other people's lines.
const maxMarks = 4

// hasLooseMarks reports whether marks stand before any letter, or too many on one.
func hasLooseMarks(name string) bool {
	marks := maxMarks // before the first letter there is no room for one
	for _, r := range norm.NFD.String(name) {
		if !unicode.In(r, unicode.Mn, unicode.Me) {
			marks = 0
			continue
		}
		if marks++; marks > maxMarks {
			return true
		}
	}
	return false
}

// NameKey returns what two names have in common that people would take for the
// same: one may be kept or be here only if no other has its key. It compares
// them by PRECIS (case, width and form of a character) and by the skeleton of
// UTS 39. Capitals may look alike where small letters do not, and the other way
// round, so the skeleton is taken of both; "I", "l" and "1" are all one. A name
// that [CheckName] lets through has a key that is not empty. Accounts are kept under
// their keys: whoever changes how one is made, also by another version of the
// tables, has to change those.
func NameKey(name string) string {
	if key, err := precis.Nickname.CompareKey(name); err == nil {
		name = key
	}
	capitals := skeleton(strings.ToUpper(name))
	small := skeleton(strings.ToLower(capitals))
	return chat.FoldName(strings.ToLower(small))
}

// skeleton is that of UTS 39 section 4. The library's own function leaves out what
// Go's tables, which are of an older Unicode, do not know: taken twice, it would
// make nothing of a red apple.
func skeleton(s string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(s) {
		if like := confusable.GetReplacement(r); like != "" {
			b.WriteString(like)
		} else {
			b.WriteRune(r)
		}
	}
	return norm.NFD.String(b.String())
}

// reserved are the keys of names that could be taken for the chat itself, or
// for nobody.
var reserved = keysOf(
	"admin", "administrator", "mod", "moderator", "operator", "root", "sysadmin", "system",
	"staff", "support", "helpdesk", "official", "security", "server", "webmaster", "owner", "bot",
	"simpletalk", "simple talk", "simpletalk team",
	"everyone", "everybody", "all", "here", "channel", "room", "nobody", "me", "you",
	"guest", "anonymous", "unknown", "null", "undefined", "none",
	chat.DeletedUser, "deleted",
)

// isReserved reports whether a name is reserved, with whatever around it: a dot or
// a star makes nobody else of it.
func isReserved(name string) bool {
	core := strings.TrimFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r) })
	return reserved[NameKey(core)]
}

func keysOf(names ...string) map[string]bool {
	keys := map[string]bool{}
	for _, n := range names {
		keys[NameKey(n)] = true
	}
	return keys
}

// together are scripts that are written together in one language (UTS 39
// section 5.1): each stands for the whole set.
var together = map[string][]string{
	"Han":      {"Chinese", "Japanese", "Korean"},
	"Bopomofo": {"Chinese"},
	"Hiragana": {"Japanese"},
	"Katakana": {"Japanese"},
	"Hangul":   {"Korean"},
}

// scriptsOf returns the scripts that all letters of a name have in common, none
// if there are none; a name without letters is of any.
func scriptsOf(name string) []string {
	common := []string{"any"}
	for _, r := range name {
		s := scriptOf(r)
		if s == "" {
			continue
		}
		of, ok := together[s]
		if !ok {
			of = []string{s}
		}
		common = intersect(common, of)
	}
	return common
}

func intersect(a, b []string) (both []string) {
	if len(a) == 1 && a[0] == "any" {
		return b
	}
	for _, s := range a {
		for _, o := range b {
			if s == o {
				both = append(both, s)
			}
		}
	}
	return both
}

// scriptOf returns the script of a character, "" if it is used with any.
func scriptOf(r rune) string {
	if r < unicode.MaxASCII {
		if 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' {
			return "Latin"
		}
		return ""
	}
	if unicode.In(r, unicode.Common, unicode.Inherited) {
		return ""
	}
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return name
		}
	}
	return ""
}
