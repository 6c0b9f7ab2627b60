package config

import (
	"maps"
	"strings"
	"testing"
)

// What is written is what is read.
func FuzzAnEnvFileGivesWhatItWasMadeOf(f *testing.F) {
	for _, value := range []string{
		"", " spaces ", "mongodb://u:p$wd@host/db?a=b&c=d", "a\nb\n", "a\r\nb\r\n", "\r", `'"\`, "\\\n", "`id`", "${HOME}", "# no comment", "ü\u2028",
	} {
		f.Add("MONGODB_URI", value, "next")
	}
	f.Fuzz(func(t *testing.T, name, value, next string) {
		variables := map[string]string{name: value, "ZZ": next}
		text, err := FormatEnvFile(variables)
		if err != nil {
			if ValidVariable(name) && !reserved(name) && !hasNUL(value) && !hasNUL(next) {
				t.Fatal(err)
			}
			return
		}
		got, mistakes := parseEnvFile("env", string(text))
		if len(mistakes) > 0 || !maps.Equal(got, variables) {
			t.Fatalf("%q became %q, %v", variables, got, mistakes)
		}
	})
}

func TestAnEnvFileIsNotMadeOfMistakes(t *testing.T) {
	const secret = "s3cret"
	for name, value := range map[string]string{"1ST": secret, "": secret, "A B": secret, "LISTEN_FDS": secret, "ZERO": secret + "\x00"} {
		text, err := FormatEnvFile(map[string]string{name: value})
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %q, %v", name, text, err)
		}
	}
}

func TestAnEnvFileIsSorted(t *testing.T) {
	text, err := FormatEnvFile(map[string]string{"B": "2", "A": "1", "C": "a$b"})
	if want := "A=\"1\"\nB=\"2\"\nC=\"a\\$b\"\n"; err != nil || string(text) != want {
		t.Errorf("got %q, %v, want %q", text, err, want)
	}
}
