package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

const (
	// backWithin is when everything must be right again after what was away is back.
	// Presence has a grace of five seconds, and NATS is tried each second.
	backWithin = 25 * time.Second
	// shortest is a partition that NATS's clients notice: two pings without an answer.
	shortest = 8 * time.Second
)

// need is what a host needs beside itself.
type need uint8

const (
	needNATS need = iota
	needStore
)

// partition is what a host cannot reach.
type partition struct {
	host   int
	needs  []need
	called string
}

var partitions = []partition{
	{0, []need{needNATS}, "from NATS"},
	{1, []need{needStore}, "from the store"},
	{2, []need{needStore, needNATS}, "from both"},
}

func (p partition) lacks(n need) bool { return slices.Contains(p.needs, n) }

// The promise of several hosts: whatever of them is away, everybody has exactly
// the log afterwards, nothing that was acknowledged is lost, who is there is right
// again soon, and nobody is disconnected for whom there is no better host.
// SOAK=1 has it happen ten times, and one partition after the other too.
func TestThreeHosts(t *testing.T) {
	if os.Getenv("SOAK") != "1" {
		threeHosts(t, partitions[:2], partitions[2:])
		return
	}
	for round := range 10 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			threeHosts(t, partitions[:1], partitions[1:2], partitions[2:], partitions[:2])
		})
	}
}

// threeHosts has everything happen once, of partitions some at a time.
func threeHosts(t *testing.T, together ...[]partition) {
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	c := newCluster(t, builds[0], 3)
	stop := c.talk(builds[0])
	c.withoutNATS()
	c.typingIsSeen()
	c.rollingReload(builds[1], "bbbb")
	sent := 0
	for _, some := range together {
		sent += c.partitioned(some)
	}
	r, _ := stop()
	checkMessages(t, r, hostMembers)
	if r.Disconnects > sent {
		t.Errorf("%d were disconnected, but only %d sent to other hosts", r.Disconnects, sent)
	}

	stop = c.talk(builds[0])
	moved := c.aDeadHost(builds[1])
	r, _ = stop()
	checkMessages(t, r, hostMembers)
	if r.Disconnects > moved {
		t.Errorf("%d were disconnected, the host that died had %d", r.Disconnects, moved)
	}
}

// The load of this test, which FerretDB can bear: it reads a collection from one
// end to the other.
const (
	hostClients = 30
	hostRooms   = 2
	hostMembers = hostClients / hostRooms
)

// talk starts a load and returns when everybody is seen by every host.
func (c *cluster) talk(build string) (stop func() (loadReport, int)) {
	c.t.Helper()
	c.within(3*leftOut, "nginx brings requests to every host", c.spreads)
	process, wait := c.load(build, "--plain", "--clients", fmt.Sprint(hostClients), "--rooms", fmt.Sprint(hostRooms), "--chatters", "6", "--rate", "2", "--for", "30m")
	c.eventually("everybody is seen by every host", func() bool { return c.isPresent(c.hosts, hostClients) })
	for i, h := range c.hosts {
		if n := h.conns(); n < hostClients/6 {
			c.t.Errorf("host %d has %d WebSockets of %d: nginx does not spread them", i, n, hostClients)
		}
	}
	return func() (loadReport, int) {
		c.t.Helper()
		process.Signal(os.Interrupt)
		return wait()
	}
}

// spreads reports whether requests come to every host. One that was left out is
// tried with a single request at first, and nothing else until that is answered.
func (c *cluster) spreads() bool {
	answers := map[string]bool{}
	for range 2 * len(c.hosts) {
		if r, err := whole(c.front.client().Get("http://" + c.proxy.plain + "/healthz")); err == nil {
			answers[r.body] = true // the process that has answered
		}
	}
	return len(answers) == len(c.hosts)
}

// isPresent reports whether each of some hosts says that so many people are in
// the rooms of a load.
func (c *cluster) isPresent(hosts []*host, people int) bool {
	return !slices.ContainsFunc(hosts, func(h *host) bool { return c.members(h) != people })
}

// partitioned cuts hosts from what they need, all at once, and heals it. It returns
// how many people a host has sent to others.
func (c *cluster) partitioned(some []partition) (sent int) {
	c.t.Helper()
	var red []*host
	had := map[*host]int{}
	for _, p := range some {
		h := c.hosts[p.host]
		had[h] = h.conns()
		c.t.Logf("host %d is cut %s, with %d WebSockets", p.host, p.called, had[h])
		for _, n := range p.needs {
			c.has(n).partition(h.machine)
		}
		if p.lacks(needStore) {
			red = append(red, h)
		}
	}
	began := time.Now()
	for _, h := range red {
		c.within(backWithin, "readiness is red", func() bool { return !c.isReady(h) })
	}
	if len(red) > 0 {
		c.newcomersAvoid(red)
	}
	for _, p := range some {
		if c.lives(p) {
			sent += had[c.hosts[p.host]]
		}
	}
	time.Sleep(max(0, shortest-time.Since(began)))
	for _, p := range some {
		for _, n := range p.needs {
			c.has(n).heal(c.hosts[p.host].machine)
		}
	}
	for _, p := range some {
		c.within(backWithin, "the host is ready again", func() bool { return c.isReady(c.hosts[p.host]) })
	}
	c.within(backWithin, "everybody is seen by every host again", func() bool { return c.isPresent(c.hosts, hostClients) })
	return sent
}

