package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto/servertest"
)

// cluster is one chat on several hosts, each part on a machine of its own.
//
//	people ── nginx ──┬── host ──┬── MongoDB
//	                  ├── host ──┤
//	                  └── host ──┴── NATS
type cluster struct {
	t           testing.TB
	front       *machine // has nginx and the people
	store, post *machine // have MongoDB and NATS
	hosts       []*host
	proxy       *proxy
	nats, mongo *servertest.Server
	settings    []string // of every app
	guests      int      // so far
}

// host is a machine with a supervisor and the chat under it.
type host struct {
	*site
	*machine
}

const hostPort = ":3000"

// newCluster starts one on a build. It ends with the test.
func newCluster(t testing.TB, build string, hosts int) *cluster {
	t.Helper()
	n := newLAN(t)
	c := &cluster{t: t, front: n.machine(), store: n.machine(), post: n.machine()}
	c.mongo = servertest.Start(t, c.store.Command(context.Background(), ferretdb(t), t.TempDir(), c.store.addr+":27017"))
	c.startNATS()
	c.settings = []string{
		"MONGODB_URI=mongodb://" + c.store.addr + ":27017/chat",
		"NATS_URL=nats://" + c.nats.Addr(),
		"TRUSTED_PROXIES=" + c.front.addr,
	}
	for range hosts {
		m := n.machine()
		h := &host{machine: m}
		c.hosts = append(c.hosts, h)
		c.start(h, build)
	}
	c.startProxy()
	return c
}

