package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/simpletalk/simpletalk/systemd/sdbox"
)

// fakes stand in for what a box has not: Amazon's packages and secrets, the
// internet, disks. Each writes down how it was called. Everything else that the
// script does is real.
var fakes = map[string]string{
	// What the package of nginx makes.
	"dnf": `id nginx >/dev/null 2>&1 || useradd --system --user-group nginx; mkdir -p /var/log/nginx /var/lib/nginx`,
	// The swap file, but not a gigabyte of it.
	"dd":     `: >/swapfile`,
	"mkswap": ``,
	"swapon": ``,
	// The data disk.
	"blkid":      `[ -e /opt/fakes/formatted ] && case $* in *UUID*) echo 0000-1111 ;; esac`,
	"mkfs.xfs":   `: >/opt/fakes/formatted`,
	"mount":      `: >/opt/fakes/mounted`,
	"mountpoint": `[ -e /opt/fakes/mounted ]`,
	// Parameter Store.
	"aws": `echo token-of-the-runner`,
	// The internet. This machine is asked for real.
	"curl": `for a; do url=$a; [ "$before" != --output ] || to=$a; before=$a; done
case $url in
http://127.0.0.1/*) exec /usr/bin/curl "$@" ;;
*) cp "/opt/internet/$(basename "$url")" "$to" ;;
esac`,
	"../aws/bin/cfn-signal": ``,
}

const fakeHead = `#!/bin/bash
set -e
echo "$(basename "$0") $*" >>/var/log/fakes
`

// Of the runner, what the script and the unit call.
const (
	fakeConfig = `#!/bin/bash
echo "config.sh by $(id -un), groups $(id -Gn), token ${ACTIONS_RUNNER_INPUT_TOKEN:-none}: $*" >>/tmp/config
touch .runner
`
	fakeRun = `#!/bin/bash
exec sleep 1h
`
)

// runnerArchive is as GitHub's, and its checksum.
func runnerArchive(t *testing.T) (content, sum string) {
	t.Helper()
	var b bytes.Buffer
	packed := gzip.NewWriter(&b)
	archive := tar.NewWriter(packed)
	for name, text := range map[string]string{"./config.sh": fakeConfig, "./run.sh": fakeRun} {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(archive, text)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	packed.Close()
	return b.String(), fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
}

// siteFiles are those for nginx that a release has.
func siteFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, pattern := range []string{"nginx/*.conf", "nginx/snippets/*.conf"} {
		found, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			name, _ := filepath.Rel("../..", f)
			files[name] = f
		}
	}
	return files
}

