package e2e

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/simpletalk/simpletalk/proto/ws"
)

// The example in the documentation of proto/ws is a server that survives its
// deploys and kills, as it stands there.
func TestTheExampleServerOutlivesItself(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "server")
	if out, err := exec.Command("go", "test", "-c", "-o", binary, module+"/proto/ws").CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v: %s", err, out)
	}
	s := openCommand(t, binary, "example-server")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, _, err := ws.Dial(ctx, "ws://"+s.addr, ws.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	say := func(want string) {
		t.Helper()
		if err := c.Write(ctx, ws.Text, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Read(ctx); err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	say("1: hello")
	if d := s.hangup(); d.Verdict != "accepted" {
		t.Fatalf("%+v", d)
	}
	say("2: hello")
	st, err := s.status()
	if err != nil {
		t.Fatal(err)
	}
	kill(st.Programs[0].Instances[0].PID)
	if got, err := c.Read(ctx); err != nil || string(got) != "I have lost count" {
		t.Fatalf("after a kill: %q, %v", got, err)
	}
	say("1: hello")
	if d := s.hangup(); d.Verdict != "accepted" {
		t.Fatalf("%+v", d)
	}
	say("2: hello")
}
