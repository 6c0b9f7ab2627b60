//go:build linux

package sdbox

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const bootID = "/proc/sys/kernel/random/boot_id"

// echo is a server of one socket unit: whatever it is sent on port 7 it sends
// back.
var echo = map[string]string{
	"/etc/systemd/system/echo.socket":   "[Socket]\nListenStream=127.0.0.1:7\nAccept=yes\n[Install]\nWantedBy=sockets.target\n",
	"/etc/systemd/system/echo@.service": "[Service]\nExecStart=/bin/cat\nStandardInput=socket\n",
}

// echoes checks that the server on the network answers.
func echoes(t *testing.T, n *Network) {
	t.Helper()
	c, err := n.Dial(t.Context(), "tcp", "127.0.0.1:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(c, "hello")
	c.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(c); string(got) != "hello" || err != nil {
		t.Errorf("the server answers %q, %v", got, err)
	}
}

func TestBoxBoots(t *testing.T) {
	b := Boot(t, Options{Files: map[string]string{"/etc/simpletalk/hello": "hi"}})
	t.Logf("booted in %v", b.BootTime())
	for _, c := range []struct{ command, want string }{
		{"systemctl is-system-running", "running"},
		{"cat /proc/1/comm", "systemd"},
		{"hostname", "sdbox"},
		{"cat /etc/simpletalk/hello", "hi"},
		{"systemd-detect-virt --container", "container-other"},
		{"systemctl --failed --plain --no-legend", ""},
		{"awk BEGIN{print(1)}", "1"},
		{"id -u nobody", "65534"},
	} {
		if got := b.Must(strings.Fields(c.command)...); got != c.want {
			t.Errorf("%s: %q, want %q", c.command, got, c.want)
		}
	}
}

func TestBoxRunTellsHowItEnded(t *testing.T) {
	b := Boot(t, Options{})
	if out, code := b.Run("sh", "-c", "echo out; echo err >&2; exit 7"); out != "out\nerr" || code != 7 {
		t.Errorf("got %q, %d", out, code)
	}
	if _, code := b.Run("sh", "-c", "kill -9 $$"); code != 128+9 {
		t.Errorf("what was killed has status %d", code)
	}
	if out, code := b.Run("/no/such/command"); code != 127 || !strings.Contains(out, "/no/such/command") {
		t.Errorf("without a command: %q, %d", out, code)
	}
}

// Nothing inside may change the machine around.
func TestBoxCannotChangeTheMachine(t *testing.T) {
	b := Boot(t, Options{})
	for _, path := range []string{"/usr/sdbox", "/proc/sys/kernel/hostname", "/proc/sys/vm/swappiness", "/sys/sdbox"} {
		if out, code := b.Run("sh", "-c", "echo 1 >"+path); code == 0 {
			t.Errorf("%s was written: %s", path, out)
		}
	}
	b.Must("hostname", "other")
	if name, _ := os.Hostname(); name == "other" {
		t.Error("the machine is called like the box")
	}
	b.Write("/root/file", "x", 0o600)
	if _, err := os.Stat("/root/file"); err == nil {
		t.Error("the file is on the machine")
	}
}

// systemctl start returns once the service says that it is ready, not before.
func TestBoxRunsAServiceThatNotifies(t *testing.T) {
	b := Boot(t, Options{Files: map[string]string{
		"/opt/server": "sleep 0.3\necho 'listening now'\nsystemd-notify --ready --status=serving\nexec sleep infinity\n",
		"/etc/systemd/system/server.service": "[Service]\nType=notify\nNotifyAccess=all\n" +
			"ExecStart=/bin/bash /opt/server\n",
	}})
	began := time.Now()
	b.Must("systemctl", "start", "server")
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("started after %v, before it was ready", took)
	}
	if got := b.Must("systemctl", "show", "-P", "StatusText", "server"); got != "serving" {
		t.Errorf("its status is %q", got)
	}
	if got := b.Journal("-u", "server", "-o", "cat"); !strings.Contains(got, "listening now") {
		t.Errorf("the journal has no line of it:\n%s", got)
	}
}

// What LoadCredential= mounts arrives, which needs shared mounts.
func TestBoxPassesCredentials(t *testing.T) {
	b := Boot(t, Options{Files: map[string]string{
		"/etc/secret": "xyzzy",
		"/etc/systemd/system/c.service": "[Service]\nType=oneshot\nLoadCredential=secret:/etc/secret\n" +
			"ExecStart=/bin/sh -c 'cat $CREDENTIALS_DIRECTORY/secret >/var/got'\n",
	}})
	b.Must("systemctl", "start", "c")
	if got := b.Must("cat", "/var/got"); got != "xyzzy" {
		t.Errorf("got %q", got)
	}
}

