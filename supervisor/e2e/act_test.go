package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/systemd/sdbox"
)

const actTool = "github.com/nektos/act@v0.2.89"

// runner is a machine with the service, nginx in front, and a user whom a runner of
// GitHub's would run as: he is no root, and there is no sudo.
type runner struct {
	*service
	releases map[string]string // by commit of the app: an artifact
	download string            // the action that act cannot fetch, and does not run
}

const (
	runnerHome = "/home/runner"
	workspace  = runnerHome + "/site"
	inFront    = "127.0.0.1:80"
)

// startRunner makes the machine on release aaaa.
func startRunner(t *testing.T) *runner {
	t.Helper()
	act := binaries.tool(t, actTool)
	if _, err := exec.LookPath("/usr/sbin/nginx"); err != nil {
		skip(t, "there is no nginx (Debian: apt-get install nginx-light)")
	}
	r := &runner{&service{sdbox.Boot(t, sdbox.Options{}), t}, map[string]string{}, readWorkflow(t, "deploy.yml").Jobs["deploy"].Steps[0].Uses}
	r.Write("/opt/act/download/action.yml", "runs: {using: composite, steps: [{run: exit 1, shell: bash}]}\n", 0o644)
	lean, next := binaries.lean(t), binaries.build(t, "supervisor", "next", false) // releases bring supervisors, too
	supervisors := map[string]string{"aaaa": lean, "bbbb": next, "bad": next}
	dir := t.TempDir()
	for commit, app := range map[string]string{
		"aaaa": binaries.build(t, "app", "aaaa", false), "bbbb": binaries.build(t, "app", "bbbb", false), "bad": badBuild(t),
	} {
		r.releases[commit] = makeArtifact(t, filepath.Join(dir, commit, "simpletalk.tar.gz"), map[string]string{"app": app, "supervisor": supervisors[commit]})
	}
	r.Must("useradd", "--user-group", "--create-home", "--home-dir", runnerHome, "runner")
	r.Install("/opt/act/act", act)
	r.Install("/opt/first/supervisor", lean)
	r.put("aaaa", "/opt/first")
	r.Must("/opt/first/supervisor", "deploy", "--artifact", "/opt/first/simpletalk.tar.gz", "--release", "first", "--releases", "/opt/simpletalk/releases")
	out := r.Must("/opt/simpletalk/current/supervisor", "startup", "--deployer", "runner")
	r.Must("sed", "-i", "s/^bake .*/bake = \"1s\"/", "/etc/simpletalk/supervisor.toml")
	r.Must("systemctl", "restart", "simpletalk")
	if !strings.Contains(out, "wrote    /etc/tmpfiles.d/simpletalk-deployer.conf") {
		t.Errorf("startup: %s", out)
	}
	r.startNginx()
	r.checkout()
	return r
}

// put puts an artifact and its checksum into a folder of the machine.
func (r *runner) put(commit, folder string) {
	r.t.Helper()
	for _, suffix := range []string{"", ".sha256"} {
		r.Install(folder+"/simpletalk.tar.gz"+suffix, r.releases[commit]+suffix)
	}
}

