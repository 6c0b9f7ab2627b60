package e2e

import (
	"context"
	"strings"
	"testing"
)

// A machine that goes down before a release is accepted comes back with the one
// that was: nobody would be there to return a bad one.
func TestADeployThatTheMachineGoesDownIn(t *testing.T) {
	s := startService(t)
	s.Write("/etc/simpletalk/supervisor.toml", strings.Replace(s.config(), `"1s"`, `"10m"`, 1), 0o644)
	s.Must("systemctl", "restart", "simpletalk")
	s.settled()
	s.release("2", binaries.build(t, "app", "bbbb", false))
	s.Start(s.Command(context.Background(), "/opt/simpletalk/current/supervisor", "deploy", "--release", "2"))
	s.eventually("the new release serves", func() bool {
		h, err := s.health()
		return err == nil && h.Commit == "bbbb"
	})
	s.PowerCut()
	s.PowerOn()
	s.eventually("the chat is back", func() bool {
		_, err := s.health()
		return err == nil
	})
	if h := s.mustHealth(); h.Commit != "aaaa" {
		t.Errorf("the release that nobody had accepted serves: %+v", h)
	}
	if current := s.Must("readlink", "/opt/simpletalk/current"); strings.TrimSpace(current) != "releases/1" {
		t.Errorf("current is %s", current)
	}
	if log := s.Journal("-u", "simpletalk", "-b"); !strings.Contains(log, "current is 1") {
		t.Errorf("the journal does not say so:\n%s", log)
	}
}
