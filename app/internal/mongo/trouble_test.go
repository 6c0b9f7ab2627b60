package mongo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/simpletalk/simpletalk/app/internal/chat"
	"github.com/simpletalk/simpletalk/app/internal/chat/chattest"
	"github.com/simpletalk/simpletalk/app/internal/mongo/mongotest"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

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

// behindProxy is a store that reaches its server through a proxy.
func behindProxy(t *testing.T) (*Store, *mongotest.Proxy, *mongotest.Server) {
	t.Helper()
	server := mongotest.Start(t)
	proxy := mongotest.Between(t, server.Addr())
	s := openURI(t, proxy.URI("chat"))
	t.Cleanup(func() { s.Close() })
	return s, proxy, server
}

// wantDense checks that a room holds n events, dense, each nonce once.
func wantDense(t *testing.T, s chat.Store, room string, n int) {
	t.Helper()
	events, err := s.After(t.Context(), room, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	nonces := map[string]bool{}
	for i, e := range events {
		if e.Seq != int64(i)+1 || nonces[e.Nonce] {
			t.Fatalf("event %d of %s is %+v", i+1, room, e)
		}
		nonces[e.Nonce] = true
	}
	if len(events) != n {
		t.Errorf("%s holds %d events, want %d", room, len(events), n)
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
	}
}

// once is a fate for the first command of that name, and tells whether it was
// met.
func once(name string, fate mongotest.Fate) (fates func(string) mongotest.Fate, met func() bool) {
	var happened atomic.Bool
	return func(command string) mongotest.Fate {
		if command == name && happened.CompareAndSwap(false, true) {
			return fate
		}
		return mongotest.Pass
	}, happened.Load
}

// TestOneCut: wherever the way is cut once, before or after the server has
// done what it was asked, an append succeeds and stores each event once.
func TestOneCut(t *testing.T) {
	t.Parallel() // it waits most of the time
	s, proxy, _ := behindProxy(t)
	n := 0
	for _, command := range []string{"insert", "find"} {
		for name, fate := range map[string]mongotest.Fate{
			"before": mongotest.CutBefore, "after": mongotest.CutAfter, "half closed": mongotest.HalfClose,
		} {
			s.tails.clear() // so that the head is read
			fates, met := once(command, fate)
			proxy.Fates(fates)
			got, err := s.Append(t.Context(), posts("lobby", command+name, 5))
			if err != nil || !met() {
				t.Fatalf("%s cut %s the answer (%v): %v", command, name, met(), err)
			}
			for i, a := range got {
				if n++; a.Event.Seq != int64(n) || a.Event.Nonce != fmt.Sprintf("%s%s-%d", command, name, i) {
					t.Errorf("%s cut %s the answer: event %d is %+v", command, name, n, a)
				}
			}
			if command == "insert" && got[0].Duplicate != (fate != mongotest.CutBefore) {
				t.Errorf("insert cut %s the answer: duplicate is %v", name, got[0].Duplicate)
			}
		}
	}
	wantDense(t, s, "lobby", n)
}

// TestManyCuts: several writers, and a way to the server that is cut again and
// again after the server has answered.
func TestManyCuts(t *testing.T) {
	t.Parallel() // it waits most of the time
	const writers, batches, size = 4, 8, 5
	s, proxy, server := behindProxy(t)
	other := openURI(t, server.URI("chat"))
	defer other.Close()
	var commands atomic.Int64
	proxy.Fates(func(command string) mongotest.Fate {
		if command != "hello" && commands.Add(1)%4 == 0 {
			return mongotest.CutAfter
		}
		return mongotest.Pass
	})
	var told sync.Map
	var writing sync.WaitGroup
	for w := range writers {
		store := []chat.Store{s, other}[w%2]
		writing.Go(func() {
			for b := range batches {
				drafts := posts("lobby", fmt.Sprintf("%d-%d", w, b), size)
				for end := time.Now().Add(patience); ; {
					got, err := store.Append(t.Context(), drafts)
					if err == nil {
						for _, a := range got {
							told.Store(a.Event.Nonce, a.Event.Seq)
						}
						break
					}
					if !errors.Is(err, chat.ErrUnavailable) || time.Now().After(end) {
						t.Errorf("append: %v", err)
						return
					}
				}
			}
		})
	}
	writing.Wait()
	proxy.Fates(nil)
	wantDense(t, other, "lobby", writers*batches*size)
	events, err := other.After(t.Context(), "lobby", 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if seq, ok := told.Load(e.Nonce); !ok || seq != e.Seq {
			t.Errorf("%s is stored at %d, was told %v", e.Nonce, e.Seq, seq)
		}
	}
}

// TestServerIsKilled: two processes append while the server is killed and
// started again.
func TestServerIsKilled(t *testing.T) {
	t.Parallel() // it waits most of the time
	const kills = 4
	server := mongotest.Start(t)
	uri := server.URI("chat") + "?serverSelectionTimeoutMS=500"
	all := []*chattest.Process{
		chattest.Appender(t, uri, "one", 3, 10*time.Millisecond),
		chattest.Appender(t, uri, "two", 1, 10*time.Millisecond),
	}
	outputs := make(chan []string, len(all))
	for _, p := range all {
		p.Next()
		go func() { outputs <- p.Rest() }()
	}
	for range kills {
		time.Sleep(250 * time.Millisecond) // they append
		server.Kill()
		time.Sleep(700 * time.Millisecond) // they notice
		server.Restart()
	}
	time.Sleep(250 * time.Millisecond)
	told := chattest.Told{}
	again := 0
	for _, p := range all {
		p.Next()
	}
	for range all {
		stored, repeated := told.Add(t, <-outputs)
		if again += repeated; stored == 0 {
			t.Error("a process has stored nothing")
		}
	}
	if again == 0 {
		t.Error("nobody noticed that the server was killed")
	}
	s := openURI(t, server.URI("chat"))
	defer s.Close()
	if untold := told.Check(t, s); untold != 0 {
		t.Errorf("%d events are stored that nobody was told of although everything was repeated", untold)
	}
	t.Logf("%d and %d events, %d appends repeated", len(told["a"]), len(told["b"]), again)
}

// TestStoreAway: what the callers are told while no server answers, and that
// everything goes on by itself.
func TestStoreAway(t *testing.T) {
	t.Parallel() // it waits most of the time
	hang := func(string) mongotest.Fate { return mongotest.Hang }
	for name, trouble := range map[string]struct {
		begin, end func(t *testing.T, p *mongotest.Proxy)
	}{
		"refused": {func(_ *testing.T, p *mongotest.Proxy) { p.Down() }, func(t *testing.T, p *mongotest.Proxy) { p.Up(t) }},
		"hanging": {func(_ *testing.T, p *mongotest.Proxy) { p.Fates(hang) }, func(_ *testing.T, p *mongotest.Proxy) { p.Fates(nil); p.Cut() }},
		"slow":    {func(_ *testing.T, p *mongotest.Proxy) { p.Delay(2 * time.Second) }, func(_ *testing.T, p *mongotest.Proxy) { p.Delay(0) }},
	} {
		t.Run(name, func(t *testing.T) {
			s, proxy, _ := behindProxy(t)
			if _, err := s.Append(t.Context(), posts("lobby", "before", 3)); err != nil {
				t.Fatal(err)
			}
			trouble.begin(t, proxy)
			for call, do := range map[string]func(context.Context) error{
				"append":      func(ctx context.Context) error { _, err := s.Append(ctx, posts("lobby", "lost", 2)); return err },
				"put session": func(ctx context.Context) error { return s.PutSession(ctx, chat.Session{}) },
				"ping":        s.Ping,
			} {
				begin := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				err := do(ctx)
				cancel()
				if !errors.Is(err, chat.ErrUnavailable) || time.Since(begin) > 3*time.Second {
					t.Errorf("%s = %v after %v, want chat.ErrUnavailable within a second", call, err, time.Since(begin))
				}
			}
			trouble.end(t, proxy)
			eventually(t, "the store is ready again", func() bool { return s.Ping(t.Context()) == nil })
			if _, err := s.Append(t.Context(), posts("lobby", "lost", 2)); err != nil {
				t.Errorf("the same nonces again: %v", err)
			}
			wantDense(t, s, "lobby", 5)
		})
	}
}

// TestOpenWithoutAServer ends soon, and says where it looked.
func TestOpenWithoutAServer(t *testing.T) {
	t.Parallel() // it waits most of the time
	begin := time.Now()
	_, err := Open(t.Context(), "mongodb://127.0.0.1:1/chat", Options{})
	if !errors.Is(err, chat.ErrUnavailable) || time.Since(begin) > 2*selectTimeout {
		t.Errorf("got %v after %v", err, time.Since(begin))
	}
	t.Log(err)
}

// TestNotReadyWithoutIndexes: whoever drops them, or the log, is noticed, and
// the next Open makes the indexes again.
func TestNotReadyWithoutIndexes(t *testing.T) {
	each(t, func(t *testing.T, fresh func() string) {
		uri := fresh()
		s := openURI(t, uri)
		defer s.Close()
		if _, err := s.Append(t.Context(), posts("lobby", "n", 3)); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{seqIndex, postIndex} {
			if err := s.events.Indexes().DropOne(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			err := s.Ping(t.Context())
			if !errors.Is(err, chat.ErrUnavailable) {
				t.Errorf("ping without %s = %v", name, err)
			}
			t.Log(err)
			s.guarded = time.Time{}
			if _, err := s.Append(t.Context(), posts("lobby", "late", 1)); !errors.Is(err, chat.ErrUnavailable) {
				t.Errorf("append without %s = %v", name, err)
			}
			again := openURI(t, uri)
			if err := again.Close(); err != nil {
				t.Error(err)
			}
			if err := s.Ping(t.Context()); err != nil {
				t.Errorf("ping after another has opened the store: %v", err)
			}
			if _, err := s.Append(t.Context(), posts("lobby", name, 1)); err != nil {
				t.Errorf("append after another has opened the store: %v", err)
			}
		}
		if _, err := s.meta.DeleteOne(t.Context(), bson.D{{Key: "_id", Value: logID}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Ping(t.Context()); !errors.Is(err, chat.ErrUnavailable) {
			t.Errorf("ping without the log = %v", err)
		}
		_, err := Open(t.Context(), uri, Options{})
		if err == nil || errors.Is(err, chat.ErrUnavailable) {
			t.Errorf("events without a log were opened: %v", err)
		}
		t.Log(err)
	})
}

func TestAnotherGenerationIsRefused(t *testing.T) {
	each(t, func(t *testing.T, fresh func() string) {
		uri := fresh()
		s := openURI(t, uri)
		defer s.Close()
		set := bson.D{{Key: "$set", Value: bson.D{{Key: "generation", Value: generation + 1}}}}
		if _, err := s.meta.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: logID}}, set); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), uri, Options{})
		if err == nil || errors.Is(err, chat.ErrUnavailable) {
			t.Errorf("opened a later generation: %v", err)
		}
		t.Log(err)
	})
}

