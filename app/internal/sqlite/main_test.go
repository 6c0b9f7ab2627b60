package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/chat/chattest"
)

// roleVariable makes the test binary another process on the same directory.
const roleVariable = "SQLITE_TEST_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		chattest.Main(m, openTarget)
	}
	if err := play(role, os.Args[1:]); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func openTarget(ctx context.Context, dir string) (chat.Store, error) {
	return Open(ctx, dir, Options{})
}

// play runs a role: each tells on its standard output what it has done and
// waits on its standard input for what to do next.
func play(role string, args []string) error {
	in := bufio.NewReader(os.Stdin)
	switch role {
	case "open": // DIR: open when told
		fmt.Println("ready")
		in.ReadString('\n')
		s, err := Open(context.Background(), args[0], Options{})
		if err != nil {
			return err
		}
		return s.Close()
	case "hold": // DIR: keep the lock until told
		l, err := openLock(directory{args[0]}.lock())
		if err != nil {
			return err
		}
		if err := l.acquire(context.Background(), time.Now().Add(time.Minute)); err != nil {
			return err
		}
		fmt.Println("held")
		in.ReadString('\n')
		return l.close()
	}
	return fmt.Errorf("no role %q", role)
}

// posts are n drafts with nonces that begin with prefix.
func posts(room, prefix string, n int) []chat.Draft {
	drafts := make([]chat.Draft, n)
	for i := range drafts {
		drafts[i] = chat.Draft{
			Room: room, Kind: "post", User: chat.User{ID: "u-1", Name: "Ada"},
			Nonce: fmt.Sprintf("%s-%d", prefix, i), Text: "something of an ordinary length for a chat",
		}
	}
	return drafts
}

func start(t *testing.T, role string, args ...string) *chattest.Process {
	t.Helper()
	return startAs(t, nil, role, args...)
}

// startAs starts it as another user, nil for this one.
func startAs(t *testing.T, user *syscall.Credential, role string, args ...string) *chattest.Process {
	t.Helper()
	return chattest.Start(t, user, roleVariable+"="+role, args...)
}

// lacking skips the test, or fails it where everything is required.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("REQUIRE_ALL") == "1" {
		t.Fatal("required, but ", what)
	}
	t.Skip(what)
}
