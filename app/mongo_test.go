//go:build linux

package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/mongo/mongotest"
)

const password = "hunter2-is-secret"

// TestBadConnectionStrings: each has one clear line, without the password.
func TestBadConnectionStrings(t *testing.T) {
	for uri, want := range map[string]string{
		"http://u:" + password + "@h/db":                             "MONGODB_URI: must be mongodb://HOST",
		password:                                                     "MONGODB_URI: must be mongodb://HOST",
		"mongodb://u:" + password + "@/db":                           "names no host",
		"mongodb://u:p@" + password + "@h/db":                        "must be written as %40",
		"mongodb://u:" + password + "%zz@h/db":                       "must be written as %25",
		"mongodb://u:" + password + "/x@h/db":                        "must be written as %40, %3A or %2F",
		"mongodb://u:" + password + "@h/a.b":                         "name of the database",
		"mongodb://u:" + password + "@h/db?w=x&maxPoolSize=many":     "maxPoolSize",
		"mongodb://u:" + password + "@h/db?authMechanism=none":       "invalid auth mechanism",
		"mongodb://u:" + password + "@h/db?directConnection=perhaps": "directConnection",
		"mongodb://u:" + password + "@h:70000/db":                    "[1, 65535]",
		"mongodb+srv://u:" + password + "@h/db":                      "connection string",
		"mongodb://u:" + password + "@127.0.0.1:1/db":                "no server that can be written is reachable",
		"mongodb://u@h/?tls=true&tlsCertificateKeyFilePassword=" + password + "&tlsCertificateKeyFile=/no/such": "/no/such",
	} {
		cmd := app(t, "serve", "--listen", "127.0.0.1:0")
		cmd.Env = append(cmd.Env, "MONGODB_URI="+uri)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.Run()
		line := out.String()
		if cmd.ProcessState.ExitCode() == exitOK || !strings.HasPrefix(line, "app: ") || strings.Count(line, "\n") != 1 || !strings.Contains(line, want) {
			t.Errorf("%s: exit %d, %q; want one line with %q", uri, cmd.ProcessState.ExitCode(), line, want)
		}
		if strings.Contains(line, password) {
			t.Errorf("%s: the password is shown: %s", uri, line)
		}
	}
}

// TestServeOnMongoDB: the URI comes by the environment or as a credential, and
// nobody is shown what is secret in it.
func TestServeOnMongoDB(t *testing.T) {
	server := mongotest.Start(t)
	uri := "mongodb://user:" + password + "@" + server.Addr() + "/chat?authMechanism=PLAIN"
	credentials := t.TempDir()
	if err := os.WriteFile(filepath.Join(credentials, "simpletalk.mongodb-uri"), []byte(uri+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range []string{"MONGODB_URI=" + uri, "CREDENTIALS_DIRECTORY=" + credentials} {
		cmd := app(t, "serve", "--listen", "127.0.0.1:0")
		cmd.Env = append(cmd.Env, env)
		addr, log := startLogged(t, cmd)
		resp, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("readyz: %d", resp.StatusCode)
		}
		http.DefaultClient.CloseIdleConnections()
		cmdline, err := os.ReadFile(filepath.Join("/proc", pid(cmd), "cmdline"))
		if err != nil {
			t.Fatal(err)
		}
		server.Kill() // now there is something to complain about
		for range 2 {
			resp, err := http.Get("http://" + addr + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			var body bytes.Buffer
			body.ReadFrom(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable || strings.Contains(body.String(), password) {
				t.Errorf("readyz without a server: %d %s", resp.StatusCode, &body)
			}
		}
		http.DefaultClient.CloseIdleConnections()
		cmd.Process.Signal(syscall.SIGTERM)
		said := log()
		if err := cmd.Wait(); err != nil {
			t.Errorf("got %v, want exit code 0", err)
		}
		if !strings.Contains(said, "store not ready") || !strings.Contains(said, "standalone") {
			t.Errorf("the log does not tell of the trouble:\n%s", said)
		}
		if strings.Contains(said, password) || bytes.Contains(cmdline, []byte(password)) {
			t.Errorf("the password is shown: %s %s", cmdline, said)
		}
		if _, err := os.Stat(filepath.Join(cmd.Dir, "data")); err == nil {
			t.Error("a directory for the embedded store was made")
		}
		server.Restart()
	}
}
