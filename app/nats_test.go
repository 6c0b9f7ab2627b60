//go:build linux

package main

import (
	"bytes"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/simpletalk/simpletalk/app/internal/mongo/mongotest"
	"github.com/simpletalk/simpletalk/app/internal/nats/natstest"
)

// TestBadNATS: each mistake has one clear line, without what is secret.
func TestBadNATS(t *testing.T) {
	const mongo = "MONGODB_URI=mongodb://127.0.0.1:1/db"
	for _, tt := range []struct {
		args []string
		env  []string
		want string
	}{
		{nil, []string{mongo, "NATS_URL=http://" + password + "@h"}, "NATS_URL: must be nats://HOST"},
		{nil, []string{mongo, "NATS_URL=nats://" + password + "%zz@h"}, "NATS_URL: cannot be read"},
		{nil, []string{"NATS_URL=nats://" + password + "@h"}, "set MONGODB_URI too"},
		{[]string{"--nats-url", "nats://" + password + "@h"}, []string{mongo}, "--nats-url: everybody on this machine can read it"},
		{[]string{"--nats-url", "h"}, []string{mongo}, "--nats-url: must be nats://HOST"},
		{[]string{"--nats-url", "nats://h", "--nats-creds", "/no/such"}, []string{mongo}, "NATS: read credentials: open /no/such"},
		{nil, []string{mongo, "NATS_URL=nats://h", "NATS_CERT=/no/such"}, "belong together"},
	} {
		cmd := app(t, append([]string{"serve", "--listen", "127.0.0.1:0"}, tt.args...)...)
		cmd.Env = append(cmd.Env, tt.env...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		cmd.Run()
		line := out.String()
		if cmd.ProcessState.ExitCode() != exitUsage || !strings.HasPrefix(line, "app: ") || strings.Count(line, "\n") != 1 || !strings.Contains(line, tt.want) {
			t.Errorf("%v %v: exit %d, %q; want one line with %q", tt.args, tt.env, cmd.ProcessState.ExitCode(), line, tt.want)
		}
		if strings.Contains(line, password) {
			t.Errorf("the secret is shown: %s", line)
		}
	}
}

// TestServeWithNATS: it starts and stops with a server, without one, and when
// one comes; nobody is shown the token.
func TestServeWithNATS(t *testing.T) {
	config := "authorization { token: \"" + password + "\" }"
	server := natstest.Start(t, config)
	cmd := app(t, "serve", "--listen", "127.0.0.1:0")
	cmd.Env = append(cmd.Env, "MONGODB_URI="+mongotest.Start(t).URI("chat"), "NATS_URL=nats://"+password+"@"+server.Addr())
	addr, log := startLogged(t, cmd)
	server.Kill()
	resp, err := http.Get("http://" + addr + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("readyz without NATS: %d, want 200: the chat goes on", resp.StatusCode)
	}
	server.Restart("authorization { token: other }") // something to complain about
	cmd.Process.Signal(syscall.SIGTERM)
	said := log()
	if err := cmd.Wait(); err != nil {
		t.Errorf("got %v, want exit code 0", err)
	}
	if strings.Contains(said, password) {
		t.Errorf("the token is shown: %s", said)
	}
}
