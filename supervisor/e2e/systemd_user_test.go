package e2e

import (
	"strings"
	"testing"

	"github.com/simpletalk/simpletalk/systemd/sdbox"
)

// A developer without root has the service in a manager of their own: it deploys,
// survives a kill of its supervisor, and goes without a trace.
func TestTheServiceOfAUser(t *testing.T) {
	s := &service{sdbox.Boot(t, sdbox.Options{}), t}
	// What a distribution's own files have PAM do; the box has none.
	for _, name := range []string{"other", "systemd-user", "common-auth", "common-account", "common-session", "common-session-noninteractive"} {
		var rules string
		for _, kind := range []string{"auth", "account", "password", "session"} {
			rules += kind + " required pam_permit.so\n"
		}
		s.Write("/etc/pam.d/"+name, rules, 0o644)
	}
	s.Must("mkdir", "-p", "/etc/systemd/system/user@.service.d")
	s.Write("/etc/systemd/system/user@.service.d/box.conf", "[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n", 0o644) // pam_systemd's
	s.Must("systemctl", "daemon-reload")
	s.Must("useradd", "--create-home", "--user-group", "dev")
	s.Must("loginctl", "enable-linger", "dev")
	as := func(args ...string) []string {
		return append([]string{"setpriv", "--reuid=dev", "--regid=dev", "--init-groups", "--reset-env", "sh", "-c", `cd; export XDG_RUNTIME_DIR=/run/user/$(id -u); exec "$@"`, "sh"}, args...)
	}
	s.eventually("the user's manager is up", func() bool {
		_, code := s.Run(as("systemctl", "--user", "show-environment")...)
		return code == 0
	})
	const home = "/home/dev/.local/opt/simpletalk/current/"
	s.Install(home+"supervisor", binaries.lean(t))
	s.Install(home+"app", binaries.build(t, "app", "aaaa", false))
	s.Must("chown", "-R", "dev:", "/home/dev/.local")
	s.Must(as(home+"supervisor", "startup")...)
	s.eventually("the chat serves", func() bool { h, err := s.health(); return err == nil && h.Commit == "aaaa" })
	before := s.mustHealth()

	s.Must(as("systemctl", "--user", "kill", "-s", "KILL", "--kill-whom=main", "simpletalk")...)
	s.eventually("another supervisor goes on", func() bool {
		out, _ := s.Run(as("systemctl", "--user", "show", "-P", "NRestarts", "-P", "ActiveState", "simpletalk")...)
		return strings.Contains(out, "1") && strings.Contains(out, "active") && !strings.Contains(out, "activating")
	})
	if now := s.mustHealth(); now != before {
		t.Errorf("%+v serves, %+v before", now, before)
	}

	s.Install(home+"app", binaries.build(t, "app", "bbbb", false))
	s.Must(as("sh", "-c", "XDG_RUNTIME_DIR=/run/user/$(id -u) timeout 20 "+home+"supervisor reload --state $XDG_RUNTIME_DIR/simpletalk")...)
	s.eventually("the deploy serves", func() bool { h, err := s.health(); return err == nil && h.Commit == "bbbb" })

	s.Must(as(home+"supervisor", "unstartup")...)
	s.eventually("nothing is left", func() bool {
		out, _ := s.Run("pgrep", "-u", "dev", "-l", "supervisor|app")
		return out == ""
	})
}