// has is the machine that has what hosts need.
func (c *cluster) has(n need) *machine {
	if n == needNATS {
		return c.post
	}
	return c.store
}

// lives checks what a host does while it is cut, and tells whether that is to send
// its people to others.
func (c *cluster) lives(p partition) (sends bool) {
	c.t.Helper()
	h := c.hosts[p.host]
	switch {
	case !p.lacks(needStore):
		c.pollsTheStore(h)
		c.eventually("who cannot be heard of is not shown", func() bool { return c.isPresent([]*host{h}, h.conns()) })
	case !p.lacks(needNATS):
		c.eventually("who is without a store is sent to other hosts", func() bool { return h.conns() == 0 })
		return true
	}
	return false
}

// newcomersAvoid checks that nginx brings whoever comes to hosts that can take
// them.
func (c *cluster) newcomersAvoid(red []*host) {
	c.t.Helper()
	before := map[*host]int{}
	for _, h := range red {
		before[h] = h.conns()
	}
	for range 6 {
		g, leave := c.guest(nil, "newcomers")
		c.eventually("a newcomer is welcome", func() (ok bool) {
			g.note(func() { ok = g.epoch != "" })
			return ok
		})
		defer leave()
	}
	for _, h := range red {
		if n := h.conns(); n > before[h] {
			c.t.Errorf("%d newcomers were brought to a host without a store", n-before[h])
		}
	}
}

// pollsTheStore checks that who is at a host without NATS hears everybody else,
// and is heard.
func (c *cluster) pollsTheStore(h *host) {
	c.t.Helper()
	var other *host
	for _, o := range c.hosts {
		if o != h && c.isReady(o) {
			other = o
		}
	}
	if other == nil {
		return
	}
	here, leaveHere := c.guest(h, "polled")
	defer leaveHere()
	there, leaveThere := c.guest(other, "polled")
	defer leaveThere()
	say := func(from, to *guest, text string) {
		from.post(c.t.Context(), text) // it is the nonce, too
		c.within(10*time.Second, text+" is heard", func() (heard bool) {
			to.note(func() { heard = len(to.received) > 0 && to.received[len(to.received)-1].Text == text })
			return heard
		})
	}
	say(here, there, fmt.Sprint("from-without-nats-", time.Now().UnixNano()))
	say(there, here, fmt.Sprint("to-without-nats-", time.Now().UnixNano()))
}

// withoutNATS kills NATS for a while.
func (c *cluster) withoutNATS() {
	c.t.Helper()
	c.nats.Kill()
	time.Sleep(3 * time.Second)
	for i, h := range c.hosts {
		c.within(5*time.Second, fmt.Sprintf("host %d is ready without NATS", i), func() bool { return c.isReady(h) })
	}
	c.startNATS()
	c.within(backWithin, "everybody is seen by every host again", func() bool { return c.isPresent(c.hosts, hostClients) })
}

// typingIsSeen checks that who writes something at one host is seen to at another,
// and no longer once they have stopped.
func (c *cluster) typingIsSeen() {
	c.t.Helper()
	here, leaveHere := c.guest(c.hosts[0], "typing")
	defer leaveHere()
	there, leaveThere := c.guest(c.hosts[1], "typing")
	defer leaveThere()
	isSeen := func() (seen bool) {
		there.note(func() { seen = slices.Contains(there.typists, here.name) })
		return seen
	}
	var said time.Time
	c.within(backWithin, "who writes is seen at another host", func() bool {
		if time.Since(said) > wire.TypingEvery {
			said = time.Now()
			here.types(c.t.Context())
		}
		return isSeen()
	})
	c.within(backWithin, "who has stopped is not seen any more", func() bool { return !isSeen() })
}

// rollingReload deploys to one host after the other.
func (c *cluster) rollingReload(build, commit string) {
	c.t.Helper()
	for i, h := range c.hosts {
		h.install(build)
		if d := h.hangup(); d.Verdict != "accepted" {
			c.t.Errorf("reload of host %d: %+v", i, d)
		}
		if r, err := c.get(h, "/healthz"); err != nil || !strings.Contains(r.body, commit) {
			c.t.Errorf("host %d after its reload: %v: %s, want %s", i, err, r.body, commit)
		}
	}
	c.within(backWithin, "everybody is seen by every host after the reloads", func() bool { return c.isPresent(c.hosts, hostClients) })
}

// aDeadHost cuts the power of a host, waits until its people have moved, and
// starts it again. It returns how many they were.
func (c *cluster) aDeadHost(build string) (had int) {
	c.t.Helper()
	dead, others := c.hosts[2], c.hosts[:2]
	had = dead.conns()
	dead.die()
	began := time.Now()
	c.eventually("nobody is seen at the dead host", func() bool { return !c.isPresent(others, hostClients) })
	c.eventually("the people of the dead host have moved", func() bool {
		return others[0].conns()+others[1].conns() >= hostClients && c.isPresent(others, hostClients)
	})
	c.t.Logf("%d people of a dead host have moved after %s", had, time.Since(began).Round(100*time.Millisecond))
	dead.plug()
	c.start(dead, build)
	c.eventually("the host that was dead sees everybody", func() bool { return c.isPresent(c.hosts, hostClients) })
	return had
}
