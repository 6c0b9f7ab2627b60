package config

import (
	"maps"
	"strings"
	"testing"
)

func TestParseEnvFile(t *testing.T) {
	type env = map[string]string
	for _, test := range []struct {
		name, text string
		want       env
	}{
		{"nothing", "", env{}},
		{"blanks and comments", "\n \t\n# A=1\n;B=2\n  # C=3\\\nD=4", env{"D": "4"}},
		{"an empty value", "A=\nB=", env{"A": "", "B": ""}},
		{"the last of two", "A=1\nA=2\n", env{"A": "2"}},
		{"spaces around", " A \t=\t x  y \t\nB=z", env{"A": "x  y", "B": "z"}},
		{"more equals signs", "A=b=c=", env{"A": "b=c="}},
		{"no expansion", "A=$HOME ${B} $(c) `d`", env{"A": "$HOME ${B} $(c) `d`"}},
		{"a hash within", "A=x # y\nB='x' # y", env{"A": "x # y", "B": "x# y"}},
		{"quotes within", `A=it's "so"`, env{"A": `it's "so"`}},
		{"backslashes", `A=\a\\b\"\ ` + "\nB=\\ x", env{"A": `a\b" `, "B": " x"}},
		{"a line that goes on", "A=x\\\ny \\\n  z\nB=\\", env{"A": "xy   z", "B": ""}},
		{"single quotes", `A='x \n "$y" # ' ` + "\nB='1\n2'\nC=3", env{"A": `x \n "$y" # `, "B": "1\n2", "C": "3"}},
		{"double quotes", `A="x \" \\ \$ ` + "\\` \\n '\"\nB=\"1\\\n2\n3\"", env{"A": "x \" \\ $ ` \\n '", "B": "12\n3"}},
		{"quotes side by side", `A='x' "y"'z' w `, env{"A": "xyzw"}},
		{"lines of Windows", "A=1\r\nB='2'\r\nC=3\\\r\n4\r\n\r\n#\r\n", env{"A": "1", "B": "2", "C": "34"}},
		{"letters of any kind", "A_b1=ä\xff", env{"A_b1": "ä\xff"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, mistakes := parseEnvFile("env", test.text)
			if len(mistakes) > 0 || !maps.Equal(got, test.want) {
				t.Errorf("got %q, %v; want %q", got, mistakes, test.want)
			}
		})
	}
}

func TestAWrongEnvFileIsExplained(t *testing.T) {
	const name = "the name before = must have letters, digits and '_', and not begin with a digit"
	for _, test := range []struct{ name, text, want string }{
		{"no equals sign", "A=1\n\nsecret\nB=2", "env:3: must be NAME=VALUE, a comment (#) or blank"},
		{"export", "export A=secret", "env:1: must be NAME=VALUE without export: this file is not for a shell"},
		{"export and a tab", "export\tA=secret", "env:1: must be NAME=VALUE without export: this file is not for a shell"},
		{"no name", "=secret", "env:1: " + name},
		{"a space in the name", "secret A=1", "env:1: " + name},
		{"a digit first", "1secret=1", "env:1: " + name},
		{"an open single quote", "A=1\nB='secret\n\nC=1", "env:2: the value has a quote that is not closed"},
		{"an open double quote", "A=\"secret\\\"\n", "env:1: the value has a quote that is not closed"},
		{"an open quote at the end", "A='x'\"secret\\", "env:1: the value has a quote that is not closed"},
		{"a zero byte", "A=1\nB=secret\x00\nC", "env:2: has a zero byte, which no variable can hold"},
		{"the contract", "LISTEN_FDS=secret\nSIMPLETALK_CONTROLS=secret", "env:1: LISTEN_FDS: only the supervisor may set it\nenv:2: SIMPLETALK_CONTROLS: only the supervisor may set it"},
		{"lines are counted through values", "A='1\n2'\nB=\"3\n\\\n4\"\nC=5\\\n6\nsecret", "env:8: must be NAME=VALUE, a comment (#) or blank"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, mistakes := parseEnvFile("env", test.text)
			if got := mistakes.Error(); got != test.want || strings.Contains(got, "secret") {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// Whatever text is in quotes comes out of them again, and of any file each
// mistake has a line of its own.
func FuzzEnvironFile(f *testing.F) {
	for _, s := range []string{"", "A=1\n", "A='x'\"y\\\"\" z\\", "export A=1", "# x\\\nB = \\ \\\n", "A=\"1\\\n2\"\r\n\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		env, mistakes := parseEnvFile("env", text)
		for name, value := range env {
			if !ValidVariable(name) || reserved(name) || hasNUL(value) {
				t.Errorf("%q: %q", text, name)
			}
		}
		last := 1
		for _, m := range mistakes {
			if m.Line < last || m.Line > 1+strings.Count(text, "\n") || strings.ContainsAny(m.String(), "\n\r") {
				t.Errorf("%q: %+v", text, m)
			}
			last = m.Line
		}
		if hasNUL(text) || strings.Contains(text, "\r\n") {
			return
		}
		quoted := "A=\"" + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + "\"\nB=end"
		if env, mistakes := parseEnvFile("env", quoted); len(mistakes) > 0 || env["A"] != text || env["B"] != "end" {
			t.Errorf("%q: %q, %v", quoted, env, mistakes)
		}
	})
}
