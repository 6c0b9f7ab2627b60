package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// watch has every save of src/version, which names a build, put that in echo's place
// and reload it, as a developer does who runs 'supervisor watch' beside it all.
func (x *torture) watch() {
	x.t.Helper()
	if err := os.Mkdir(x.file("src"), 0o700); err != nil {
		x.t.Fatal(err)
	}
	x.write("build.sh", `build=$(cat src/version)
if [ "$build" = broken ]; then echo "src/version:1: no such build" >&2; exit 1; fi
ln -s "$build" echo.built && mv -T echo.built echo
`)
	x.saved = new(output)
	c := exec.Command(binaries.supervisor(x.t), "--state", x.state(), "watch", "echo", "--path", "src", "--settle", "50ms", "--", "sh", "build.sh")
	c.Dir = x.dir
	c.Stdout, c.Stderr = x.saved, x.saved
	if err := c.Start(); err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() {
		c.Process.Signal(syscall.SIGINT)
		if err := c.Wait(); err != nil {
			x.t.Errorf("watch ended with %v:\n%s", err, x.saved.last(20))
		}
	})
	x.eventually("watch watches", func() bool { return strings.Contains(x.saved.String(), "watching ") })
}

// save changes a file that is watched, to something that can be built or not.
func (x *torture) save() {
	version, outcome := "broken", "what runs serves on"
	if n := x.rng.IntN(3); n < 2 {
		version, outcome = x.good["echo"][n], "accepted"
	}
	before := len(x.saved.String())
	x.note("save %s", version)
	x.write("src/version", version)
	x.eventually("the outcome of a save is told: "+outcome, func() bool { return strings.Contains(x.saved.String()[before:], outcome) })
	if version != "broken" {
		x.want["echo"] = runs
	}
}
