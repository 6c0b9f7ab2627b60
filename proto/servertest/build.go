package servertest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// Build returns the program of the module in dir, which is relative to the
// caller's file. It is built once for each version of its sources and of Go, and
// kept in the user's cache directory. Where it cannot be built the test is
// skipped, or fails if REQUIRE_ALL=1.
func Build(t testing.TB, dir string) string {
	t.Helper()
	_, caller, _, _ := runtime.Caller(1)
	source := filepath.Join(filepath.Dir(caller), dir)
	version, err := versionOf(source)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	program := filepath.Join(cache, "simpletalk", filepath.Base(source)+"-"+version)
	if err := buildOnce(source, program); err != nil {
		lacking(t, fmt.Sprintf("%s cannot be built: %v", filepath.Base(source), err))
	}
	return program
}

func versionOf(source string) (string, error) {
	files, err := os.ReadDir(source)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOARCH)
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(source, f.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, f.Name(), len(b))
		h.Write(b)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

// buildOnce builds program if it is not there. Of several processes that want it
// one builds, the others wait.
func buildOnce(source, program string) error {
	if err := os.MkdirAll(filepath.Dir(program), 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(program+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	if _, err := os.Stat(program); err == nil {
		return nil
	}
	return compile(source, program)
}

// compile has the program appear in one step: it may be killed on the way.
func compile(source, program string) error {
	part := program + ".part"
	c := exec.Command("go", "build", "-o", part, ".")
	c.Dir = source
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly -buildvcs=false")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return os.Rename(part, program)
}

// lacking skips the test, or fails it where everything is required.
func lacking(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal("REQUIRE_ALL=1, but ", what)
	}
	t.Skip(what)
}
