package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/systemd/sdbox"
)

// languages are those of the programs in testdata/languages.
var languages = []struct{ name, command, file string }{
	{"node", "/usr/bin/node", "server.js"},
	{"python", "/usr/bin/python3", "server.py"},
}

// interpreted is a program in another language under a supervisor.
type interpreted struct {
	*site
	file string // of the program
}

// openForeign starts a program, with what else the configuration says of it.
func openForeign(t *testing.T, command, file, config string) interpreted {
	t.Helper()
	if _, err := os.Stat(command); err != nil {
		skip(t, err.Error())
	}
	g := interpreted{&site{t: t, dir: t.TempDir(), ended: make(chan struct{}), output: new(output)}, ""}
	g.file = filepath.Join(g.dir, file)
	g.write(g.source(file))
	text := fmt.Sprintf("[listen]\nhttp = \"127.0.0.1:0\"\n[program.guest]\ncommand = [%q, %q]\ndir = %q\nbake = \"0s\"\n%s", command, file, g.dir, config)
	if err := os.WriteFile(filepath.Join(g.dir, "supervisor.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g.launch(exec.Command(binaries.supervisor(t), "run", "--state", g.state(), "--config", "supervisor.toml"))
	g.eventually("it serves", func() bool {
		st, err := g.status()
		if err != nil || len(st.Programs) == 0 || len(st.Listen) == 0 {
			return false
		}
		g.addr = st.Listen[0].Address
		return st.Programs[0].Instances[0].State == "running"
	})
	return g
}

func (g interpreted) source(file string) string {
	g.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "languages", file))
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

// write puts a program in place.
func (g interpreted) write(text string) {
	g.t.Helper()
	if err := os.WriteFile(g.file+".new", []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Rename(g.file+".new", g.file); err != nil {
		g.t.Fatal(err)
	}
}

// says is what it answers over a fresh connection.
func says(addr string) string {
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + addr)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// By the supervisor's socket a reload fails and refuses no request, a broken
// program changes nothing, and one that is killed is started again.
func TestProgramsInOtherLanguages(t *testing.T) {
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			g := openForeign(t, l.command, l.file, "listen = [\"http\"]\n")
			ctx, stop := context.WithCancel(t.Context())
			var asking sync.WaitGroup
			p := &prober{addr: g.addr}
			asking.Go(func() { p.run(ctx, 100) })
			for i := range 3 {
				version := fmt.Sprintf("v%d", i)
				g.write(strings.Replace(g.source(l.file), `"one"`, `"`+version+`"`, 1))
				if out, code, err := g.command("reload", "--wait"); code != 0 {
					t.Fatalf("reload: %v\n%s", err, out)
				}
				// The one before accepts as well until it has heard its SIGTERM.
				g.eventually("it says "+version, func() bool { return strings.HasPrefix(says(g.addr), l.name+" "+version+" ") })
			}
			g.write("this is (no program")
			if out, code, _ := g.command("reload", "--wait"); code != 3 || !strings.Contains(g.output.String(), "SyntaxError") {
				t.Errorf("reload of a broken program: exit %d\n%s", code, out)
			}
			if got := says(g.addr); !strings.HasPrefix(got, l.name+" v2 ") {
				t.Errorf("after a broken one it says %q", got)
			}
			stop()
			asking.Wait()
			if p.refused > 0 || len(p.failures) > 0 || p.ok < 10 {
				t.Errorf("%d requests answered, %d refused, failed: %v", p.ok, p.refused, p.failures)
			}

			g.write(g.source(l.file))
			kill(g.worker())
			g.eventually("it serves again", func() bool { return strings.HasPrefix(says(g.addr), l.name+" one ") })
		})
	}
}

