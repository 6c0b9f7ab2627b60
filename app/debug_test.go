//go:build linux

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// overSocket gets a path from a Unix socket.
func overSocket(socket, path string) (status int, body string, err error) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", socket)
	}}}
	resp, err := client.Get("http://debug" + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// waitHealth waits until a socket is that of a process.
func waitHealth(t *testing.T, socket string, cmd *exec.Cmd) {
	t.Helper()
	want := `"pid":` + pid(cmd)
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		_, body, err := overSocket(socket, "/healthz")
		if err == nil && strings.Contains(body, want) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("got %q, %v; want %s", body, err, want)
		}
	}
}

func TestDebugSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "debug")
	cmd := app(t, "serve", "--listen", "127.0.0.1:0", "--debug-socket", socket)
	addr := start(t, cmd)
	waitHealth(t, socket, cmd)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v; want mode 0600", info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(socket), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for path, want := range map[string]string{
		"/readyz":                        "ready",
		"/metrics":                       `simpletalk_connections{state="talking"} 0`,
		"/debug/pprof/goroutine?debug=1": "goroutine profile",
	} {
		if status, body, err := overSocket(socket, path); err != nil || status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: got %d %v %.200s, want %q", path, status, err, body, want)
		}
		if path == "/readyz" {
			continue
		}
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s in public: got %d, want 404", path, resp.StatusCode)
		}
	}
	http.DefaultClient.CloseIdleConnections()

	// Another that begins to serve takes the path, keeps it, and gives it back by
	// going.
	second := app(t, "serve", "--listen", "127.0.0.1:0", "--debug-socket", socket)
	start(t, second)
	waitHealth(t, socket, second)
	time.Sleep(3 * debugEvery)
	if _, body, err := overSocket(socket, "/healthz"); !strings.Contains(body, `"pid":`+pid(second)) {
		t.Errorf("got %s, %v; want the second one still", body, err)
	}
	end(t, second)
	waitHealth(t, socket, cmd)
	end(t, cmd)
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func end(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v, want exit code 0", err)
	}
}

// TestDebugSocketHarmsNothing: a file that is in its way stays.
func TestDebugSocketHarmsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := app(t, "serve", "--listen", "127.0.0.1:0", "--debug-socket", path)
	_, log := startLogged(t, cmd)
	time.Sleep(2 * debugEvery)
	end(t, cmd)
	if said := log(); strings.Count(said, "debug socket not served") != 1 || !strings.Contains(said, "is no socket") {
		t.Errorf("said %s", said)
	}
	if b, err := os.ReadFile(path); string(b) != "mine" {
		t.Errorf("the file holds %q, %v", b, err)
	}
}

func TestParseRetention(t *testing.T) {
	for s, want := range map[string]chat.Limits{
		"": {}, "age=90d": {Age: 90 * 24 * time.Hour}, " posts=100 , age=12h": {Age: 12 * time.Hour, Posts: 100},
	} {
		if got, err := parseRetention(s); err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{"x", "age", "age=", "age=-1d", "age=9999999d", "age=1.5d", "posts=1.5", "posts=-1", "age=1d,age=2d", "age=1h;posts=1"} {
		if got, err := parseRetention(s); err == nil {
			t.Errorf("%q passes for %+v", s, got)
		}
	}
}
