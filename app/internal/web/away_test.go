package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/mongo"
	"github.com/simpletalk/simpletalk/app/internal/mongo/mongotest"
	"github.com/simpletalk/simpletalk/app/internal/sqlite"
	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// awayPatience is how long a client waits in these tests: a commit may take five
// seconds before it is given up, and the next one as long.
const awayPatience = 30 * time.Second

// trouble is a store that can be taken away and given back.
type trouble struct {
	store chat.Store
	code  wire.Code // of the naks meanwhile
	begin func()
	end   func()
}

func behindProxy(t *testing.T) (chat.Store, *mongotest.Proxy) {
	t.Helper()
	proxy := mongotest.Between(t, mongotest.Start(t).Addr())
	s, err := mongo.Open(context.Background(), proxy.URI("chat"), mongo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, proxy
}

func embedded(t *testing.T, dir string) chat.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), dir, sqlite.Options{LockWait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// fated is a MongoDB all of whose inserts meet a fate.
func fated(f mongotest.Fate) func(*testing.T) trouble {
	return func(t *testing.T) trouble {
		s, proxy := behindProxy(t)
		return trouble{s, wire.CodeUnavailable,
			func() { proxy.Fates(func(string) mongotest.Fate { return f }) },
			func() { proxy.Fates(nil); proxy.Cut() }}
	}
}

// TestTalkingWhileTheStoreIsAway: who posts is told to try again, who reads what
// is in memory reads on, readiness goes red, nobody is disconnected; and when
// the store is back everything goes on by itself, and what was acknowledged is
// there once.
func TestTalkingWhileTheStoreIsAway(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T) trouble{
		"MongoDB is down": func(t *testing.T) trouble {
			s, proxy := behindProxy(t)
			return trouble{s, wire.CodeUnavailable, proxy.Down, func() { proxy.Up(t) }}
		},
		"MongoDB is too slow": func(t *testing.T) trouble {
			s, proxy := behindProxy(t)
			return trouble{s, wire.CodeUnavailable, func() { proxy.Delay(6 * time.Second) }, func() { proxy.Delay(0) }}
		},
		"MongoDB hangs":             fated(mongotest.Hang),
		"MongoDB cuts before":       fated(mongotest.CutBefore),
		"MongoDB cuts after":        fated(mongotest.CutAfter),
		"MongoDB closes its half":   fated(mongotest.HalfClose),
		"SQLite is locked":          lockedFile,
		"SQLite is on a full disk":  fullDisk,
		"SQLite's file is replaced": movedFile,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for seconds
			talkThrough(t, prepare(t))
		})
	}
}

func lockedFile(t *testing.T) trouble {
	dir := t.TempDir()
	s := embedded(t, dir)
	lock, err := os.Open(filepath.Join(dir, "simpletalk.lock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	return trouble{s, wire.CodeUnavailable,
		func() { syscall.Flock(int(lock.Fd()), syscall.LOCK_EX) },
		func() { syscall.Flock(int(lock.Fd()), syscall.LOCK_UN) }}
}

func movedFile(t *testing.T) trouble {
	dir := t.TempDir()
	s := embedded(t, dir)
	path := filepath.Join(dir, "simpletalk.db")
	return trouble{s, wire.CodeUnavailable,
		func() { os.Rename(path, path+".moved") },
		func() { os.Rename(path+".moved", path) }}
}

func fullDisk(t *testing.T) trouble {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=3m"); err != nil {
		if os.Getenv("REQUIRE_ALL") == "1" {
			t.Fatal("REQUIRE_ALL=1, but mounting a small file system: ", err)
		}
		t.Skip("mounting a small file system: ", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	ballast := filepath.Join(dir, "ballast")
	return trouble{embedded(t, dir), wire.CodeStorageFull, func() { fill(t, ballast) }, func() { os.Remove(ballast) }}
}

// fill writes a file until the disk is full.
func fill(t *testing.T, path string) {
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; _, err = f.Write(block) {
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func talkThrough(t *testing.T, away trouble) {
	h := open(t, away.store)
	h.http.Timeout = awayPatience
	ann := h.meet(h.guest("Ann"), hello)
	ben := h.dial(h.guest("Ben")) // known, but in no room yet
	ann.patience, ben.patience = awayPatience, awayPatience
	for i := range 3 {
		ann.say(post(fmt.Sprint("n", i), "x"))
	}
	ann.hears(3, 3) // what she has heard is in memory

	away.begin()
	ben.say(hello)
	for seq := int64(1); seq <= 3; seq++ { // out of memory
		if ev := seek[*wire.Event](ben); ev.Seq != seq {
			t.Errorf("while the store is away: got %+v, want event %d", ev, seq)
		}
	}
	var nak *wire.Nak
	text := "y"
	for n := 0; nak == nil && n < 200; n++ { // a full disk may have room for some
		ann.say(post(fmt.Sprint("away", n), text))
		nak = refusedOrStored(ann)
	}
	if nak == nil || nak.RetryMS <= 0 || nak.Code != away.code {
		t.Fatalf("got %+v, want a nak %s with retry_ms", nak, away.code)
	}
	if resp, body := h.do("GET", "/readyz", "", nil); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("while the store is away: readyz %d %s", resp.StatusCode, body)
	}

	away.end()
	end := time.Now().Add(awayPatience)
	for refused := nak; refused != nil; { // as the page does
		if time.Now().After(end) {
			t.Fatalf("the store is back, but: %+v", refused)
		}
		time.Sleep(time.Duration(refused.RetryMS) * time.Millisecond / 4)
		ann.say(post(nak.Nonce, text))
		refused = refusedOrStored(ann)
	}
	for status := 0; status != http.StatusOK; {
		if time.Now().After(end) {
			t.Fatalf("the store is back, but readyz is %d", status)
		}
		resp, _ := h.do("GET", "/readyz", "", nil)
		status = resp.StatusCode
	}
	events, err := away.store.After(t.Context(), chat.Lobby, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	nonces := map[string]bool{}
	for i, e := range events {
		if e.Seq != int64(i)+1 || nonces[e.Nonce] {
			t.Errorf("event %d is %+v", i+1, e)
		}
		nonces[e.Nonce] = true
	}
	if !nonces["n2"] || !nonces[nak.Nonce] {
		t.Errorf("an acknowledged post is missing of %d", len(events))
	}
	for seq := int64(4); seq <= int64(len(events)); seq++ {
		if ev := seek[*wire.Event](ben); ev.Seq != seq {
			t.Errorf("once the store is back: got %+v, want event %d", ev, seq)
		}
	}
}

// hears waits for a number of acknowledgements and for everything up to seq.
func (c *talker) hears(acks int, seq int64) {
	c.t.Helper()
	for head := int64(0); acks > 0 || head < seq; {
		m, err := c.next()
		if err != nil {
			c.t.Fatal(err)
		}
		switch m := m.(type) {
		case *wire.Ack:
			acks--
		case *wire.Event:
			head = m.Seq
		}
	}
}

// refusedOrStored waits for the answer to a post: nil if it is stored.
func refusedOrStored(c *talker) *wire.Nak {
	c.t.Helper()
	for {
		m, err := c.next()
		if err != nil {
			c.t.Fatal(err)
		}
		switch m := m.(type) {
		case *wire.Nak:
			return m
		case *wire.Ack:
			return nil
		}
	}
}
