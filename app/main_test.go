//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

// commandVar makes the test binary the command itself.
const commandVar = "APP_TEST_COMMAND"

const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(commandVar) != "" {
		main()
	}
	leaktest.Main(m)
}

// app returns the command as a process, in a directory of its own.
func app(t *testing.T, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{commandVar + "=1"}
	return cmd
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		env  string
		code int
		want string // in the one line on stderr
	}{
		{args: nil, code: exitUsage, want: "a command is missing"},
		{args: []string{"sevre"}, code: exitUsage, want: `unknown command "sevre"`},
		{args: []string{"serve", "now"}, code: exitUsage, want: `"now"`},
		{args: []string{"serve", "--port", "1"}, code: exitUsage, want: "unknown flag: --port"},
		{args: []string{"serve", "--listen", "3000"}, code: exitUsage, want: `--listen: address "3000": must be HOST:PORT`},
		{args: []string{"serve", "--listen", "x:99999"}, code: exitUsage, want: `port "99999" must be a number`},
		{args: []string{"serve", "--listen", "unix://x"}, code: exitUsage, want: "absolute path"},
		{args: []string{"serve", "--listen", "unix:///x?mode=9"}, code: exitUsage, want: "octal"},
		{args: []string{"serve", "--origins", "chat.example"}, code: exitUsage, want: `--origins: origin "chat.example": must be http://`},
		{args: []string{"serve"}, env: "ORIGINS=https://x/y", code: exitUsage, want: `ORIGINS: origin "https://x/y"`},
		{args: []string{"serve"}, env: "TRUSTED_PROXIES=10.0.0.0/8,proxy", code: exitUsage, want: `TRUSTED_PROXIES: "proxy" must be an IP address`},
		{args: []string{"serve", "--retention", "90d"}, code: exitUsage, want: `--retention: "90d" is no limit`},
		{args: []string{"serve"}, env: "RETENTION=age=1s", code: exitUsage, want: "RETENTION: age=1s must be a time of a minute at least"},
		{args: []string{"serve"}, env: "MAX_PER_ADDRESS=many", code: exitUsage, want: `MAX_PER_ADDRESS: "many" must be a number from 1 on`},
		{args: []string{"serve", "--max-per-address", "0"}, code: exitUsage, want: `--max-per-address: "0" must be a number from 1 on`},
		{args: []string{"serve"}, env: "RETENTION=posts=0", code: exitUsage, want: "posts=0 must be a number from 1"},
		{args: []string{"serve"}, env: "DEBUG_SOCKET=here", code: exitUsage, want: `DEBUG_SOCKET: "here" must be an absolute path`},
		{args: []string{"serve", "--debug-socket", "/nowhere/s"}, code: exitUsage, want: "make /nowhere first"},
		{args: []string{"serve", "--data", "/proc/nowhere", "--listen", "127.0.0.1:0"}, code: exitError, want: "/proc/nowhere"},
		{args: []string{"serve", "--listen", "192.0.2.1:1"}, code: exitError, want: "listen on 192.0.2.1:1: this machine has no such address"},
	} {
		t.Run(strings.Join(tt.args, " ")+tt.env, func(t *testing.T) {
			cmd := app(t, tt.args...)
			cmd.Env = append(cmd.Env, tt.env)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			cmd.Run()
			line := stderr.String()
			if got := cmd.ProcessState.ExitCode(); got != tt.code {
				t.Errorf("got exit code %d, want %d", got, tt.code)
			}
			if !strings.HasPrefix(line, "app: ") || strings.Count(line, "\n") != 1 || !strings.Contains(line, tt.want) {
				t.Errorf("got %q, want one line with %q", line, tt.want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	version, commit = "v9", "abc"
	defer func() { version, commit = "", "" }()
	var out bytes.Buffer
	if code := run(t.Context(), []string{"version"}, &out, io.Discard); code != exitOK || out.String() != "app v9 (abc)\n" {
		t.Errorf("got %d %q", code, out.String())
	}
	out.Reset()
	run(t.Context(), []string{"version", "--json"}, &out, io.Discard)
	var v map[string]string
	if err := json.Unmarshal(out.Bytes(), &v); err != nil || v["version"] != "v9" || v["commit"] != "abc" {
		t.Errorf("got %q", out.String())
	}
}

var listening = regexp.MustCompile(`"msg":"listening","addr":"([^"]+)"`)

// start runs serve and returns its address.
func start(t *testing.T, cmd *exec.Cmd) (addr string) {
	t.Helper()
	addr, _ = startLogged(t, cmd)
	return addr
}

// startLogged also returns what waits for the end of the process's log and
// returns all of it.
func startLogged(t *testing.T, cmd *exec.Cmd) (addr string, log func() string) {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	lines := bufio.NewScanner(io.TeeReader(stderr, &said))
	for lines.Scan() {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			rest := make(chan string, 1)
			go func() { // ends with the process
				io.Copy(&said, stderr)
				rest <- said.String()
			}()
			return m[1], func() string { return <-rest }
		}
		t.Log(lines.Text())
	}
	t.Fatal("the server does not listen")
	return "", nil
}

func pid(cmd *exec.Cmd) string { return strconv.Itoa(cmd.Process.Pid) }

func TestServeStopsCleanly(t *testing.T) {
	cmd := app(t, "serve", "--listen", "127.0.0.1:0", "--data", "d")
	addr := start(t, cmd)
	resp, err := http.Get("http://" + addr + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("readyz: %d", resp.StatusCode)
	}
	if _, err := os.Stat(filepath.Join(cmd.Dir, "d")); err != nil {
		t.Errorf("data directory: %v", err)
	}

	second := app(t, "serve", "--listen", addr)
	out, _ := second.CombinedOutput()
	if second.ProcessState.ExitCode() != exitError || !strings.Contains(string(out), "listen on "+addr+": the address is in use by another process") {
		t.Errorf("port in use: got %d %s", second.ProcessState.ExitCode(), out)
	}

	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v, want exit code 0", err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestSecondSignalStopsAtOnce: a request in flight would hold the first.
func TestSecondSignalStopsAtOnce(t *testing.T) {
	cmd := app(t, "serve", "--listen", "127.0.0.1:0")
	addr := start(t, cmd)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "POST /api/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
	time.Sleep(200 * time.Millisecond)
	began := time.Now()
	cmd.Process.Signal(syscall.SIGINT)
	time.Sleep(200 * time.Millisecond)
	cmd.Process.Signal(syscall.SIGINT)
	cmd.Wait()
	if took := time.Since(began); took > 3*time.Second || cmd.ProcessState.ExitCode() != exitError {
		t.Errorf("took %v, exit code %d; want at once and %d", took, cmd.ProcessState.ExitCode(), exitError)
	}
}

func TestUnixSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	for range 2 { // the second time over a stale file
		cmd := app(t, "serve", "--listen", "unix://"+path+"?mode=0600")
		start(t, cmd)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("got %v, %v; want mode 0600", info, err)
		}
		client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial("unix", path)
		}}}
		resp, err := client.Get("http://chat/healthz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		client.CloseIdleConnections()
		cmd.Process.Kill()
		cmd.Wait()
	}
}
