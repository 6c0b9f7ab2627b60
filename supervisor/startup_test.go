//go:build linux

package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/simpletalk/simpletalk/supervisor/internal/install"
	"github.com/simpletalk/simpletalk/systemd"
)

func file(t *testing.T, p install.Plan, path string) string {
	t.Helper()
	for _, f := range p.Files {
		if f.Path == path {
			return string(f.Content)
		}
	}
	t.Fatalf("the plan has no %s", path)
	return ""
}

func TestTheServiceOfAMachine(t *testing.T) {
	p, err := startupFlags{user: defaultUser}.plan(true)
	if err != nil {
		t.Fatal(err)
	}
	unit := file(t, p, "/etc/systemd/system/simpletalk.service")
	for _, want := range []string{install.Mark, "\nUser=simpletalk\n", "\nGroup=simpletalk\n", "\nType=notify\n"} {
		if !strings.Contains(unit, want) {
			t.Errorf("no %q in the unit", want)
		}
	}
	for _, f := range p.Files {
		if f.Settings == bytes.Contains(f.Content, []byte(install.Mark)) {
			t.Errorf("%s: settings belong to the operator, everything else carries our mark", f.Path)
		}
	}
	for path, text := range systemd.Files() {
		if !strings.HasSuffix(file(t, p, path), text) {
			t.Errorf("%s is not what package systemd has there", path)
		}
	}
	if got := p.Do[0]; got[0] != "systemd-sysusers" {
		t.Errorf("first comes the user, not %v", got)
	}
}

func TestTheServiceOfAnotherUser(t *testing.T) {
	p, err := startupFlags{user: "nobody", jit: true}.plan(true)
	if err != nil {
		t.Fatal(err)
	}
	group, err := groupOf("nobody")
	if err != nil {
		t.Fatal(err)
	}
	unit := file(t, p, "/etc/systemd/system/simpletalk.service")
	if !strings.Contains(unit, "\nUser=nobody\nGroup="+group+"\n") || strings.Contains(unit, "User=simpletalk") {
		t.Errorf("it runs as somebody else:\n%s", unit)
	}
	if !strings.Contains(file(t, p, "/etc/tmpfiles.d/simpletalk.conf"), "root "+group+"\n") {
		t.Error("the settings are not the user's to read")
	}
	if !strings.Contains(file(t, p, "/etc/systemd/system/simpletalk.service.d/jit.conf"), "MemoryDenyWriteExecute=no") {
		t.Error("no drop-in for programs that compile")
	}
	for _, c := range p.Do {
		if c[0] == "systemd-sysusers" {
			t.Error("a user who is there already is made")
		}
	}
}

func TestTheServiceOfADeveloper(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "/home/me/.config")
	p, err := startupFlags{user: defaultUser}.plan(false)
	if err != nil {
		t.Fatal(err)
	}
	if unit := file(t, p, "/home/me/.config/systemd/user/simpletalk.service"); strings.Contains(unit, "\nUser=") {
		t.Error("a user's service manager cannot choose a user")
	}
	for _, c := range append(p.Do, append(p.Undo, p.Undone...)...) {
		if c[0] != "systemctl" || c[1] != "--user" {
			t.Errorf("%v is not the user's own", c)
		}
	}
}

func TestAMistakenUser(t *testing.T) {
	for _, root := range []bool{true, false} {
		if _, err := (startupFlags{user: "no-such-user"}).plan(root); exitCode(err) != exitUsage {
			t.Errorf("root %t: %v", root, err)
		}
	}
}

// Who deploys owns the builds and what deploys write, and is let in; nothing else.
func TestTheServiceWithADeployer(t *testing.T) {
	p, err := startupFlags{user: defaultUser, deployer: "nobody"}.plan(true)
	if err != nil {
		t.Fatal(err)
	}
	settings := file(t, p, "/etc/simpletalk/supervisor.toml")
	for _, want := range []string{"[control]\ngroup = \"simpletalk\"\n", `env_file = ["/etc/simpletalk/env", "-/etc/simpletalk/deploy/env"] `} {
		if !strings.Contains(settings, want) {
			t.Errorf("no %q in the settings:\n%s", want, settings)
		}
	}
	folders := file(t, p, "/etc/tmpfiles.d/simpletalk-deployer.conf")
	for _, want := range []string{"/opt/simpletalk           0755 nobody -\n", "/etc/simpletalk/deploy    2750 nobody simpletalk\n"} {
		if !strings.Contains(folders, want) {
			t.Errorf("no %q in\n%s", want, folders)
		}
	}
	if members := file(t, p, "/etc/sysusers.d/simpletalk-deployer.conf"); !strings.Contains(members, "\nm nobody simpletalk\n") {
		t.Errorf("he is not let in:\n%s", members)
	}
	var do []string
	for _, c := range p.Do {
		do = append(do, strings.Join(c, " "))
	}
	if want := []string{
		"systemd-sysusers /etc/sysusers.d/simpletalk.conf",
		"systemd-sysusers /etc/sysusers.d/simpletalk-deployer.conf",
		"systemd-tmpfiles --create /etc/tmpfiles.d/simpletalk-deployer.conf /etc/tmpfiles.d/simpletalk.conf",
	}; !slices.Equal(do[:3], want) {
		t.Errorf("it does %q, want %q first", do, want)
	}
	if _, err := (startupFlags{user: defaultUser, deployer: "no-such-user"}).plan(true); exitCode(err) != exitUsage {
		t.Errorf("a user who is not there: %v", err)
	}
}