// startNginx puts nginx in front, as the README has it.
func (r *runner) startNginx() {
	r.t.Helper()
	findNginx(r.t)
	r.bringNginx()
	r.follow("sudo install -D -m 644 -t /etc/nginx/snippets")
	r.eventually("nginx listens", func() bool {
		c, err := r.Network.Dial(context.Background(), "tcp", inFront)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// checkout makes the workspace of the runner: the repository as it is pushed.
func (r *runner) checkout() {
	r.t.Helper()
	to := r.Path(workspace)
	if err := os.MkdirAll(to, 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(to, ".github"), os.DirFS("../../.github")); err != nil {
		r.t.Fatal(err)
	}
	r.alone(filepath.Join(to, ".github", "workflows", "deploy.yml"))
	r.git("init", "--quiet", "--initial-branch=main")
	r.git("remote", "add", "origin", "https://github.com/simpletalk/simpletalk")
	r.git("add", ".")
}

// alone takes out of the workflow what the deploy job waits for: act has none of the
// machines that the other jobs run on. The job itself stays as it is.
func (r *runner) alone(path string) {
	r.t.Helper()
	const deploy, needs = "\n  deploy:\n", "    needs: ci\n"
	text, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	before, job, found := strings.Cut(string(text), deploy+needs)
	if !found {
		r.t.Fatal("the deploy job does not begin with what it needs")
	}
	if err := os.WriteFile(path, []byte(before+deploy+job), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *runner) git(args ...string) string {
	r.t.Helper()
	c := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "safe.directory=*"}, args...)...)
	c.Dir = r.Path(workspace)
	out, err := c.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// push makes a commit whose build is that of the app's commit, and returns it.
func (r *runner) push(build string) (sha string) {
	r.t.Helper()
	r.git("commit", "--quiet", "--allow-empty", "-m", build)
	r.put(build, "/opt/simpletalk/incoming")
	r.Must("chown", "-R", "runner:runner", runnerHome, "/opt/simpletalk/incoming")
	return r.git("rev-parse", "HEAD")
}

// as is a command as the runner's user, with the groups that the machine gives him.
func (r *runner) as(args ...string) []string {
	return append([]string{"setpriv", "--reuid=runner", "--regid=runner", "--init-groups", "--no-new-privs", "--inh-caps=-all",
		"env", "--chdir=" + workspace, "HOME=" + runnerHome, "USER=runner"}, args...)
}

// act runs the workflow's deploy job, and returns what it said and its exit code.
func (r *runner) act(secrets ...string) (out string, code int) {
	args := []string{"/opt/act/act", "push", "--workflows", ".github/workflows/deploy.yml", "--job", "deploy",
		"-P", "self-hosted=-self-hosted", "--local-repository", r.download + "=/opt/act/download", "--cache-server-addr", "127.0.0.1", "--artifact-server-addr", "127.0.0.1"}
	for _, s := range secrets {
		args = append(args, "--secret", s)
	}
	return r.Run(r.as(args...)...)
}

// talk starts the load of the test, and returns what ends it and tells.
func (r *runner) talk() (end func() loadReport) {
	r.t.Helper()
	c := r.Network.Command(context.Background(), binaries.build(r.t, "app", "aaaa", false),
		"load", "--json", "--url", "http://"+inFront, "--clients", "100", "--chatters", "10", "--rate", "50", "--rooms", "2", "--for", "1h")
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	r.Start(c)
	r.eventually("everybody is connected", func() bool {
		text, _ := r.Run("/opt/simpletalk/current/supervisor", "status", "--json")
		var st status
		return json.Unmarshal([]byte(text), &st) == nil && len(st.Programs) == 1 && st.Programs[0].Instances[0].Conns >= 100
	})
	return func() (l loadReport) {
		r.t.Helper()
		c.Process.Signal(syscall.SIGINT)
		c.Wait()
		if err := json.Unmarshal(out.Bytes(), &l); err != nil {
			r.t.Fatalf("app load: %v: %s%s", err, out.String(), errOut.String())
		}
		r.t.Logf("app load: %s", out.String())
		return l
	}
}

// deploys runs a deploy that has to succeed, and returns how long it took.
func (r *runner) deploys(build, sha string, secrets ...string) time.Duration {
	r.t.Helper()
	began := time.Now()
	out, code := r.act(secrets...)
	took := time.Since(began)
	if code != 0 || !strings.Contains(out, "accepted") {
		r.t.Fatalf("deploy of %s: exit %d:\n%s", build, code, out)
	}
	r.is(build, sha)
	return took
}

// is checks which build serves and which release is current.
func (r *runner) is(build, release string) {
	r.t.Helper()
	if h := r.mustHealth(); h.Commit != build {
		r.t.Errorf("%+v serves, want %s", h, build)
	}
	if to := r.Must("readlink", "/opt/simpletalk/current"); to != "releases/"+release {
		r.t.Errorf("current is %s, want %s", to, release)
	}
}

// held is a request that keeps a worker from having drained until it is finished.
func (r *runner) held() (finish func() string) {
	r.t.Helper()
	c, err := r.Network.Dial(context.Background(), "tcp", "127.0.0.1:3000")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	body := `{"name":"slow writer"}`
	fmt.Fprintf(c, "POST /api/session HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:5])
	return func() string {
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, body[5:])
		answer, err := io.ReadAll(c)
		first, _, _ := strings.Cut(string(answer), "\r\n")
		return fmt.Sprint(first, " ", err)
	}
}

// The deploy job of the workflow, run by act as an ordinary user of a machine that a
// real systemd has booted, with nginx in front and people talking all the time:
// nobody is disconnected and nothing is lost, whatever is deployed.
func TestPushesDeployUnderSystemd(t *testing.T) {
	r := startRunner(t)
	end := r.talk()

	bbbb := r.push("bbbb")
	took := r.deploys("bbbb", bbbb)
	t.Logf("from push to verdict: %s, 1s of it bake", took.Round(time.Millisecond))

	r.push("bad")
	before := r.mustHealth()
	out, code := r.act()
	if code == 0 || !strings.Contains(out, "rejected") || !strings.Contains(out, "exit status 7") || !strings.Contains(out, "no such table") {
		t.Errorf("a bad build: exit %d:\n%s", code, out)
	}
	r.is("bbbb", bbbb)
	if after := r.mustHealth(); after.PID != before.PID {
		t.Errorf("a bad build replaced the worker: %+v, %+v", before, after)
	}

	const secret = "127.0.0.1,::1,10.9.8.7"
	last := r.push("aaaa")
	r.deploys("aaaa", last, "TRUSTED_PROXIES="+secret)
	if out, code := r.Run("grep", "-z", "^TRUSTED_PROXIES="+secret+"$", fmt.Sprintf("/proc/%d/environ", r.mustHealth().PID)); code != 0 {
		t.Errorf("the worker has not got the secret: %s", out)
	}
	if mode := r.Must("stat", "-c", "%a %U:%G", "/etc/simpletalk/deploy", "/etc/simpletalk/deploy/env"); mode != "2750 runner:simpletalk\n640 runner:simpletalk" {
		t.Errorf("the environment is %s", mode)
	}

	finish := r.held() // the worker of the next deploy drains until this is through
	r.deploys("bbbb", r.push("bbbb"), "TRUSTED_PROXIES="+secret)
	text := r.Must("/opt/simpletalk/current/supervisor", "status", "--json")
	if !strings.Contains(text, `"deadline"`) {
		t.Errorf("nobody drains:\n%s", text)
	}
	r.deploys("aaaa", r.push("aaaa"), "TRUSTED_PROXIES="+secret)
	if answer := finish(); !strings.HasPrefix(answer, "HTTP/1.1 200 OK") {
		t.Errorf("a request over two deploys is answered %s", answer)
	}

	if out, code := r.Run(r.as("/opt/simpletalk/current/supervisor", "deploy", "--release", bbbb)...); code != 0 {
		t.Errorf("to go back: exit %d: %s", code, out)
	}
	r.is("bbbb", bbbb)
	l := end()
	checkMessages(t, l, 50)
	if l.Disconnects+l.Broken != 0 {
		t.Errorf("%d disconnected, want nobody", l.Disconnects+l.Broken)
	}
	r.least()
}

// least checks that the runner's user can do what a deploy needs, and no more.
func (r *runner) least() {
	r.t.Helper()
	for _, c := range [][]string{
		{"sh", "-c", "echo x >>/etc/simpletalk/supervisor.toml"},
		{"sh", "-c", "echo x >>/etc/simpletalk/env"},
		{"ls", "/var/lib/simpletalk"},
		{"systemctl", "restart", "simpletalk"},
		{"sh", "-c", "kill $(cat /run/simpletalk/supervisor.pid)"},
	} {
		if out, code := r.Run(r.as(c...)...); code == 0 {
			r.t.Errorf("the runner may %v: %s", c, out)
		}
	}
	if out, code := r.Run(r.as("/opt/simpletalk/current/supervisor", "status")...); code != 0 {
		r.t.Errorf("the runner may not ask: %s", out)
	}
	r.Reboot() // gives no folder to anybody else
	if owner := r.Must("stat", "-c", "%U", "/opt/simpletalk", "/opt/simpletalk/releases"); owner != "runner\nrunner" {
		r.t.Errorf("after a reboot the folders are %s's", owner)
	}
}
