package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/simpletalk/simpletalk/proto/address"
)

func TestParseListens(t *testing.T) {
	got, err := ParseListens([]string{"http=127.0.0.1:3000", "web-2_x.Y=unix:///run/a=b"})
	want := []Listen{
		{"http", address.Address{Network: "tcp", Host: "127.0.0.1", Port: 3000}},
		{"web-2_x.Y", address.Address{Network: "unix", Path: "/run/a=b", Mode: 0o660}},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got, err := ParseListens(nil); err != nil || len(got) != 0 {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
}

func TestAWrongListenIsExplained(t *testing.T) {
	for _, test := range []struct {
		in   []string
		says string
	}{
		{[]string{""}, "must be NAME=ADDRESS"},
		{[]string{"127.0.0.1:3000"}, "must be NAME=ADDRESS, such as http=127.0.0.1:3000"},
		{[]string{"=127.0.0.1:3000"}, `the name "" must be`},
		{[]string{"a:b=127.0.0.1:3000"}, `the name "a:b" must be`},
		{[]string{"ä=127.0.0.1:3000"}, "letters, digits"},
		{[]string{strings.Repeat("x", 41) + "=127.0.0.1:3000"}, "1 to 40"},
		{[]string{"http=nowhere"}, `--listen http: address "nowhere"`},
		{[]string{"http=127.0.0.1:1", "http=127.0.0.1:2"}, `the name "http" is given twice`},
		{[]string{"http=127.0.0.1:1", "web=127.0.0.1:1"}, `http listens there already`},
		{[]string{"http=unix:///run/a.sock", "web=unix:///run/a.sock?mode=0600"}, `http listens there already`},
	} {
		t.Run(strings.Join(test.in, " "), func(t *testing.T) {
			_, err := ParseListens(test.in)
			explained(t, err, test.says)
		})
	}
}

func explained(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil {
		t.Fatal("it was taken")
	}
	if line := err.Error(); !strings.Contains(line, says) || strings.Contains(line, "\n") {
		t.Errorf("it says %q, want one line with %q", line, says)
	}
}

func FuzzParseListens(f *testing.F) {
	f.Add("http=127.0.0.1:3000", "web=unix:///run/a.sock?mode=0660")
	f.Add("http=:1", "http=:2")
	f.Fuzz(func(t *testing.T, first, second string) {
		got, err := ParseListens([]string{first, second})
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q, %q: more than a line: %v", first, second, err)
			}
			return
		}
		if len(got) != 2 || got[0].Name == got[1].Name || !ValidName(got[0].Name) || strings.Contains(got[1].Name, ":") {
			t.Errorf("%q, %q: %+v", first, second, got)
		}
	})
}
