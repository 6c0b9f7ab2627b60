package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/simpletalk/simpletalk/systemd/sdbox"
)

// lan is a switch with machines at it, each a network namespace of its own.
//
//	machine ── eth0 ══ veth ══ bridge ══ veth ══ eth0 ── machine
type lan struct {
	t        testing.TB
	exchange *sdbox.Network // has the bridge
	machines int
}

// machine is a network namespace with an address on the network.
type machine struct {
	*sdbox.Network
	t    testing.TB
	addr string
}

// newLAN makes a network without machines. It ends with the test.
func newLAN(t testing.TB) *lan {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		skip(t, "there is no ip (Debian: apt-get install iproute2)")
	}
	n := &lan{t: t, exchange: sdbox.NewNetwork(t)}
	mustRun(t, n.exchange, "ip", "link", "add", "bridge", "type", "bridge")
	mustRun(t, n.exchange, "ip", "link", "set", "bridge", "up")
	return n
}

// machine makes one.
func (n *lan) machine() *machine {
	n.t.Helper()
	n.machines++
	m := &machine{sdbox.NewNetwork(n.t), n.t, fmt.Sprintf("10.77.0.%d", n.machines)}
	port := fmt.Sprintf("port%d", n.machines)
	mustRun(n.t, n.exchange, "ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", m.Path())
	mustRun(n.t, n.exchange, "ip", "link", "set", port, "master", "bridge", "up")
	m.run("ip", "addr", "add", m.addr+"/24", "dev", "eth0")
	m.plug()
	return m
}

func (m *machine) plug()   { m.t.Helper(); m.run("ip", "link", "set", "eth0", "up") }
func (m *machine) unplug() { m.t.Helper(); m.run("ip", "link", "set", "eth0", "down") }

// partition lets nothing that m says reach the other: packets vanish without a
// word to anybody, and so do the answers to what the other says.
func (m *machine) partition(from *machine) {
	m.t.Helper()
	m.run("ip", "route", "add", "blackhole", from.addr)
}

// heal undoes partition.
func (m *machine) heal(from *machine) {
	m.t.Helper()
	m.run("ip", "route", "del", "blackhole", from.addr)
}

func (m *machine) run(args ...string) {
	m.t.Helper()
	mustRun(m.t, m.Network, args...)
}

// mustRun runs a command in a namespace.
func mustRun(t testing.TB, n *sdbox.Network, args ...string) {
	t.Helper()
	if out, err := n.Command(context.Background(), args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// client asks from m, over a connection of its own for each request.
func (m *machine) client() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: m.Dial}}
}
