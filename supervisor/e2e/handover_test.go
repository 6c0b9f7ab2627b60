package e2e

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// trial is a load on a site that is reloaded and killed meanwhile.
type trial struct {
	clients, chatters, rooms, rate int
	reloads, kills                 int
	plain                          bool
	front                          siteFile    // of an nginx between the clients and the site; "": none
	inspect                        func(*site) // what else must hold after all that; nil: nothing
}

// The promise of the whole: people who talk notice neither deploys nor kills.
// SOAK=1 is the long form of it.
func TestNobodyNoticesDeploysAndKills(t *testing.T) {
	for name, r := range map[string]trial{
		"plain":   {clients: 1000, chatters: 50, rooms: 10, rate: 100, reloads: 4, kills: 2, plain: true},
		"trouble": {clients: 1000, chatters: 50, rooms: 10, rate: 100, reloads: 4, kills: 2},
	} {
		t.Run(name, r.run)
	}
}

// orSoak is the long form of a trial where that is asked for.
func (r trial) orSoak() trial {
	if os.Getenv("SOAK") == "" {
		return r
	}
	return trial{clients: 5000, chatters: 50, rooms: 50, rate: 200, reloads: 20, kills: 5, plain: r.plain, front: r.front}
}

func (r trial) run(t *testing.T) {
	r = r.orSoak()
	builds := []string{binaries.app(t, "aaaa"), binaries.app(t, "bbbb")}
	s := open(t, builds[0])
	length := time.Duration(r.reloads+r.kills)*2500*time.Millisecond + 8*time.Second
	args := []string{
		"--clients", strconv.Itoa(r.clients), "--chatters", strconv.Itoa(r.chatters), "--rooms", strconv.Itoa(r.rooms),
		"--rate", strconv.Itoa(r.rate), "--for", length.String(),
	}
	if r.plain {
		args = append(args, "--plain")
	}
	if r.front != "" {
		p := newProxy(t, r.front, s.addr)
		t.Setenv("SSL_CERT_FILE", p.authority())
		args = append(args, "--url", p.url())
	}
	_, wait := s.load(builds[0], args...)
	s.eventually("everybody is connected", func() bool {
		st, err := s.status()
		return err == nil && st.Programs[0].Instances[0].Conns >= r.clients
	})
	var kills []span
	for i := range r.reloads + r.kills {
		time.Sleep(1500 * time.Millisecond) // people talk for a while
		before := s.mustHealth()
		if i%3 == 2 && i/3 < r.kills {
			kills = append(kills, s.killAndWatch(before.PID))
			s.eventually("the next worker serves", func() bool {
				h, err := s.health()
				return err == nil && h.Gen > before.Gen
			})
			continue
		}
		s.install(builds[(i+1)%2])
		if d := s.hangup(); d.Verdict != "accepted" {
			t.Errorf("reload %d: %+v", i, d)
		}
		if now := s.mustHealth(); now.Gen <= before.Gen || now.PID == before.PID {
			t.Errorf("reload %d: generation %d, pid %d after %d, %d", i, now.Gen, now.PID, before.Gen, before.PID)
		}
	}
	report, code := wait()
	if r.inspect != nil {
		r.inspect(s)
	}
	if report.HTTPFailed > 0 && report.unkilled(kills) == 0 {
		t.Logf("%d requests died with the worker that had taken them", report.HTTPFailed)
		report.HTTPFailed, code = 0, 0
	}
	checkMessages(t, report, int64(r.clients/r.rooms))
	if code != 0 || report.Disconnects != 0 || r.plain && report.Broken != 0 {
		t.Errorf("exit %d, %d disconnected, %d broken: want 0 and nobody", code, report.Disconnects, report.Broken)
	}
	if r.front != "" && report.HTTPRetried > 0 {
		t.Errorf("%d requests were cut that nginx could have repeated", report.HTTPRetried)
	}
	if len(report.Timeline) < r.reloads {
		t.Errorf("only %d changes of worker were seen", len(report.Timeline))
	}
	for _, c := range report.Timeline {
		t.Logf("generation %d: silence p99 %.0f ms, longest %.0f ms", c.Gen, c.SilenceP99MS, c.SilenceMaxMS)
	}
}