// startNATS starts NATS, for the first time or again.
func (c *cluster) startNATS() {
	c.t.Helper()
	config := filepath.Join(c.t.TempDir(), "nats.conf")
	if err := os.WriteFile(config, []byte("listen: "+c.post.addr+":4222\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.nats = servertest.Start(c.t, c.post.Command(context.Background(), servertest.Build(c.t, "../../app/internal/nats/natsserver"), config))
}

// start starts the supervisor of a host.
func (c *cluster) start(h *host, build string) {
	c.t.Helper()
	h.site = &site{t: c.t, dir: c.t.TempDir(), ended: make(chan struct{}), output: new(output)}
	h.install(build)
	p := h.Command(context.Background(), binaries.supervisor(c.t), "run", "--state", h.state(), "--listen", "http="+h.machine.addr+hostPort, "--bake", "0s", "--ready-timeout", "30s",
		"--", filepath.Join(h.dir, "current"), "serve", "--data", filepath.Join(h.dir, "data"))
	p.Env = append(os.Environ(), c.settings...)
	h.serve(p)
}

// leftOut is how long nginx leaves out a host that could not take a request.
const leftOut = 10 * time.Second

// manyHosts are the changes in nginx's files that README asks for before several
// hosts.
func (c *cluster) manyHosts() []change {
	one := c.hosts[0].machine.addr + hostPort // as it is written for one
	servers := "\tzone simpletalk 64k;\n"
	for _, h := range c.hosts {
		servers += fmt.Sprintf("\tserver %s max_fails=1 fail_timeout=%.0fs;\n", h.machine.addr+hostPort, leftOut.Seconds())
	}
	for _, h := range c.hosts {
		servers += fmt.Sprintf("\tserver %s max_fails=0 backup;\n", h.machine.addr+hostPort)
	}
	return []change{
		{strings.Repeat("\tserver "+one+" max_fails=0;\n", 6), servers},
		{"proxy_next_upstream error", "proxy_next_upstream error timeout http_503"},
		{"proxy_next_upstream_timeout 5s;", "proxy_next_upstream_timeout 15s;"},
		{"proxy_connect_timeout 5s;", "proxy_connect_timeout 1s;"},
		{"proxy_read_timeout 60s;", "proxy_read_timeout 5s;\nproxy_socket_keepalive on;"},
	}
}

// kernelSettings are those that README asks for beside nginx: so soon is a host
// missed that is gone without a word.
var kernelSettings = map[string]string{"tcp_keepalive_time": "5", "tcp_keepalive_intvl": "2", "tcp_keepalive_probes": "3", "tcp_retries2": "5"}

// startProxy starts nginx before the hosts.
func (c *cluster) startProxy() {
	c.t.Helper()
	for name, value := range kernelSettings {
		c.front.run("sh", "-c", "echo "+value+" >/proc/sys/net/ipv4/"+name)
	}
	p := prepareProxy(c.t, sitePlain, c.hosts[0].machine.addr+hostPort, c.manyHosts()...)
	p.start(c.front.Command(context.Background(), append([]string{p.binary}, p.args()...)...))
	p.await(func() error {
		probe, err := c.front.Dial(context.Background(), "tcp", p.plain)
		if err == nil {
			probe.Close()
		}
		return err
	})
	c.proxy = p
}

// load starts `app load` through nginx.
func (c *cluster) load(build string, args ...string) (process *os.Process, wait func() (loadReport, int)) {
	c.t.Helper()
	return startLoad(c.t, c.front.Command(context.Background(), append([]string{build, "load", "--json", "--url", "http://" + c.proxy.plain}, args...)...))
}

// get asks a host, not through nginx, and returns its answer to a GET.
func (c *cluster) get(h *host, path string) (reply, error) {
	return whole(c.front.client().Get("http://" + h.machine.addr + hostPort + path))
}

// members returns how many people a host says are in the rooms of a load, or -1
// when it cannot say.
func (c *cluster) members(h *host) (sum int) {
	c.t.Helper()
	var list struct {
		Rooms []struct {
			Room    string `json:"room"`
			Members int    `json:"members"`
		} `json:"rooms"`
	}
	r, err := c.get(h, "/api/rooms")
	if err != nil || r.StatusCode != http.StatusOK || json.Unmarshal([]byte(r.body), &list) != nil {
		return -1
	}
	for _, one := range list.Rooms {
		if strings.HasPrefix(one.Room, "load-") {
			sum += one.Members
		}
	}
	return sum
}

// isReady reports what a host says of itself.
func (c *cluster) isReady(h *host) bool {
	r, err := c.get(h, "/readyz")
	return err == nil && r.StatusCode == http.StatusOK
}

// eventually waits until cond holds. It asks seldom, since the answers cost the
// store something.
func (c *cluster) eventually(what string, cond func() bool) {
	c.t.Helper()
	for end := time.Now().Add(2 * patience); !cond(); time.Sleep(time.Second) {
		if time.Now().After(end) {
			c.t.Fatalf("waited %s in vain: %s", 2*patience, what)
		}
	}
}

// within is eventually, and cond must hold within d.
func (c *cluster) within(d time.Duration, what string, cond func() bool) {
	c.t.Helper()
	began := time.Now()
	c.eventually(what, cond)
	if took := time.Since(began); took > d {
		c.t.Errorf("%s: after %s, want %s", what, took.Round(time.Millisecond), d)
	}
}

// conns is how many WebSockets a host has.
func (h *host) conns() int {
	st, err := h.status()
	if err != nil || len(st.Programs) == 0 {
		return 0
	}
	return st.Programs[0].Instances[0].Conns
}

// die is a power cut: not a packet leaves the machine any more.
func (h *host) die() {
	h.site.t.Helper()
	pids := h.workers()
	h.unplug()
	h.kill()
	for _, pid := range pids {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	h.eventuallyDead(pids)
}

// eventuallyDead waits until processes have ended.
func (h *host) eventuallyDead(pids []int) {
	h.site.t.Helper()
	for _, pid := range pids {
		for end := time.Now().Add(patience); lives(pid); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				h.site.t.Fatalf("process %d does not die", pid)
			}
		}
	}
}

// guest is somebody who is connected to one host, whatever nginx thinks, or
// through nginx if h is nil, until they leave.
func (c *cluster) guest(h *host, room string) (g *guest, leave func()) {
	c.t.Helper()
	c.guests++
	addr := c.proxy.plain
	if h != nil {
		addr = h.machine.addr + hostPort
	}
	g, err := newGuestOf(c.front.client(), addr, fmt.Sprint("guest ", c.guests), room)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		g.run(ctx)
	}()
	leave = func() {
		stop()
		<-gone
		for _, fault := range g.faults {
			c.t.Error(fault)
		}
		g.faults = nil
	}
	c.t.Cleanup(leave)
	return g, leave
}
