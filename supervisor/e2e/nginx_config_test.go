package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// nginx itself finds nothing to complain of. From 1.25.1 on it names another way
// to say http2, which 1.22 does not understand.
func TestNginxTakesTheConfiguration(t *testing.T) {
	for _, site := range []siteFile{sitePlain, siteTLS} {
		t.Run(string(site), func(t *testing.T) {
			p := prepareProxy(t, site, "127.0.0.1:1")
			out, err := exec.Command(p.binary, p.args("-t")...).CombinedOutput()
			if err != nil {
				t.Fatalf("nginx -t: %v\n%s", err, out)
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "[") && !strings.Contains(line, `the "listen ... http2" directive is deprecated`) {
					t.Errorf("nginx -t: %s", line)
				}
			}
		})
	}
}

// nginx must never be the one who gives up first, and what it holds back must be
// what the site would refuse.
func TestNginxAndTheSiteAgree(t *testing.T) {
	p := prepareProxy(t, sitePlain, "127.0.0.1:1")
	whole, err := exec.Command(p.binary, p.args("-T")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	text := string(whole)
	ws, upstream := block(t, text, "location = /ws {"), block(t, text, "upstream simpletalk {")
	for name, c := range map[string]struct {
		text, directive string
		min, max        time.Duration
	}{
		"a silent client":                   {ws, "proxy_read_timeout", wire.SilenceLimit + wire.PingEvery, time.Hour},
		"one that does not say":             {ws, "proxy_send_timeout", wire.SilenceLimit, time.Hour},
		"one that does not read":            {ws, "send_timeout", 20 * time.Second, time.Hour},         // the site: 10 s
		"a crash loop":                      {text, "proxy_read_timeout", 31 * time.Second, time.Hour}, // its longest wait: 30 s
		"connections to a worker that goes": {upstream, "keepalive_timeout", time.Second, 20 * time.Second},
	} {
		got := duration(t, c.text, c.directive)
		if got < c.min || got > c.max {
			t.Errorf("%s: %s is %s, want between %s and %s", name, strings.TrimSpace(c.directive), got, c.min, c.max)
		}
	}
}

// A request finds its way past every kept connection to a worker that dies.
func TestNginxHasMoreServersThanKeptConnections(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "nginx", "snippets", "simpletalk-http.conf"))
	if err != nil {
		t.Fatal(err)
	}
	upstream := block(t, string(text), "upstream simpletalk {")
	servers := strings.Count(upstream, "\tserver 127.0.0.1:3000 max_fails=0;\n")
	_, after, _ := strings.Cut(upstream, "\tkeepalive ")
	number, _, _ := strings.Cut(after, ";")
	if kept, err := strconv.Atoi(number); err != nil || servers < kept+2 {
		t.Errorf("%d servers and %q kept connections, want at least two servers more", servers, number)
	}
}

// block is what is between a line and the brace that ends it.
func block(t *testing.T, text, begin string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, "\n"+begin+"\n")
	if !found {
		t.Fatalf("there is no %s", begin)
	}
	inside, _, _ := strings.Cut(rest, "\n}")
	return inside
}

// duration is that of the first such directive.
func duration(t *testing.T, text, directive string) time.Duration {
	t.Helper()
	m := regexp.MustCompile(`(?m)^\s*` + directive + `\s+(\w+);`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("there is no %s", directive)
	}
	d, err := time.ParseDuration(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return d
}
