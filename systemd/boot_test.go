//go:build linux

package systemd

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/systemd/sdbox"
)

// standin builds testdata/standin, which takes the supervisor's place.
var standin = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "standin-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	c := exec.Command("go", "build", "-o", filepath.Join(dir, "standin"), "./testdata/standin")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	c.Stderr = os.Stderr
	if err := c.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "standin"))
})

// host is a box with everything installed as the package comment has it.
type host struct {
	*sdbox.Box
	t *testing.T
}

func boot(t *testing.T) host {
	t.Helper()
	h := host{sdbox.Boot(t, sdbox.Options{Files: Files()}), t}
	build, err := standin()
	if err != nil {
		t.Fatal("build the stand-in: ", err)
	}
	h.Must("systemd-sysusers", "simpletalk.conf")
	h.Must("systemd-tmpfiles", "--create", "simpletalk.conf")
	h.Write("/opt/simpletalk/releases/1/supervisor", string(build), 0o755)
	h.Must("ln", "-s", "releases/1", "/opt/simpletalk/current")
	h.Must("systemctl", "daemon-reload")
	h.Must("systemctl", "enable", "--now", "simpletalk")
	return h
}

// show returns a property of the service.
func (h host) show(property string) string {
	h.t.Helper()
	return h.Must("systemctl", "show", "-P", property, "simpletalk")
}

// tell writes a file that the stand-in looks at.
func (h host) tell(name, what string) {
	h.t.Helper()
	h.Must("sh", "-c", "echo "+what+" >/var/lib/simpletalk/"+name+"; chmod 0644 /var/lib/simpletalk/"+name)
}

