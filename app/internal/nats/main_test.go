package nats

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const patience = 20 * time.Second

// listener is a receiver that remembers.
type listener struct {
	mu      sync.Mutex
	heard   map[string]int
	reached int
	hook    func(data []byte) // if not nil, called for each
}

func (l *listener) Deliver(data []byte) {
	l.mu.Lock()
	if l.heard == nil {
		l.heard = map[string]int{}
	}
	l.heard[string(data)]++
	hook := l.hook
	l.mu.Unlock()
	if hook != nil {
		hook(data)
	}
}

func (l *listener) Reached() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reached++
}

func (l *listener) hears(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard[text]
}

func (l *listener) reachedTimes() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reached
}

// journal is a log that tests may read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// run runs a bus on a log until the test ends.
func run(t testing.TB, o Options, epoch string, to Receiver) *Bus {
	t.Helper()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx, epoch, to) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("the bus does not end")
		}
	})
	return b
}

// eventually waits until cond holds.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}
