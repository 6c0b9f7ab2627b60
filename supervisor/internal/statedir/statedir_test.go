package statedir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

func open(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// lock opens and locks a folder.
func lock(path string) (*Dir, error) {
	d, err := Open(path)
	if err != nil {
		return nil, err
	}
	if err := d.Lock(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func contents(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWhereTheStateIs(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv(EnvState, "")
	if got := Find(""); got != "/run/simpletalk" {
		t.Errorf("without anything: %s, want /run/simpletalk", got)
	}
	if err := os.WriteFile(".supervisor", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Find(""); got != "/run/simpletalk" {
		t.Errorf("with a file of that name: %s, want /run/simpletalk", got)
	}
	os.Remove(".supervisor")
	if got, err := FindOrMake(""); got != "./.supervisor" || err != nil {
		t.Errorf("a start without anything: %s, %v; want ./.supervisor", got, err)
	}
	if got := Find(""); got != "./.supervisor" {
		t.Errorf("with ./.supervisor: %s", got)
	}
	fromEnv, fromFlag := t.TempDir(), t.TempDir()
	t.Setenv(EnvState, fromEnv)
	if got := Find(""); got != fromEnv {
		t.Errorf("with $%s: %s, want %s", EnvState, got, fromEnv)
	}
	if got := Find(fromFlag); got != fromFlag {
		t.Errorf("with --state: %s, want %s", got, fromFlag)
	}
}

func TestTheFolderIsMadePrivate(t *testing.T) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	dir := filepath.Join(t.TempDir(), "a", "b")
	if _, err := FindOrMake(dir); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v; want 0700", info.Mode(), err)
	}
	inTheWay := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(inTheWay, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := FindOrMake(inTheWay); err == nil || !strings.Contains(err.Error(), inTheWay) {
		t.Errorf("a file in the way: %v, want it named", err)
	}
}

func TestOneSupervisorAtATime(t *testing.T) {
	path := t.TempDir()
	first := open(t, path)
	if err := first.WritePID(); err != nil {
		t.Fatal(err)
	}
	_, err := lock(path)
	for _, says := range []string{path, fmt.Sprintf("pid %d", os.Getpid()), "--state"} {
		if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), says) {
			t.Errorf("the second is told %v, want ErrLocked with %q", err, says)
		}
	}
	if got := contents(t, path); !slices.Contains(got, pidName) {
		t.Errorf("the second took something away: %v is left", got)
	}
	first.Close()
	if got := contents(t, path); !slices.Equal(got, []string{lockName}) {
		t.Errorf("the first left %v, want its lock only", got)
	}
	open(t, path)
}

func TestAFolderThatIsMissing(t *testing.T) {
	if _, err := Open("/no/such/folder"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/no/such/folder") {
		t.Errorf("got %v", err)
	}
}

func TestThePIDFile(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	for range 2 {
		if err := d.WritePID(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(filepath.Join(path, "supervisor.pid"))
	if want := fmt.Sprintf("%d\n", os.Getpid()); err != nil || string(got) != want {
		t.Errorf("it holds %q, %v; want %q", got, err, want)
	}
	if got := contents(t, path); !slices.Equal(got, []string{lockName, pidName}) {
		t.Errorf("the folder holds %v", got)
	}
}

// reached checks that a client of the folder reaches l.
func reached(t *testing.T, path string, l net.Listener) {
	t.Helper()
	c, err := Dial(path)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
}

func TestTheControlSocket(t *testing.T) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	long := filepath.Join(t.TempDir(), strings.Repeat("a", 200), strings.Repeat("b", 200))
	for name, path := range map[string]string{"in a short path": t.TempDir(), "in a long path": long} {
		t.Run(name, func(t *testing.T) {
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			d := open(t, path)
			for range 2 { // the second takes the place of the first, which is stale by then
				l, err := d.Listen(-1)
				if err != nil {
					t.Fatal(err)
				}
				info, err := os.Lstat(filepath.Join(path, "control.sock"))
				if err != nil || info.Mode() != fs.ModeSocket|0o600 {
					t.Errorf("mode %v, %v; want a socket of 0600", info.Mode(), err)
				}
				reached(t, path, l)
				l.Close()
			}
			if now := unix.Umask(0); now != 0 {
				t.Errorf("the umask is %o afterwards", now)
			}
			d.Close()
			if got := contents(t, path); !slices.Equal(got, []string{lockName}) {
				t.Errorf("left: %v", got)
			}
		})
	}
}

// Whoever asks where no supervisor lives is told so, by the path they know.
func TestNobodyAnswers(t *testing.T) {
	empty, stale, full := t.TempDir(), t.TempDir(), t.TempDir()
	d := open(t, stale)
	l, err := d.Listen(-1)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := os.WriteFile(filepath.Join(full, "control.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		"/no/such/folder": "/no/such/folder: no such file or directory",
		empty:             empty + "/control.sock: no such file or directory",
		stale:             stale + "/control.sock: connection refused",
		full:              full + "/control.sock: connection refused",
	} {
		_, err := control.NewClient(Dial(path)).Status(context.Background())
		if !errors.Is(err, control.ErrUnreachable) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "/proc/") {
			t.Errorf("%s: %v, want ErrUnreachable with %q", path, err, says)
		}
	}
}

// Members of the group reach the socket, and see nothing else of the folder.
func TestAGroupMayBeLetIn(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	l, err := d.Listen(os.Getegid())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, want := range map[string]fs.FileMode{".": 0o710, socketName: 0o660, lockName: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %o", name, info.Mode(), err, want)
		}
	}
	if os.Geteuid() == 0 {
		return // root may give anything to anybody
	}
	l.Close()
	if l, err := d.Listen(0); err == nil {
		l.Close()
		t.Error("the socket was given to a group that is not ours")
	}
}