// ask returns the id of the process that answers on the socket.
func (h host) ask() string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	c, err := h.Network.Dial(ctx, "tcp", "127.0.0.1:3000")
	if err != nil {
		h.t.Fatal("a client is refused: ", err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	answer, err := io.ReadAll(c)
	if err != nil {
		h.t.Fatal("a client gets no answer: ", err)
	}
	return string(answer)
}

// drained counts how often a supervisor has come to the end of its drain.
func (h host) drained() int {
	h.t.Helper()
	return strings.Count(h.Journal("-u", "simpletalk", "-o", "cat"), "drained")
}

func TestTheServiceRuns(t *testing.T) {
	h := boot(t)
	if got, want := h.ask(), h.show("MainPID"); got != want {
		t.Errorf("process %s answers, the main one is %s", got, want)
	}
	for path, want := range map[string]string{
		"/run/simpletalk":                "710 simpletalk simpletalk",
		"/var/lib/simpletalk":            "700 simpletalk simpletalk",
		"/var/log/simpletalk":            "750 simpletalk simpletalk",
		"/etc/simpletalk":                "750 root simpletalk",
		"/etc/simpletalk/env":            "640 root simpletalk",
		"/opt/simpletalk/releases":       "755 root root",
		"/run/simpletalk/supervisor.pid": "600 simpletalk simpletalk",
	} {
		if got := h.Must("stat", "-c", "%a %U %G", path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if log := h.Journal("-b", "-p", "warning", "-t", "systemd"); strings.Contains(log, "simpletalk") {
		t.Errorf("systemd has something to say:\n%s", log)
	}
}

// What reaches the program is where the unit's comment says, and nothing is
// missed where there is none.
func TestCredentialsReachTheService(t *testing.T) {
	h := boot(t)
	credentials := "/run/credentials/simpletalk.service"
	if out, _ := h.Run("ls", credentials); strings.Contains(out, "nats") {
		t.Errorf("without any there is %s", out)
	}
	h.Must("sh", "-c", "mkdir -p -m 0700 /etc/credstore; echo nats://x >/etc/credstore/simpletalk.nats-url")
	h.Must("systemctl", "restart", "simpletalk")
	if out := h.Must("ls", credentials); out != "simpletalk.nats-url" {
		t.Errorf("there is %q, want simpletalk.nats-url", out)
	}
}

// `systemctl reload` ends as the deploy did, and the service is up whatever the
// verdict was.
func TestReloadTellsTheVerdict(t *testing.T) {
	h := boot(t)
	h.Must("chgrp", "root", "/run/simpletalk")
	h.Must("chmod", "0700", "/run/simpletalk")
	for verdict, want := range map[string]int{"0": 0, "3": 1, "4": 1} {
		h.tell("verdict", verdict)
		if out, code := h.Run("systemctl", "reload", "simpletalk"); code != want {
			t.Errorf("verdict %s: systemctl reload has status %d, want %d: %s", verdict, code, want, out)
		}
		if got := h.show("ActiveState"); got != "active" {
			t.Errorf("verdict %s: the service is %s", verdict, got)
		}
	}
	// Whatever the supervisor makes of the folder, a reload makes it the unit's.
	if got := h.Must("stat", "-c", "%a %U %G", "/run/simpletalk"); got != "710 simpletalk simpletalk" {
		t.Errorf("after reloads /run/simpletalk has %s", got)
	}
}

// A supervisor upgrades itself within a reload, again and again; systemd follows,
// and the last one still drains at the stop.
func TestTheMainProcessChanges(t *testing.T) {
	h := boot(t)
	h.tell("upgrade", "yes")
	for range 3 {
		before := h.show("MainPID")
		h.Must("systemctl", "reload", "simpletalk")
		h.waitFor("another main process", func() bool { return h.show("MainPID") != before })
		if got, want := h.ask(), h.show("MainPID"); got != want {
			t.Errorf("process %s answers, the main one is %s", got, want)
		}
	}
	if n := h.show("NRestarts"); n != "0" {
		t.Errorf("systemd has restarted it %s times", n)
	}
	h.Must("systemctl", "stop", "simpletalk.socket", "simpletalk.service")
	if n := h.drained(); n != 1 {
		t.Errorf("%d supervisors have drained at the stop, want 1", n)
	}
}

// waitFor waits until systemd has noticed something.
func (h host) waitFor(what string, come func() bool) {
	h.t.Helper()
	for end := time.Now().Add(10 * time.Second); !come(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("there is no %s", what)
		}
	}
}

// A client that comes while no supervisor runs waits for the next one.
func TestNobodyIsRefused(t *testing.T) {
	h := boot(t)
	for _, command := range []string{"systemctl restart simpletalk", "systemctl kill -s KILL --kill-who=main simpletalk", "systemctl stop simpletalk"} {
		before := h.ask()
		h.Must("touch", "/run/simpletalk/mark")
		h.Must(strings.Fields(command)...)
		if after := h.ask(); after == before {
			t.Errorf("after %q it is still %s that answers", command, before)
		}
		_, code := h.Run("ls", "/run/simpletalk/mark")
		if kept := code == 0; kept != (command != "systemctl stop simpletalk") {
			t.Errorf("after %q: what was in /run/simpletalk is kept: %v", command, kept)
		}
	}
}

// A supervisor that crashes at each start is started for ever, and its clients
// wait in the meantime.
func TestACrashLoopHoldsTheSocket(t *testing.T) {
	h := boot(t)
	h.Write("/etc/systemd/system/simpletalk.service.d/soon.conf", "[Service]\nRestartSec=1ms\n", 0o644)
	h.Must("systemctl", "daemon-reload")
	h.tell("crash", "yes")
	h.Must("systemctl", "kill", "-s", "KILL", "--kill-who=main", "simpletalk")
	for range 30 {
		c, err := h.Network.Dial(t.Context(), "tcp", "127.0.0.1:3000")
		if err != nil {
			t.Fatal("a client is refused: ", err)
		}
		defer c.Close()
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("started anew %s times", h.show("NRestarts"))
	if got := h.Must("systemctl", "show", "-P", "ActiveState", "simpletalk.socket"); got != "active" {
		t.Errorf("the socket is %s", got)
	}
	h.Must("rm", "/var/lib/simpletalk/crash")
	h.ask()
}

// The drop-in changes one property of what systemd does, of all it can show.
func TestTheDropInChangesOneThing(t *testing.T) {
	h := boot(t)
	h.Must("systemctl", "disable", "--now", "simpletalk.service", "simpletalk.socket")
	without := h.properties()
	h.Write("/etc/systemd/system/simpletalk.service.d/jit.conf", JIT, 0o644)
	var changed []string
	for _, p := range h.properties() {
		if !slices.Contains(without, p) {
			changed = append(changed, p)
		}
	}
	want := []string{"DropInPaths=/etc/systemd/system/simpletalk.service.d/jit.conf", "MemoryDenyWriteExecute=no"}
	if slices.Sort(changed); !slices.Equal(changed, want) {
		t.Errorf("changed: %q, want %q", changed, want)
	}
}

// properties returns all that systemd shows of the service's unit, read anew, in
// the order of the words: lists have none.
func (h host) properties() (all []string) {
	h.t.Helper()
	h.Must("systemctl", "daemon-reload")
	for line := range strings.Lines(h.Must("systemctl", "show", "simpletalk")) {
		words := strings.Fields(strings.Replace(line, "=", "= ", 1))
		slices.Sort(words[1:])
		all = append(all, strings.Replace(strings.Join(words, " "), "= ", "=", 1))
	}
	return all
}

// Enabled, it is up again after a reboot, and its socket from the start.
func TestItComesBackAfterAReboot(t *testing.T) {
	h := boot(t)
	h.Reboot()
	h.ask()
	if got := h.show("ActiveState"); got != "active" {
		t.Errorf("the service is %s", got)
	}
}
