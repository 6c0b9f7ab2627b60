package sqlite

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// told is what appending processes reported as stored: by room and nonce, the
// seq.
type told map[string]map[string]int64

// add counts lines of the form "stored ROOM SEQ NONCE".
func (r told) add(t *testing.T, lines []string) (n int) {
	t.Helper()
	for _, line := range lines {
		var room, nonce string
		var seq int64
		if _, err := fmt.Sscanf(line, "stored %s %d %s", &room, &seq, &nonce); err != nil {
			t.Fatalf("told %q", line)
		}
		if r[room] == nil {
			r[room] = map[string]int64{}
		}
		r[room][nonce] = seq
		n++
	}
	return n
}

// check compares what was told with the store: dense, nothing twice, all there.
// It returns how many events nobody was told of.
func (r told) check(t *testing.T, s *Store) (untold int) {
	t.Helper()
	for room, stored := range r {
		events, err := s.After(t.Context(), room, 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		seqs := map[string]int64{}
		for i, e := range events {
			if e.Seq != int64(i)+1 {
				t.Fatalf("event %d of %s has seq %d", i+1, room, e.Seq)
			}
			if seqs[e.Nonce] != 0 {
				t.Fatalf("%s of %s is stored at %d and %d", e.Nonce, room, seqs[e.Nonce], e.Seq)
			}
			seqs[e.Nonce] = e.Seq
		}
		for nonce, seq := range stored {
			if seqs[nonce] != seq {
				t.Errorf("%s of %s was reported at %d, stored is %d", nonce, room, seq, seqs[nonce])
			}
		}
		untold += len(events) - len(stored)
	}
	return untold
}

func TestTwoProcessesShareOneLog(t *testing.T) {
	dir := t.TempDir()
	one, two := start(t, "append", dir, "one", "1"), start(t, "append", dir, "two", "1")
	for _, p := range []*process{one, two} {
		if line := p.line(); line != "ready" {
			t.Fatal(line)
		}
	}
	one.next()
	two.next()
	time.AfterFunc(2*time.Second, func() { one.next(); two.next() })
	outputs := make(chan []string)
	go func() { outputs <- two.rest() }()
	stored := told{}
	n1, n2 := stored.add(t, one.rest()), stored.add(t, <-outputs)
	share := float64(min(n1, n2)) / float64(n1+n2)
	t.Logf("%d and %d appends in 2 s, smaller share %.2f", n1, n2, share)
	if share < 0.2 {
		t.Errorf("the smaller share is %.2f, want at least 0.2", share)
	}
	s := openIn(t, dir)
	defer s.Close()
	if untold := stored.check(t, s); untold != 0 {
		t.Errorf("%d events are stored that nobody was told of", untold)
	}
}

func TestKilledProcessLosesNothingItReported(t *testing.T) {
	const rounds, size = 20, 3
	dir := t.TempDir()
	stored := told{}
	steady := start(t, "append", dir, "steady", "1")
	steady.line()
	steady.next()
	steadyTold := make(chan []string)
	go func() { steadyTold <- steady.rest() }()
	for round := range rounds {
		p := start(t, "append", dir, fmt.Sprint("killed", round), fmt.Sprint(size))
		if line := p.line(); line != "ready" {
			t.Fatal(line)
		}
		p.next()
		first := p.line()
		time.AfterFunc(time.Duration(round)*5*time.Millisecond, func() { p.cmd.Process.Kill() })
		stored.add(t, append([]string{first}, p.rest()...))
		p.kill()
	}
	steady.next()
	stored.add(t, <-steadyTold)

	s := openIn(t, dir)
	defer s.Close()
	untold := stored.check(t, s)
	if untold > rounds*size {
		t.Errorf("%d events are stored that nobody was told of, at most one batch a round can be", untold)
	}
	if untold%size != 0 {
		t.Errorf("%d untold events are no whole batches of %d", untold, size)
	}
	t.Logf("%d and %d events reported, %d stored and not reported", len(stored["a"]), len(stored["b"]), untold)
}

func TestFirstOpenByManyProcesses(t *testing.T) {
	const rounds, n = 3, 4
	for range rounds {
		dir := t.TempDir() + "/not/there/yet"
		var all []*process
		for range n {
			all = append(all, start(t, "open", dir))
		}
		for _, p := range all {
			p.line()
		}
		for _, p := range all {
			p.next()
		}
		epochs := map[string]bool{}
		for _, p := range all {
			epoch := p.line()
			if len(epoch) != 32 || strings.HasPrefix(epoch, "error") {
				t.Errorf("opened with %q", epoch)
			}
			epochs[epoch] = true
		}
		if len(epochs) != 1 {
			t.Errorf("one directory has the epochs %v", epochs)
		}
		for _, p := range all {
			p.next()
			if rest := p.rest(); len(rest) > 0 {
				t.Errorf("closed with %q", rest)
			}
		}
	}
}

// wantAppends checks that s stores and serves.
func wantAppends(t *testing.T, s *Store) {
	t.Helper()
	nonce := fmt.Sprint(time.Now().UnixNano())
	appended, err := s.Append(t.Context(), posts("lobby", nonce, 1))
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	events, err := s.After(t.Context(), "lobby", appended[0].Event.Seq-1, 10)
	if err != nil || len(events) != 1 || events[0] != appended[0].Event {
		t.Fatalf("stored %+v, read %+v, %v", appended[0].Event, events, err)
	}
}
