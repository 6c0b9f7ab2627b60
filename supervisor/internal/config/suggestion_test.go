package config

import (
	"strings"
	"testing"
)

func TestTheNearestWord(t *testing.T) {
	known := []string{"bake", "command", "dir", "env", "env_file", "ready_timeout", "x"}
	for word, want := range map[string]string{
		"ready_timout":               "ready_timeout",
		"redy_timeuot":               "",
		"comand":                     "command",
		"commnad":                    "command",
		"envfile":                    "env_file",
		"envs":                       "env",
		"bäke":                       "bake",
		"y":                          "", // a letter of one is nothing alike
		"dxx":                        "",
		"":                           "",
		strings.Repeat("command", 9): "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestSlips(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"same", "same", 0}} {
		if got := slips(test.a, test.b); got != test.want {
			t.Errorf("%q, %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
