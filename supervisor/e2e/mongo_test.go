package e2e

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto/servertest"
)

// mongoPassword is in the URI of every MongoDB here, and must be nowhere else.
const mongoPassword = "hunter2-is-secret"

// ferretdb returns an independently written MongoDB-compatible server.
func ferretdb(t testing.TB) string {
	t.Helper()
	return servertest.Build(t, "../../app/internal/mongo/ferretdb")
}

// startMongo starts one, which ends with the test, and returns its address.
func startMongo(t *testing.T) string {
	t.Helper()
	return servertest.Start(t, exec.Command(ferretdb(t), t.TempDir())).Addr()
}

func mongoURI(addr string) string {
	return "mongodb://chat:" + mongoPassword + "@" + addr + "/chat?authMechanism=PLAIN"
}

// The promise of the whole on MongoDB, on a small scale, since FerretDB reads a
// collection from one end to the other: people talk through deploys and kills,
// nobody is disconnected, and nothing is lost, doubled or reordered. And nowhere
// is the password to be seen.
func TestNobodyNoticesDeploysAndKillsOnMongoDB(t *testing.T) {
	t.Setenv("MONGODB_URI", mongoURI(startMongo(t)))
	trial{clients: 60, chatters: 10, rooms: 3, rate: 20, reloads: 3, kills: 1, inspect: wantNoPassword}.run(t)
}

// And with guests who compare every message they got with the log.
func TestPeopleTalkOnThroughDeploysAndKillsOnMongoDB(t *testing.T) {
	t.Setenv("MONGODB_URI", mongoURI(startMongo(t)))
	talkOn(t, conversation{people: 40, rooms: 8, rate: 20, reloads: 4, slow: true})
}

// wantNoPassword looks for it in all that the site shows: command lines, the
// control API, logs, and every file that it writes.
func wantNoPassword(s *site) {
	s.t.Helper()
	st, err := s.status()
	if err != nil {
		s.t.Fatal(err)
	}
	program := st.Programs[0].Name
	for _, args := range [][]string{
		{"status", "--json"}, {"list"}, {"describe", program}, {"describe", program, "--json"},
		{"logs", "--lines", "100000"}, {"logs", "--lines", "100000", "--json"},
	} {
		out, _, err := s.command(args...)
		if err != nil {
			s.t.Error(err)
		}
		if strings.Contains(out, mongoPassword) {
			s.t.Errorf("supervisor %s shows the password:\n%s", strings.Join(args, " "), out)
		}
	}
	if strings.Contains(s.output.String(), mongoPassword) {
		s.t.Error("the site's output shows the password")
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range lines {
		if b, _ := os.ReadFile(path); strings.Contains(string(b), mongoPassword) {
			s.t.Errorf("%s shows the password", path)
		}
	}
	filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if b, _ := os.ReadFile(path); strings.Contains(string(b), mongoPassword) {
				s.t.Errorf("%s holds the password", path)
			}
		}
		return nil
	})
}

// While the store is away the worker lives on: readiness goes red, the
// supervisor replaces nobody, a deploy is rejected, and when the store is back
// it is ready again by itself.
func TestAStoreThatIsAwayRestartsNobody(t *testing.T) {
	way := newWay(t, startMongo(t))
	t.Setenv("MONGODB_URI", mongoURI(way.addr())+"&serverSelectionTimeoutMS=1000")
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	s := open(t, builds[0], "--ready-timeout", "5s")
	before := s.mustHealth()
	crowd := gather(t, s, 10, 2)
	crowd.talk(10)
	time.Sleep(time.Second)

	way.close()
	s.eventually("readiness is red", func() bool { _, err := get(s.url() + "/readyz"); return err != nil })
	s.install(builds[1])
	if d := s.hangup(); d.Verdict != "rejected" || strings.Contains(d.Reason, mongoPassword) {
		t.Errorf("a deploy while the store is away: %+v, want rejected", d)
	}
	time.Sleep(12 * time.Second) // a worker that does not answer for 10 s is replaced
	wantNoPassword(s)
	way.open()
	s.eventually("readiness is green", func() bool { _, err := get(s.url() + "/readyz"); return err == nil })
	if now := s.mustHealth(); now != before {
		t.Errorf("%+v serves, before the store went away it was %+v", now, before)
	}
	crowd.hush()
	crowd.checkLogs()
	if len(crowd.naks()) == 0 {
		t.Error("nobody was told that the store is away")
	}
	if n := crowd.reconnects(); n > 0 {
		t.Errorf("%d were disconnected", n)
	}
	if d := s.hangup(); d.Verdict != "accepted" {
		t.Errorf("a deploy when the store is back: %+v", d)
	}
}