func TestTimesNeverGoBack(t *testing.T) {
	now := time.Now()
	server := mongotest.Start(t)
	s, err := Open(t.Context(), server.URI("chat"), Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var last time.Time
	for i, step := range []time.Duration{0, -time.Hour, time.Second, 2 * time.Hour, -time.Minute} {
		now = now.Add(step)
		s.tails.clear()
		got, err := s.Append(t.Context(), posts("lobby", fmt.Sprint(i), 2))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range got {
			if a.Event.At.Before(last) {
				t.Errorf("seq %d is at %v, its predecessor at %v", a.Event.Seq, a.Event.At, last)
			}
			last = a.Event.At
		}
	}
}

// TestLargeBatches are split, with repeats all over them.
func TestLargeBatches(t *testing.T) {
	server := mongotest.Start(t)
	s := openURI(t, server.URI("chat"))
	defer s.Close()
	drafts := posts("lobby", "n", 350)
	var seven []chat.Draft
	for i := 0; i < len(drafts); i += 7 {
		seven = append(seven, drafts[i])
	}
	if _, err := s.Append(t.Context(), seven); err != nil {
		t.Fatal(err)
	}
	got, err := s.Append(t.Context(), drafts)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range got {
		if a.Duplicate != (i%7 == 0) || a.Event.Nonce != drafts[i].Nonce {
			t.Fatalf("draft %d became %+v", i, a)
		}
	}
	wantDense(t, s, "lobby", len(drafts))
}

func TestEndedSessionsAreSweptOut(t *testing.T) {
	now := time.Now()
	server := mongotest.Start(t)
	s, err := Open(t.Context(), server.URI("chat"), Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 20 {
		session := chat.Session{TokenHash: [32]byte{byte(i)}, CreatedAt: now, ExpiresAt: now.Add(time.Minute)}
		if err := s.PutSession(t.Context(), session); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Hour)
	if err := s.PutSession(t.Context(), chat.Session{TokenHash: [32]byte{255}, ExpiresAt: now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if left, err := s.sessions.CountDocuments(t.Context(), bson.D{}); err != nil || left != 1 {
		t.Errorf("%d sessions are left, %v, want 1", left, err)
	}
}
