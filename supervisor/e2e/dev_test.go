package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// `make dev` while 300 people talk: what is saved is built and serves, the page, the
// app and the supervisor itself; what does not compile is told and changes nothing;
// nobody is disconnected. Ctrl-C ends all of it.
func TestMakeDevDisconnectsNobody(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		skip(t, err.Error())
	}
	d := openDev(t)
	stop := d.talk(binaries.app(t, "aaaa"))
	page := "app/internal/web/ui/index.html"

	d.save(page, "<title>", "<title>first ")
	d.eventually("the page is the one that was saved, for good", func() bool {
		st, err := d.status()
		return d.serves("<title>first ") && err == nil && len(st.Deploys) > 0 && st.Deploys[len(st.Deploys)-1].Verdict == "accepted"
	})
	first := d.worker()

	d.save("app/main.go", "func main() {", "func main() { no program")
	d.eventually("the mistake is told", func() bool {
		return strings.Contains(d.output.String(), "app/main.go:") && strings.Contains(d.output.String(), "what runs serves on")
	})
	if now := d.worker(); now != first || !d.serves("<title>first ") {
		t.Errorf("after a mistake worker %d serves, before %d", now, first)
	}

	d.save("app/main.go", "func main() { no program", "func main() {")
	for range 5 { // a save while the one before is built
		d.save(page, "<title>", "<title>again ")
		time.Sleep(300 * time.Millisecond)
	}
	d.eventually("the last save serves", func() bool { return d.serves("<title>" + strings.Repeat("again ", 5)) })

	before, err := d.status()
	if err != nil {
		t.Fatal(err)
	}
	d.save("supervisor/main.go", "\nfunc main() {", "\n\n\nfunc main() {") // other line numbers, another executable
	d.eventually("another supervisor", func() bool {
		st, err := d.status()
		return err == nil && st.PID != before.PID && st.Programs[0].Instances[0].State == "running"
	})

	r, _ := stop()
	checkMessages(t, r, 60)
	if r.Disconnects+r.Broken != 0 || r.Reconnects != 0 {
		t.Errorf("%d disconnected, %d broken, %d connected again, want none", r.Disconnects, r.Broken, r.Reconnects)
	}
	d.interrupt()
}

// dev is a site by `make dev` on a copy of the sources.
type dev struct {
	*site
	sources string
}

func openDev(t *testing.T) dev {
	t.Helper()
	d := dev{&site{t: t, dir: t.TempDir(), addr: freePort(t), ended: make(chan struct{}), output: new(output)}, ""}
	d.sources = filepath.Join(d.dir, "sources")
	t.Setenv("SIMPLETALK_STATE", "")
	for _, name := range []string{"app", "proto", "supervisor", "systemd", "nginx"} {
		if err := os.CopyFS(filepath.Join(d.sources, name), os.DirFS(filepath.Join("..", "..", name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum", "Makefile"} {
		text, err := os.ReadFile(filepath.Join("..", "..", name))
		if err != nil {
			t.Fatal(err)
		}
		d.write(name, strings.ReplaceAll(string(text), " -trimpath ", " ")) // what other tests have compiled is as good
	}
	if out, err := exec.Command("make", "-C", d.sources, "build").CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	if err := os.Symlink(filepath.Join(d.sources, ".supervisor"), d.state()); err != nil { // made by the first run
		t.Fatal(err)
	}
	d.launch(exec.Command("make", "-C", d.sources, "dev", "LISTEN="+d.addr))
	t.Cleanup(func() { syscall.Kill(-d.process.Process.Pid, syscall.SIGKILL) }) // nothing is left of a test that gave up
	d.eventually("it serves and watches", func() bool {
		return d.serves("<title>") && strings.Contains(d.output.String(), "watching ")
	})
	return d
}

func (d dev) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.sources, name), []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// save changes a source file as an editor does.
func (d dev) save(name, from, to string) {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join(d.sources, name))
	if err != nil || !strings.Contains(string(text), from) {
		d.t.Fatalf("%s has no %q: %v", name, from, err)
	}
	d.write(name, strings.Replace(string(text), from, to, 1))
}

// serves reports whether the page says so.
func (d dev) serves(text string) bool {
	page, err := get(d.url())
	return err == nil && strings.Contains(string(page), text)
}

// interrupt is Ctrl-C in the terminal: it reaches make and all that it runs.
func (d dev) interrupt() {
	d.t.Helper()
	workers := d.workers()
	syscall.Kill(-d.process.Process.Pid, syscall.SIGINT)
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.t.Fatal("it did not end")
	}
	d.err = nil // make says that it was interrupted
	st, err := d.status()
	if err == nil {
		d.t.Errorf("supervisor %d is left", st.PID)
	}
	for _, pid := range workers {
		if lives(pid) {
			d.t.Errorf("worker %d is left", pid)
		}
	}
}
