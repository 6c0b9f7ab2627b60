package auth

import (
	"errors"
	"strings"
	"testing"

	"github.com/rivo/uniseg"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

func TestCheckName(t *testing.T) {
	for name, want := range map[string]string{
		"Ann":                              "Ann",
		"Zoë B":                            "Zoë B",
		"Zoe\u0308":                        "Zoë", // composed
		"Ａｎｎ":                              "Ann", // full width
		"李雷":                               "李雷",
		"さくら桜サクラ":                          "さくら桜サクラ", // Japanese is written in three scripts
		"한국漢":                              "한국漢",
		"Иван 2":                           "Иван 2",
		"🎈":                                "🎈",
		"Ann 🎈!":                           "Ann 🎈!",
		"🍎":                                "🍎",
		"Al L.":                            "Al L.",
		"★":                                "★",
		"Nguyễn":                           "Nguyễn", // two marks on a letter
		strings.Repeat("x", wire.MaxName):  strings.Repeat("x", wire.MaxName),
		strings.Repeat("ก็", wire.MaxName): strings.Repeat("ก็", wire.MaxName), // two code points, one character
	} {
		if got, err := CheckName(name); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestCheckNameRefuses(t *testing.T) {
	for what, names := range map[string][]string{
		"nothing to see":       {"", " ", "\u200b", "\u3164", "\u00ad"},
		"spaces":               {" Ann", "Ann ", "A  B", "A\u00a0B", "A\u2028B"},
		"control characters":   {"A\x00B", "A\nB", "A\tB", "A\x7fB", "A\u0085B"},
		"bidi controls":        {"A\u202eB", "\u2066A\u2069", "A\u200fB", "\u061cA"},
		"what nobody sees":     {"A\u200bB", "A\u200dB", "A\ufeffB", "A\u2060B", "A\U000e0041"},
		"broken UTF-8":         {"\xff", "A\xc3", "\xed\xa0\x80"},
		"several scripts":      {"Аnn", "Annа", "pаypal", "李Ann", "Иvan", "αdmin", "ひ한"},
		"too long":             {strings.Repeat("x", wire.MaxName+1), strings.Repeat("ก็", wire.MaxName+1), "x" + strings.Repeat("\u0301", 200), "ﷺﷺ", strings.Repeat("ﬃ", 9)},
		"the chat itself":      {"admin", "ADMIN", "Adm1n", "аdmіn", "ａｄｍｉｎ", "SimpleTalk", "S1mpleTa1k", "system", "deleted user", "Deleted User", "root", "r00t", "everyone", "Admin.", "★ admin ★", "@everyone", "[mod]", "-System-"},
		"private and unsigned": {"\ue000", "\ufffe", "\u0378"},
		"symbols of nothing":   {"\u2800", "🎈\u2800", "\U0001d159", "\ufffc", "Ann\ufffd"},
		"loose marks":          {"\u0301", "\u0301Ann", "\u20ddx", "x" + strings.Repeat("\u0301\u0302", 3), "Ann\u0e4d\u0e4d\u0e4d\u0e4d\u0e4d"},
	} {
		for _, name := range names {
			var field *wire.Error
			if got, err := CheckName(name); !errors.As(err, &field) {
				t.Errorf("%s: %q became %q, %v; want a bad field", what, name, got, err)
			} else if strings.ContainsAny(field.Msg, "\n\x00\u202e") {
				t.Errorf("%s: the answer %q repeats what is refused", what, field.Msg)
			}
		}
	}
}

// Names in a group are the same to a reader, those of two groups are not.
func TestNameKey(t *testing.T) {
	groups := [][]string{
		{"Ann", "ann", "ANN", "Ａnn", "ａｎｎ", "Аnn"},
		{"Anna"},
		{"Zoë", "zoe\u0308", "ZOË"},
		{"Zoe"},
		{"paypal", "PayPal", "pаypаl", "PAYPAL", "paypaI", "paypa1", "ρaypal"},
		{"Ian", "lan", "1an", "IAN"},
		{"Bob", "B0b", "BOB", "ВОВ", "вов"}, // the last two are Cyrillic, and so are capitals like Latin ones
		{"mary", "rnary", "MARY"},
		{"Straße", "STRAẞE"},
		{"a b", "A B", "a\u3000b"},
		{"ab"},
		{"李雷"},
		{"Ann🍎"}, // is taken for what Go's tables do not know yet
		{"🍎", "🍏"},
		{"🌳"},
	}
	of := map[string]int{}
	for i, group := range groups {
		for _, name := range group {
			key := NameKey(name)
			if other, seen := of[key]; seen && other != i {
				t.Errorf("%q has the key %q of group %v", name, key, groups[other])
			}
			of[key] = i
			if first := NameKey(group[0]); key != first {
				t.Errorf("%q has the key %q, %q has %q", name, key, group[0], first)
			}
		}
	}
}

// What is shown must be taken for the same as what was asked for, and stay as it
// is when it is asked for again.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"Ann", "Zoe\u0308", "李雷", "\u202eA", "ﷺ", "A\u0301\u0301", "ß", "İ", "\xff", "🍎", "ʕ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		name, err := CheckName(raw)
		if err != nil {
			return
		}
		if again, err := CheckName(name); err != nil || again != name {
			t.Errorf("%q is kept as %q, and that as %q, %v", raw, name, again, err)
		}
		if n := uniseg.GraphemeClusterCount(name); n > wire.MaxName {
			t.Errorf("%q is kept as %q, which has %d characters", raw, name, n)
		}
		if NameKey(name) == "" {
			t.Errorf("%q has no key, so that nobody could keep it", name)
		}
		if NameKey(name) != NameKey(raw) {
			t.Errorf("%q and %q, as which it is kept, have the keys %q and %q", raw, name, NameKey(raw), NameKey(name))
		}
	})
}
