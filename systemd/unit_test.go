package systemd

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// unit is what a unit file says: "Section.Directive" to its values.
type unit map[string][]string

// parse reads a unit file. Ours have no continued lines.
func parse(t *testing.T, text string) unit {
	t.Helper()
	u, section := unit{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		key, value, assigned := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && line[len(line)-1] == ']':
			section = line[1 : len(line)-1]
		case assigned && section != "" && !strings.HasSuffix(line, `\`):
			u[section+"."+key] = append(u[section+"."+key], value)
		default:
			t.Fatalf("cannot read the line %q", line)
		}
	}
	return u
}

// duration returns the value of a directive that has one.
func (u unit) duration(t *testing.T, key string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(strings.Replace(strings.Join(u[key], ""), "min", "m", 1))
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return d
}

// Each of these has cost somebody an hour: beside it is what happens without.
func TestWhatTheServiceMustSay(t *testing.T) {
	u := parse(t, Service)
	for key, want := range map[string]string{
		"Unit.StartLimitIntervalSec":       "0",                              // a crash loop fails the socket unit
		"Service.Type":                     "notify",                         // notify-reload is 253's, 252 makes it simple
		"Service.NotifyAccess":             "all",                            // what an upgraded supervisor stores is dropped
		"Service.PIDFile":                  "/run/simpletalk/supervisor.pid", // the unit dies at the first upgrade
		"Service.ExecStart":                "/opt/simpletalk/current/supervisor run --state /run/simpletalk --config /etc/simpletalk/supervisor.toml",
		"Service.ExecStartPre":             "-+/opt/simpletalk/current/supervisor deploy recover --state /run/simpletalk", // may fail, and needs root for the link
		"Service.ExecReload":               "/opt/simpletalk/current/supervisor reload --wait --state /run/simpletalk",    // reload is 0 whatever happens
		"Service.User":                     "simpletalk",
		"Service.Group":                    "simpletalk",
		"Service.Sockets":                  "simpletalk.socket",
		"Service.NonBlocking":              "yes",        // a restart makes the socket blocking under its workers
		"Service.KillMode":                 "process",    // workers die with their supervisor
		"Service.Restart":                  "always",     // on-failure does not after a clean exit
		"Service.RuntimeDirectory":         "simpletalk", // the PID file has to be in one
		"Service.RuntimeDirectoryPreserve": "restart",    // it is removed under living workers
		"Service.StateDirectory":           "simpletalk",
		"Service.LogsDirectory":            "simpletalk",
		"Service.ConfigurationDirectory":   "simpletalk",
		"Service.OOMPolicy":                "continue", // one killed worker ends the unit
		"Service.FileDescriptorStoreMax":   "1024",     // 0: what is stored is dropped silently
		"Service.LimitNOFILE":              "524288",   // 1024
		"Service.WatchdogSec":              "30s",
		"Service.UMask":                    "0077",
		"Service.CapabilityBoundingSet":    "",
		"Service.NoNewPrivileges":          "yes",
		"Service.ProtectSystem":            "strict",
		"Service.ProtectHome":              "yes",
		"Service.PrivateDevices":           "yes",
		"Service.ProtectProc":              "invisible",
		"Service.ProcSubset":               "pid",
		"Service.MemoryDenyWriteExecute":   "yes",
		"Service.RestrictAddressFamilies":  "AF_INET AF_INET6 AF_UNIX",
		"Service.SystemCallArchitectures":  "native",
		"Service.SystemCallFilter":         "@system-service ~@privileged @resources @chown",
		"Install.WantedBy":                 "multi-user.target",
		"Install.Also":                     "simpletalk.socket",
	} {
		if got, found := u[key]; !found || strings.Join(got, " ") != want {
			t.Errorf("%s=%s, want %s", key, strings.Join(got, " "), want)
		}
	}
	for _, key := range []string{
		"Service.DynamicUser",     // workers that outlive the supervisor would lose their user
		"Service.EnvironmentFile", // read by the supervisor, at each deploy
		"Service.PrivateUsers",    // breaks ports below 1024 for who needs one
		"Service.PrivateNetwork",
	} {
		if u[key] != nil {
			t.Errorf("%s is there", key)
		}
	}
}

// A credential with a path that is missing keeps the service from starting.
func TestCredentialsAreOptional(t *testing.T) {
	for _, c := range parse(t, Service)["Service.LoadCredential"] {
		if strings.ContainsAny(c, ":/") {
			t.Errorf("LoadCredential=%s must be there", c)
		}
	}
}

func TestWhatTheSocketMustSay(t *testing.T) {
	u := parse(t, Socket)
	for key, want := range map[string]string{
		"Socket.ListenStream":       "127.0.0.1:3000",
		"Socket.FileDescriptorName": "http",
		"Socket.Backlog":            "4096",
		"Install.WantedBy":          "sockets.target",
	} {
		if got := strings.Join(u[key], " "); got != want {
			t.Errorf("%s=%s, want %s", key, got, want)
		}
	}
}

func TestTheDropInAllowsNothingElse(t *testing.T) {
	if u := parse(t, JIT); len(u) != 1 || !slices.Equal(u["Service.MemoryDenyWriteExecute"], []string{"no"}) {
		t.Errorf("it says %v", u)
	}
}

// The user's unit differs where it has to.
func TestTheUserUnit(t *testing.T) {
	system, user := parse(t, Service), parse(t, UserService)
	for _, key := range slices.Sorted(maps.Keys(user)) {
		got, same := strings.Join(user[key], " "), slices.Equal(user[key], system[key])
		switch key {
		case "Unit.Description", "Service.RuntimeDirectoryMode", "Install.WantedBy":
		case "Service.PIDFile", "Service.ExecStart", "Service.ExecStartPre", "Service.ExecReload", "Service.Environment":
			if !strings.Contains(got, "%h/") && !strings.Contains(got, "%t/") || strings.Contains(got, "/opt/simpletalk") && !strings.Contains(got, "%h/.local/opt/simpletalk") {
				t.Errorf("%s=%s is not the user's", key, got)
			}
		default:
			if !same {
				t.Errorf("%s=%s, but the system's has %s", key, got, strings.Join(system[key], " "))
			}
		}
	}
	// Of these a user's manager of systemd 252 fails or ignores each.
	for _, cannot := range []string{"User", "Group", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectProc", "ProcSubset", "CapabilityBoundingSet", "ProtectKernelTunables", "ProtectClock", "DevicePolicy", "LoadCredential"} {
		if user["Service."+cannot] != nil {
			t.Errorf("%s is there", cannot)
		}
	}
}

// testdata/directives-252 is what `systemd --dump-configuration-items` of
// systemd 252 prints of these sections.
func TestNoDirectiveIsTooNew(t *testing.T) {
	list, err := os.ReadFile("testdata/directives-252")
	if err != nil {
		t.Fatal(err)
	}
	known := strings.Fields(string(list))
	for name, text := range map[string]string{"service": Service, "socket": Socket, "user's service": UserService, "drop-in": JIT} {
		for key := range parse(t, text) {
			if !slices.Contains(known, key) {
				t.Errorf("%s: systemd 252 does not know %s", name, key)
			}
		}
	}
}

// `systemctl reload` may take until the verdict, `stop` as long as a drain.
func TestTimeoutsHoldTheExample(t *testing.T) {
	var file struct {
		Program map[string]struct {
			Ready string `toml:"ready_timeout"`
			Bake  string
			Drain struct{ Timeout string }
		}
	}
	if err := toml.Unmarshal([]byte(Config), &file); err != nil {
		t.Fatal(err)
	}
	parsed := func(s string) time.Duration {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	chat := file.Program["chat"]
	drain := parsed(chat.Drain.Timeout)
	deploy := parsed(chat.Ready) + drain + parsed(chat.Bake)
	for name, text := range map[string]string{"system": Service, "user": UserService} {
		u := parse(t, text)
		if start := u.duration(t, "Service.TimeoutStartSec"); start < deploy+30*time.Second {
			t.Errorf("%s: TimeoutStartSec is %v, a deploy may take %v", name, start, deploy)
		}
		if stop := u.duration(t, "Service.TimeoutStopSec"); stop < drain+10*time.Second {
			t.Errorf("%s: TimeoutStopSec is %v, a drain may take %v", name, stop, drain)
		}
	}
}

// The supervisor has no objection to its example.
func TestTheExampleIsRight(t *testing.T) {
	dir := t.TempDir()
	there := strings.NewReplacer("/opt/simpletalk/current/app", "/bin/true", "/etc/simpletalk", dir)
	write(t, filepath.Join(dir, "env"), Env, 0o600)
	write(t, filepath.Join(dir, "supervisor.toml"), there.Replace(Config), 0o600)
	out, err := exec.CommandContext(t.Context(), "go", "run", "../supervisor", "check", filepath.Join(dir, "supervisor.toml")).CombinedOutput()
	if err != nil {
		t.Errorf("supervisor check: %v\n%s", err, out)
	}
}