// way is a way to a server that can be closed.
type way struct {
	t        *testing.T
	server   string
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
	carrying sync.WaitGroup
}

func newWay(t *testing.T, server string) *way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &way{t: t, server: server, listener: l}
	w.carrying.Go(func() { w.accept(l) })
	t.Cleanup(func() {
		w.close()
		w.carrying.Wait()
	})
	return w
}

func (w *way) addr() string { return w.listener.Addr().String() }

func (w *way) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", w.server)
		if err != nil {
			c.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, c, s)
		w.mu.Unlock()
		w.carrying.Go(func() { carry(s, c) })
		w.carrying.Go(func() { carry(c, s) })
	}
}

// carry copies to the end, by plain reads: the pipes of splice(2) would stay
// open for later ones.
func carry(to io.WriteCloser, from io.Reader) {
	io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
	to.Close()
}

// close cuts everything and refuses what comes.
func (w *way) close() {
	w.listener.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

// open undoes close.
func (w *way) open() {
	w.t.Helper()
	l, err := net.Listen("tcp", w.addr())
	if err != nil {
		w.t.Fatal(err)
	}
	w.listener = l
	w.carrying.Go(func() { w.accept(l) })
}

// TestTheServiceOnMongoDB: the URI as a credential of the hardened service, read
// by a worker that a reload starts.
func TestTheServiceOnMongoDB(t *testing.T) {
	s := startService(t)
	const mongo = "127.0.0.1:27017"
	s.Install("/opt/ferretdb", ferretdb(t))
	s.Must("mkdir", "/var/lib/ferretdb")
	s.Must("systemd-run", "--unit=ferretdb", "sh", "-c", "sleep infinity | exec /opt/ferretdb /var/lib/ferretdb "+mongo)
	s.eventually("the MongoDB server listens", func() bool {
		out, _ := s.Run("sh", "-c", "systemctl status ferretdb; journalctl -u ferretdb -o cat")
		return strings.Contains(out, "mongodb://"+mongo)
	})
	s.Must("mkdir", "-p", "-m", "0700", "/etc/credstore")
	s.Write("/etc/credstore/simpletalk.mongodb-uri", mongoURI(mongo)+"\n", 0o600)
	s.Must("systemctl", "restart", "simpletalk")
	if log := s.Journal("-u", "simpletalk"); strings.Contains(log, "store is MongoDB") {
		t.Error("a credential that nobody pointed to is used")
	}

	s.Must("sh", "-c", "echo CREDENTIALS_DIRECTORY=/run/credentials/simpletalk.service >>/etc/simpletalk/env")
	s.Must("systemctl", "reload", "simpletalk")
	s.mustHealth()
	log := s.Journal("-u", "simpletalk")
	if !strings.Contains(log, "store is MongoDB") {
		t.Errorf("the credential is not used:\n%s", log)
	}
	shown := s.Must("sh", "-c", "cat /proc/[0-9]*/cmdline 2>/dev/null; systemctl status simpletalk; /opt/simpletalk/current/supervisor describe chat --json")
	if strings.Contains(log+shown, mongoPassword) {
		t.Error("the password is shown")
	}
}
