package e2e

import (
	"slices"
	"strconv"
	"testing"
	"time"
)

// A reload of nginx, for a certificate or a setting, while people talk: its old
// processes keep their WebSockets, and nobody notices.
func TestAReloadOfNginxDropsNobody(t *testing.T) {
	r := reloadNginx(t, 2)
	if r.report.Disconnects+r.report.Broken != 0 || r.code != 0 {
		t.Errorf("exit %d, %d disconnected, want 0 and nobody", r.code, r.report.Disconnects)
	}
	if r.old == 0 {
		t.Error("no old process of nginx was left: who has kept the clients?")
	}
}

// When worker_shutdown_timeout is over, nginx cuts who is left. They come back by
// themselves, and have lost nothing.
func TestWhomNginxDropsComesBack(t *testing.T) {
	r := reloadNginx(t, 1, change{"worker_shutdown_timeout 12h;", "worker_shutdown_timeout 2s;"})
	if r.report.Disconnects != reloadClients || r.report.Reconnects < reloadClients {
		t.Errorf("%d disconnected and %d came back, want each of %d", r.report.Disconnects, r.report.Reconnects, reloadClients)
	}
	if r.old != 0 {
		t.Errorf("%d old processes of nginx are left after their time", r.old)
	}
}

// The same when nginx itself crashes: its master starts it anew.
func TestWhomACrashOfNginxCutsComesBack(t *testing.T) {
	build := binaries.app(t, "aaaa")
	s := open(t, build)
	p := newProxy(t, sitePlain, s.addr)
	wait := p.crowd(s, build, "6s")
	time.Sleep(time.Second) // people talk for a while
	var kills []span
	for _, pid := range p.workers() {
		kills = append(kills, s.killAndWatch(pid))
	}
	report, _ := wait()
	if report.HTTPFailed > 0 && report.unkilled(kills) == 0 {
		report.HTTPFailed = 0 // they were inside
	}
	checkMessages(t, report, reloadClients/5)
	// Some are cut twice, who came back to a process that was killed next, be it
	// before they were welcomed.
	cut := report.Disconnects + report.Broken
	if cut < reloadClients || report.Reconnects < reloadClients {
		t.Errorf("%d disconnected, %d came back, want each of %d", cut, report.Reconnects, reloadClients)
	}
}

// reloadClients is how many people talk during a reload of nginx.
const reloadClients = 200

// reloaded is what people noticed of it.
type reloaded struct {
	report loadReport
	code   int
	old    int // processes of nginx that were left over at the end
}

func reloadNginx(t *testing.T, times int, changes ...change) reloaded {
	t.Helper()
	build := binaries.app(t, "aaaa")
	s := open(t, build)
	p := newProxy(t, sitePlain, s.addr, changes...)
	wait := p.crowd(s, build, "10s")
	var before []int
	for range times {
		time.Sleep(time.Second) // people talk for a while
		before = append(before, p.reload()...)
	}
	time.Sleep(5 * time.Second)
	old := slices.DeleteFunc(p.workers(), func(pid int) bool { return !slices.Contains(before, pid) })
	report, code := wait()
	checkMessages(t, report, reloadClients/5)
	return reloaded{report, code, len(old)}
}

// crowd lets people talk through nginx for a while, from when all of them are
// connected.
func (p *proxy) crowd(s *site, build, length string) (wait func() (loadReport, int)) {
	p.t.Helper()
	_, wait = s.load(build, "--url", p.url(), "--clients", strconv.Itoa(reloadClients), "--chatters", "20", "--rooms", "5", "--rate", "100", "--for", length)
	s.eventually("everybody is connected", func() bool {
		st, err := s.status()
		return err == nil && st.Programs[0].Instances[0].Conns >= reloadClients
	})
	return wait
}