func TestBoxReboots(t *testing.T) {
	b := Boot(t, Options{Files: map[string]string{
		"/etc/systemd/system/r.service": "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
	}})
	b.Must("systemctl", "enable", "--now", "r")
	for _, dir := range []string{"/var/lib", "/etc", "/opt", "/run", "/tmp", "/dev/shm"} {
		b.Must("touch", dir+"/mark")
	}
	before := b.Must("cat", bootID)
	b.Reboot()
	t.Logf("rebooted in %v", b.BootTime())
	if after := b.Must("cat", bootID); after == before {
		t.Error("it has the boot id that it had")
	}
	b.Must("systemctl", "is-active", "r")
	b.Must("ls", "/var/lib/mark", "/etc/mark", "/opt/mark")
	for _, gone := range []string{"/run/mark", "/tmp/mark", "/dev/shm/mark"} {
		if _, code := b.Run("ls", gone); code == 0 {
			t.Errorf("%s has outlived the reboot", gone)
		}
	}
	if boots := strings.Count(b.Journal("--list-boots", "--output=short"), "\n") + 1; boots < 2 {
		t.Errorf("the journal knows of %d boots, want 2", boots)
	}
}

func TestBoxPowersOffAndOn(t *testing.T) {
	b := Boot(t, Options{})
	b.Must("touch", "/var/mark")
	b.Must("systemd-cat", "echo", "before the end")
	for _, off := range []struct {
		name string
		how  func()
	}{{"power off", b.PowerOff}, {"power cut", b.PowerCut}} {
		off.how()
		if out, code := b.Run("true"); code == 0 {
			t.Errorf("after a %s it still runs commands: %s", off.name, out)
		}
		if got := b.Journal("-o", "cat"); !strings.Contains(got, "before the end") {
			t.Errorf("after a %s its journal cannot be read: %s", off.name, got)
		}
		b.Write("/etc/written-while-off", off.name, 0o644)
		b.PowerOn()
		b.Must("ls", "/var/mark")
		if got := b.Must("cat", "/etc/written-while-off"); got != off.name {
			t.Errorf("it has %q of what was written while it was off", got)
		}
	}
}

// A client lives through a reboot, on the same network.
func TestBoxNetworkOutlivesBoots(t *testing.T) {
	b := Boot(t, Options{Files: echo})
	b.Must("systemctl", "enable", "--now", "echo.socket")
	echoes(t, b.Network)
	client := b.Network.Command(t.Context(), "sleep", "infinity")
	b.Start(client)
	inside := b.Command(t.Context(), "sleep", "infinity")
	b.Start(inside)
	b.Reboot()
	if err := inside.Wait(); err == nil {
		t.Error("a process of the box ended well with its boot")
	}
	echoes(t, b.Network)
	mine := b.Must("readlink", "/proc/1/ns/net")
	if got, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", client.Process.Pid)); got != mine {
		t.Errorf("the client is in %s, %v; the box in %s", got, err, mine)
	}
	if host, _ := os.Readlink("/proc/self/ns/net"); host == mine {
		t.Error("the box is on the machine's network")
	}
}

// Two boxes differ in everything, on networks of their own with the same port.
func TestBoxesAreApart(t *testing.T) {
	one, two := Boot(t, Options{Files: echo}), Boot(t, Options{Files: echo})
	one.Must("systemctl", "start", "echo.socket")
	two.Must("systemctl", "start", "echo.socket")
	echoes(t, one.Network)
	echoes(t, two.Network)
	for _, file := range []string{"/etc/machine-id", bootID} {
		if a, b := one.Must("cat", file), two.Must("cat", file); a == b {
			t.Errorf("both have %s in %s", a, file)
		}
	}
	one.PowerOff()
	echoes(t, two.Network)
}

func TestBoxesShareANetwork(t *testing.T) {
	n := NewNetwork(t)
	server, other := Boot(t, Options{Files: echo, Network: n}), Boot(t, Options{Network: n})
	server.Must("systemctl", "start", "echo.socket")
	other.Must("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/7; echo hello >&3; read line <&3; [ $line = hello ]")
}

// An executable is replaced while it runs, as a deploy does it.
func TestBoxInstallsOverWhatRuns(t *testing.T) {
	b := Boot(t, Options{})
	b.Install("/opt/x/program", "/usr/bin/sleep")
	b.Start(b.Command(t.Context(), "/opt/x/program", "infinity"))
	b.Install("/opt/x/program", "/usr/bin/true")
	b.Must("/opt/x/program")
	if left, _ := filepath.Glob(b.Path("/opt/x/.sdbox-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
