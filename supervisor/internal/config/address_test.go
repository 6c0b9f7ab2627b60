package config

import (
	"net"
	"slices"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	long := "/" + strings.Repeat("x", maxPath-1)
	for _, test := range []struct {
		in   string
		want Address
		says string // the canonical form
	}{
		{"127.0.0.1:3000", Address{Network: "tcp", Host: "127.0.0.1", Port: 3000}, "127.0.0.1:3000"},
		{"tcp://127.0.0.1:3000", Address{Network: "tcp", Host: "127.0.0.1", Port: 3000}, "127.0.0.1:3000"},
		{":80", Address{Network: "tcp", Port: 80}, ":80"},
		{"localhost:0", Address{Network: "tcp", Host: "localhost"}, "localhost:0"},
		{"[::1]:65535", Address{Network: "tcp", Host: "::1", Port: 65535}, "[::1]:65535"},
		{"[fe80::1%eth0]:1", Address{Network: "tcp", Host: "fe80::1%eth0", Port: 1}, "[fe80::1%eth0]:1"},
		{"unix:///run/web.sock", Address{Network: "unix", Path: "/run/web.sock", Mode: 0o660}, "unix:///run/web.sock?mode=0660"},
		{"unix:///run/web.sock?mode=0600", Address{Network: "unix", Path: "/run/web.sock", Mode: 0o600}, "unix:///run/web.sock?mode=0600"},
		{"unix:///run/web.sock?mode=777", Address{Network: "unix", Path: "/run/web.sock", Mode: 0o777}, "unix:///run/web.sock?mode=0777"},
		{"unix:///run/a b%20#c", Address{Network: "unix", Path: "/run/a b%20#c", Mode: 0o660}, "unix:///run/a b%20#c?mode=0660"},
		{"unix://" + long, Address{Network: "unix", Path: long, Mode: 0o660}, "unix://" + long + "?mode=0660"},
	} {
		t.Run(test.in, func(t *testing.T) {
			got, err := ParseAddress(test.in)
			if err != nil || got != test.want {
				t.Errorf("got %+v, %v; want %+v", got, err, test.want)
			}
			if got.String() != test.says {
				t.Errorf("it says %q, want %q", got, test.says)
			}
		})
	}
}

func TestAWrongAddressIsExplained(t *testing.T) {
	for in, says := range map[string]string{
		"":                               "must be HOST:PORT",
		"3000":                           "must be HOST:PORT",
		"127.0.0.1":                      "must be HOST:PORT",
		"::1:80":                         "must be HOST:PORT",
		"unix:/run/web.sock":             "absolute path: unix:///PATH (three slashes)",
		"127.0.0.1:http":                 `port "http" must be a number from 0 to 65535`,
		"127.0.0.1:":                     `port "" must be a number`,
		"127.0.0.1:65536":                "0 to 65535",
		"127.0.0.1:-1":                   "0 to 65535",
		"127.0.0.1:+80":                  "0 to 65535",
		"127.0.0.1:99999999999999999999": "0 to 65535",
		"local host:80":                  `host "local host" must be`,
		"local/host:80":                  `host "local/host" must be`,
		"http://127.0.0.1:80":            `unknown scheme "http"`,
		"udp://127.0.0.1:80":             "it must be tcp or unix",
		"://127.0.0.1:80":                `unknown scheme ""`,
		"tcp://":                         "must be HOST:PORT",
		"unix://run/web.sock":            "absolute path: unix:///PATH",
		"unix://":                        "absolute path",
		"unix:///":                       "absolute path",
		"unix:///run/":                   "absolute path",
		"unix://?mode=0600":              "absolute path",
		"unix:///a\nb":                   "control character",
		"unix:///a\x00":                  "control character",
		"unix:///" + strings.Repeat("x", maxPath): "has 108 bytes, that of a Unix socket at most 107",
		"unix:///a?":                    `unknown option ""`,
		"unix:///a?owner=www":           `unknown option "owner", there is only mode`,
		"unix:///a?mode=":               "octal",
		"unix:///a?mode=rw":             "octal",
		"unix:///a?mode=888":            "octal",
		"unix:///a?mode=1777":           "up to 0777",
		"unix:///a?mode=-1":             "octal",
		"unix:///a?mode=0660&mode=0600": "octal",
		"unix:///a?mode=0660&owner=www": "octal",
	} {
		t.Run(in, func(t *testing.T) {
			_, err := ParseAddress(in)
			explained(t, err, says)
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

func TestParseListens(t *testing.T) {
	got, err := ParseListens([]string{"http=127.0.0.1:3000", "web-2_x.Y=unix:///run/a=b"})
	want := []Listen{
		{"http", Address{Network: "tcp", Host: "127.0.0.1", Port: 3000}},
		{"web-2_x.Y", Address{Network: "unix", Path: "/run/a=b", Mode: 0o660}},
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

// Whatever is taken says itself in a form that is taken for the same.
func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"127.0.0.1:3000", "tcp://[::1]:0", ":80", "unix:///run/a.sock?mode=0660", "unix:///a#b%20", "http://x", "tcp://[unix://]:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: more than a line: %v", s, err)
			}
			return
		}
		switch a.Network {
		case "tcp":
			if _, _, err := net.SplitHostPort(a.String()); err != nil || a.Path != "" {
				t.Errorf("%q: %+v says %q", s, a, a)
			}
		case "unix":
			if !strings.HasPrefix(a.Path, "/") || len(a.Path) > maxPath || a.Mode > 0o777 || a.Host != "" || a.Port != 0 {
				t.Errorf("%q: %+v", s, a)
			}
		default:
			t.Errorf("%q: network %q", s, a.Network)
		}
		again, err := ParseAddress(a.String())
		if err != nil || again != a {
			t.Errorf("%q: %+v says %q, which is %+v, %v", s, a, a, again, err)
		}
	})
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
		if len(got) != 2 || got[0].Name == got[1].Name || !validName(got[0].Name) || strings.Contains(got[1].Name, ":") {
			t.Errorf("%q, %q: %+v", first, second, got)
		}
	})
}