// page asks nginx as somebody from outside would.
func (s *service) page(path string) (status int, body string, err error) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return s.Network.Dial(ctx, network, "127.0.0.1:80")
		},
	}}
	resp, err := client.Get("http://127.0.0.1" + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// called are the calls of fakes since the last look, without their arguments.
func (s *service) called() (names []string) {
	for _, line := range strings.Split(s.Must("sh", "-c", "cat /var/log/fakes; : >/var/log/fakes"), "\n") {
		name, args, _ := strings.Cut(line, " ")
		if name == "cfn-signal" {
			name += " " + strings.Join(strings.Fields(args)[:2], " ")
		}
		names = append(names, name)
	}
	return names
}

// The script of the user data makes a machine that serves the page through nginx,
// and to which the runner deploys.
func TestTheUserDataMakesAMachine(t *testing.T) {
	archive, sum := runnerArchive(t)
	m := readTemplate(t, map[string]string{
		"Repository": "owner/name", "RunnerSha256": sum, "ReleaseSha256": strings.Repeat("0", 64),
	})
	s := &service{sdbox.Boot(t, sdbox.Options{}), t}
	for name, does := range fakes {
		s.Write("/opt/fakes/"+name, fakeHead+does+"\n", 0o755)
	}
	files := siteFiles(t)
	files["supervisor"] = binaries.lean(t)
	release := func(commit string) string {
		files["app"] = binaries.build(t, "app", commit, false)
		return makeArtifact(t, filepath.Join(t.TempDir(), "simpletalk.tar.gz"), files)
	}
	first := release("aaaa")
	s.Install("/opt/internet/simpletalk.tar.gz", first)
	s.Install("/opt/internet/simpletalk.tar.gz.sha256", first+".sha256")
	s.Write("/opt/internet/actions-runner-linux-x64-2.328.0.tar.gz", archive, 0o644)
	setup := func() (string, int) {
		return s.Run("env", "PATH=/opt/fakes:/usr/sbin:/usr/bin:/sbin:/bin", setupPath)
	}
	s.Must("touch", "/dev/sdf")
	written := func(m template) {
		for path, content := range m.files() {
			s.Write(path, content, map[string]os.FileMode{setupPath: 0o755, settingsPath: 0o600}[path])
		}
	}

	written(m)
	if out, code := setup(); code == 0 || !strings.Contains(out, "it was changed or cut short on its way") {
		t.Errorf("a release with another checksum: exit %d: %s", code, out)
	}
	if calls := s.called(); !slices.Contains(calls, "cfn-signal --exit-code 1") {
		t.Errorf("the stack is not told: %v", calls)
	}
	if out, code := s.Run("ls", "/opt/simpletalk/current"); code == 0 {
		t.Errorf("it is current: %s", out)
	}

	m.given["ReleaseSha256"] = ""
	written(m)
	if out, code := setup(); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out)
	}
	want := []string{"dnf", "mountpoint", "curl", "curl", "curl", "aws", "curl", "cfn-signal --exit-code 0"}
	if calls := s.called(); !slices.Equal(calls, want) {
		t.Errorf("it called %q, want %q: the rest is done already", calls, want)
	}
	s.servesAll("aaaa")

	config := s.Must("cat", "/tmp/config")
	if want := "config.sh by runner, groups runner simpletalk, token token-of-the-runner: --unattended --replace --url https://github.com/owner/name --name sdbox --labels simpletalk"; !strings.Contains(config, want) {
		t.Errorf("the runner is set up by %q, want %q", config, want)
	}
	for _, unit := range []string{"simpletalk.socket", "simpletalk.service", "nginx.service", "simpletalk-runner.service"} {
		if out, code := s.Run("systemctl", "is-enabled", unit); code != 0 {
			t.Errorf("%s is %s", unit, out)
		}
		if out, code := s.Run("systemctl", "is-active", unit); code != 0 {
			t.Errorf("%s is %s", unit, out)
		}
	}
	if fstab := s.Must("cat", "/etc/fstab"); fstab != "/swapfile none swap defaults 0 0\nUUID=0000-1111 /var/lib/simpletalk xfs nofail,x-systemd.device-timeout=30s 0 2" {
		t.Errorf("fstab is\n%s", fstab)
	}

	s.Must("sed", "-i", `s/^bake .*/bake = "1s"/`, "/etc/simpletalk/supervisor.toml") // so that the test is short

	// As the runner's unit would: its hardening must leave a deploy possible.
	second := release("bbbb")
	s.Install("/opt/simpletalk/incoming/simpletalk.tar.gz", second)
	s.Install("/opt/simpletalk/incoming/simpletalk.tar.gz.sha256", second+".sha256")
	unit := s.Must("systemctl", "cat", "simpletalk-runner")
	var properties []string
	for _, line := range strings.Split(unit, "\n") {
		for _, p := range []string{"User=", "NoNewPrivileges=", "PrivateTmp=", "ProtectSystem=", "ReadWritePaths="} {
			if strings.HasPrefix(line, p) {
				properties = append(properties, "--property="+line)
			}
		}
	}
	run := append([]string{"systemd-run", "--quiet", "--wait", "--pipe", "--setenv=ORIGINS=http://chat.example.org"}, properties...)
	out, code := s.Run(append(run, "/opt/simpletalk/current/supervisor", "deploy", "--artifact", "/opt/simpletalk/incoming/simpletalk.tar.gz",
		"--release", "bbbb", "--env-file", "/etc/simpletalk/deploy/env", "--env", "ORIGINS")...)
	if len(properties) != 5 || code != 0 || !strings.Contains(out, "accepted") {
		t.Errorf("a deploy by the runner (%v): exit %d: %s", properties, code, out)
	}
	s.servesAll("bbbb")

	// Again it changes nothing.
	if out, code := setup(); code != 0 {
		t.Errorf("again: exit %d:\n%s", code, out)
	}
	s.servesAll("bbbb")
	s.writesTheURI(setup, written)
	if users := s.Must("id", "-nG", "simpletalk"); users != "simpletalk" {
		t.Errorf("the service is in %s", users)
	}
}

// servesAll checks which build serves, and that nginx has the page.
func (s *service) servesAll(commit string) {
	s.t.Helper()
	if h := s.mustHealth(); h.Commit != commit {
		s.t.Errorf("%+v serves, want %s", h, commit)
	}
	if status, body, err := s.page("/"); err != nil || status != http.StatusOK || !strings.Contains(body, "<title>SimpleTalk") {
		s.t.Errorf("the page: %d, %v: %.200s", status, err, body)
	}
}

// writesTheURI checks that a MongoDB's URI comes from Parameter Store into the
// environment, which the service alone may read.
func (s *service) writesTheURI(setup func() (string, int), written func(template)) {
	s.t.Helper()
	s.Write("/opt/fakes/aws", fakeHead+"echo 'mongodb+srv://u:p%40$w@example.org/chat?w=majority'\n", 0o755)
	s.Must("rm", "/etc/simpletalk/env")
	s.called()
	written(readTemplate(s.t, map[string]string{"MongoUriParameter": "/simpletalk/mongodb-uri"}))
	if out, code := setup(); code != 0 {
		s.t.Errorf("with MongoDB: exit %d:\n%s", code, out)
	}
	if env := s.Must("cat", "/etc/simpletalk/env"); env != "MONGODB_URI='mongodb+srv://u:p%40$w@example.org/chat?w=majority'" {
		s.t.Errorf("the environment has %s", env)
	}
	if mode := s.Must("stat", "-c", "%a %U:%G", "/etc/simpletalk/env"); mode != "640 root:simpletalk" {
		s.t.Errorf("the environment is %s", mode)
	}
	if calls := s.called(); !slices.Contains(calls, "aws") {
		s.t.Errorf("Parameter Store is not asked: %v", calls)
	}
}
