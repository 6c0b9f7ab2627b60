package address

import (
	"net"
	"strings"
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestParse(t *testing.T) {
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
			got, err := Parse(test.in)
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
			_, err := Parse(in)
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

// Whatever is taken says itself in a form that is taken for the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"127.0.0.1:3000", "tcp://[::1]:0", ":80", "unix:///run/a.sock?mode=0660", "unix:///a#b%20", "http://x", "tcp://[unix://]:80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
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
		again, err := Parse(a.String())
		if err != nil || again != a {
			t.Errorf("%q: %+v says %q, which is %+v, %v", s, a, a, again, err)
		}
	})
}
