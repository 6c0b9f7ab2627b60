package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Over a Unix socket a deploy is as silent as over TCP. After a kill -9 people
// have to reconnect, and have lost nothing.
func TestNginxOverAUnixSocket(t *testing.T) {
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	s := &site{t: t, dir: t.TempDir(), ended: make(chan struct{}), output: new(output)}
	s.install(builds[0])
	if err := os.Mkdir(s.state(), 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(s.dir, "http.sock")
	s.launch(exec.Command(binaries.supervisor(t), "run", "--state", s.state(), "--listen", "http=unix://"+socket+"?mode=0660", "--bake", "0s",
		"--", filepath.Join(s.dir, "current"), "serve", "--data", filepath.Join(s.dir, "data")))
	p := newProxy(t, sitePlain, "unix:"+socket)
	s.addr = p.plain
	s.eventually("the site serves", func() bool { _, err := s.health(); return err == nil })

	wait := p.crowd(s, builds[0], "8s")
	time.Sleep(time.Second) // people talk for a while
	s.install(builds[1])
	if d := s.hangup(); d.Verdict != "accepted" {
		t.Errorf("%+v", d)
	}
	s.eventually("the new build has everybody", func() bool {
		st, err := s.status()
		return err == nil && st.Programs[0].Instances[0].Conns == reloadClients
	})
	kills := []span{s.killAndWatch(s.worker())}
	report, _ := wait()
	if report.HTTPFailed > 0 && report.unkilled(kills) == 0 {
		report.HTTPFailed = 0 // they died with the worker
	}
	checkMessages(t, report, reloadClients/5)
	if n := report.Disconnects + report.Broken; n != reloadClients {
		t.Errorf("%d disconnected, want each of %d once, by the kill", n, reloadClients)
	}
}
