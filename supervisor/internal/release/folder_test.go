//go:build linux

package release

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"time"
)

// host is a machine with a folder of releases and the link beside it.
type host struct {
	*testing.T
	dir string
}

func newHost(t *testing.T) host { return host{t, t.TempDir()} }

func (h host) link() string     { return filepath.Join(h.dir, "current") }
func (h host) releases() string { return filepath.Join(h.dir, "releases") }
func (h host) env() string      { return filepath.Join(h.dir, "env") }

// open takes the folder for the time of the test, or until it is closed.
func (h host) open() *Folder {
	h.Helper()
	f, err := Open(h.releases(), h.link())
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { f.Close() })
	return f
}

// release puts a release there that was last accepted so long ago.
func (h host) release(id string, age time.Duration, own bool) {
	h.Helper()
	h.put(filepath.Join(h.releases(), id, "app"), "build "+id)
	if own {
		h.put(filepath.Join(h.releases(), id, markName), "00  x\n")
	}
	at := time.Now().Add(-age)
	h.check(os.Chtimes(filepath.Join(h.releases(), id), at, at))
}

func (h host) put(path, content string) {
	h.Helper()
	h.check(os.MkdirAll(filepath.Dir(path), 0o755))
	h.check(os.WriteFile(path, []byte(content), 0o644))
}

func (h host) check(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// state is everything there is, by path: what a file has, where a link leads.
func (h host) state() map[string]string {
	h.Helper()
	all := map[string]string{}
	h.check(filepath.WalkDir(h.dir, func(path string, e os.DirEntry, err error) error {
		name, _ := filepath.Rel(h.dir, path)
		switch {
		case err != nil:
			return err
		case e.Type() == os.ModeSymlink:
			all[name], err = os.Readlink(path)
		case e.Type().IsRegular():
			var text []byte
			text, err = os.ReadFile(path)
			all[name] = string(text)
		}
		return err
	}))
	return all
}

// is checks that everything is as it was.
func (h host) is(want map[string]string) {
	h.Helper()
	if got := h.state(); !reflect.DeepEqual(got, want) {
		h.Errorf("there is %v, want %v", got, want)
	}
}

func TestOneDeployAtATimeHasTheFolder(t *testing.T) {
	h := newHost(t)
	f := h.open()
	if _, err := Open(h.releases(), h.link()); !errors.Is(err, ErrBusy) {
		t.Errorf("a second one gets %v", err)
	} else if want := "another deploy is under way in " + h.releases() + ": wait for its verdict"; err.Error() != want {
		t.Errorf("it is told %q, want %q", err, want)
	}
	f.Close()
	h.open()
}

func TestWhatIsCurrent(t *testing.T) {
	for target, want := range map[string]string{
		"releases/7": "7", "./releases/7/": "7", "releases/../releases/7": "7",
		"elsewhere/7": "", "releases": "", "releases/.new-7": "", "releases/7/app": "",
	} {
		h := newHost(t)
		f := h.open()
		h.check(os.Symlink(target, h.link()))
		if got, err := f.Current(); err != nil || got != want {
			t.Errorf("%s is release %q, %v, want %q", target, got, err, want)
		}
	}
	h := newHost(t)
	if got, err := h.open().Current(); got != "" || err != nil {
		t.Errorf("without a link %q, %v", got, err)
	}
	h.put(h.link(), "no link")
	if _, err := Open(h.releases(), h.link()); err == nil {
		t.Error("a folder is opened twice")
	}
}

func TestNamesOfReleases(t *testing.T) {
	for _, id := range []string{"7", "v1.2.3-rc_1", "71ffaf5"} {
		if err := CheckID(id); err != nil {
			t.Error(err)
		}
	}
	for _, id := range []string{"", ".", "..", ".new-7", "-x", "a/b", "a b", "ü", "a\x00", string(slices.Repeat([]byte("a"), 129))} {
		if CheckID(id) == nil {
			t.Errorf("%q may be a release", id)
		}
	}
}

func TestPruneKeepsTheLatestAndThoseInUse(t *testing.T) {
	for _, c := range []struct {
		keep    int
		current string
		also    string
		want    []string
	}{
		{3, "1", "2", []string{"4", "5", "6"}},
		{3, "6", "5", []string{"2", "3", "4"}}, // those in use count
		{1, "6", "5", []string{"1", "2", "3", "4"}},
		{5, "3", "1", []string{"6"}},
		{9, "3", "1", nil},
	} {
		h := newHost(t)
		for i := 1; i <= 6; i++ { // 1 is the latest
			h.release(fmt.Sprint(i), time.Duration(i)*time.Hour, true)
		}
		h.release("by-hand", 100*time.Hour, false)
		h.check(os.Symlink("releases/"+c.current, h.link()))
		removed, err := h.open().Prune(c.keep, c.also)
		slices.Sort(removed)
		if err != nil || !slices.Equal(removed, c.want) {
			t.Errorf("%+v: removed %v, %v", c, removed, err)
		}
		for id := range map[string]bool{c.current: true, c.also: true, "by-hand": true} {
			if _, err := os.Stat(filepath.Join(h.releases(), id, "app")); err != nil {
				t.Errorf("%+v: %v", c, err)
			}
		}
	}
}

func TestWhatIsHalfRemovedOrUnpackedGoes(t *testing.T) {
	h := newHost(t)
	h.release("7", 0, true)
	want := h.state()
	h.put(filepath.Join(h.releases(), newPrefix+"8", "app"), "half")
	h.put(filepath.Join(h.releases(), oldPrefix+"6", "app"), "half")
	h.open()
	h.is(want)
}

// Root may deploy into the folder of somebody who is not: everything is his then.
func TestWhatRootDeploysIsTheFolders(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	const uid, gid = 65533, 65532
	h := newHost(t)
	h.check(os.MkdirAll(h.releases(), 0o755))
	h.check(os.Chown(h.releases(), uid, gid))
	deploy := filepath.Join(h.dir, "deploy")
	h.check(os.Mkdir(deploy, 0o750))
	h.check(os.Chown(deploy, uid, gid))
	h.check(os.Chmod(deploy, 0o2750|os.ModeSetgid))
	if _, err := h.install(h.pack(file("nginx/app", 0o755), symlink("link", "nginx"))); err != nil {
		t.Fatal(err)
	}
	c, err := h.open().Begin("7", Settings{Path: deploy + "/env", Content: []byte("A=1\n")})
	h.check(err)
	h.check(c.Commit())
	for _, name := range []string{"releases/7", "releases/7/nginx/app", "releases/7/link", "releases/7/" + markName, "deploy/env"} {
		info, err := os.Lstat(filepath.Join(h.dir, name))
		if err != nil {
			t.Error(err)
		} else if s := info.Sys().(*syscall.Stat_t); s.Uid != uid || s.Gid != gid {
			t.Errorf("%s is %d:%d's, want %d:%d", name, s.Uid, s.Gid, uid, gid)
		}
	}
}