// By a port of its own a program cannot begin while another has it: a reload is
// rejected and changes nothing, a restart lets the new one in. One that shares its
// port (SO_REUSEPORT) is reloaded.
func TestProgramsWithAPortOfTheirOwn(t *testing.T) {
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			addr := freePort(t)
			_, port, _ := net.SplitHostPort(addr)
			g := openForeign(t, l.command, l.file, fmt.Sprintf("listen = []\nenv = { PORT = %q }\nready_after = \"5s\"\n", port))
			if got := says(addr); !strings.HasPrefix(got, l.name+" one ") {
				t.Fatalf("it says %q", got)
			}
			g.write(strings.Replace(g.source(l.file), `"one"`, `"two"`, 1))
			out, code, _ := g.command("reload", "--wait")
			if l.name == "node" {
				if code != 3 || !strings.Contains(g.output.String(), "EADDRINUSE") {
					t.Errorf("reload: exit %d\n%s", code, out)
				}
				if got := says(addr); !strings.HasPrefix(got, "node one ") {
					t.Errorf("after that it says %q", got)
				}
				if out, code, err := g.command("restart", "guest"); code != 0 {
					t.Fatalf("restart: %v\n%s", err, out)
				}
			} else if code != 0 {
				t.Errorf("reload: exit %d\n%s", code, out)
			}
			g.eventually("the new one serves", func() bool { return strings.HasPrefix(says(addr), l.name+" two ") })
		})
	}
}

// freePort is an address of this machine that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Under the full hardening of the unit too, which for Node is less one line
// (startup --jit).
func TestProgramsInOtherLanguagesUnderSystemd(t *testing.T) {
	for _, l := range languages {
		if _, err := os.Stat(l.command); err != nil {
			skip(t, err.Error())
		}
	}
	s := &service{sdbox.Boot(t, sdbox.Options{}), t}
	s.Install("/opt/simpletalk/releases/1/supervisor", binaries.lean(t))
	s.current("1")
	config := "[listen]\nhttp = \"127.0.0.1:3000\"\npython = \"127.0.0.1:3001\"\n"
	for _, l := range languages {
		text, err := os.ReadFile(filepath.Join("testdata", "languages", l.file))
		if err != nil {
			t.Fatal(err)
		}
		s.Write("/opt/simpletalk/"+l.file, string(text), 0o644)
		listen := map[string]string{"node": "http", "python": "python"}[l.name]
		config += fmt.Sprintf("[program.%s]\ncommand = [%q, \"/opt/simpletalk/%s\"]\nlisten = [%q]\nbake = \"0s\"\n", l.name, l.command, l.file, listen)
	}
	config += "[program.plain]\ncommand = [\"/usr/bin/node\", \"/opt/simpletalk/server.js\"]\nenv = { PORT = \"3003\" }\nready_after = \"1s\"\nbake = \"0s\"\n"
	s.Write("/etc/simpletalk/supervisor.toml", config, 0o644)
	s.Must("/opt/simpletalk/current/supervisor", "startup", "--jit")
	for port, want := range map[string]string{"3000": "node one ", "3001": "python one ", "3003": "node one "} {
		s.eventually(want+"serves", func() bool { return strings.HasPrefix(s.says("127.0.0.1:"+port), want) })
	}
	before := s.says("127.0.0.1:3000") + s.says("127.0.0.1:3001")
	refused := s.whileAsking(func() {
		if out, code := s.Run("/opt/simpletalk/current/supervisor", "reload", "--wait", "node", "python"); code != 0 {
			t.Errorf("reload: exit %d: %s", code, out)
		}
	})
	if after := s.says("127.0.0.1:3000") + s.says("127.0.0.1:3001"); refused > 0 || after == before || !strings.Contains(after, "node one ") {
		t.Errorf("after a reload: %q, before %q, %d refused", after, before, refused)
	}

	// A killed supervisor is started again, and they serve on.
	before = s.says("127.0.0.1:3000") + s.says("127.0.0.1:3001")
	main := strings.TrimSpace(s.Must("cat", "/run/simpletalk/supervisor.pid"))
	s.Must("systemctl", "kill", "-s", "KILL", "--kill-whom=main", "simpletalk")
	s.eventually("another supervisor", func() bool {
		now, _ := s.Run("cat", "/run/simpletalk/supervisor.pid")
		out, code := s.Run("/opt/simpletalk/current/supervisor", "status")
		return strings.TrimSpace(now) != main && code == 0 && strings.Count(out, " running ") == 3
	})
	if after := s.says("127.0.0.1:3000") + s.says("127.0.0.1:3001"); after != before {
		t.Errorf("after a kill of the supervisor: %q, before %q", after, before)
	}
}

// says is what is answered in the box over a fresh connection.
func (s *service) says(addr string) string {
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: s.Network.Dial}}
	r, err := c.Get("http://" + addr)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
