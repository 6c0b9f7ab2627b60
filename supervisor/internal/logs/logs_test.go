package logs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lines collects what is written to it, a line a Write.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "")
}

func TestAStreamBecomesLines(t *testing.T) {
	for _, test := range []struct {
		name   string
		writes []string
		want   string
	}{
		{"nothing", nil, ""},
		{"one line", []string{"a\n"}, "> a\n"},
		{"several at once", []string{"a\nb\n\nc\n"}, "> a\n> b\n> \n> c\n"},
		{"in pieces", []string{"a", "b", "\n", "c\nd"}, "> ab\n> c\n> d\n"},
		{"without an end", []string{"panic: oh no"}, "> panic: oh no\n"},
		{"ended by CRLF", []string{"a\r\nb\r", "\nc\r"}, "> a\n> b\n> c\n"},
		{"CR within", []string{"10%\r20%\n"}, "> 10%\r20%\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out lines
			s := NewStream("> ", &out, new(Tail))
			for _, w := range test.writes {
				if n, err := io.WriteString(s, w); n != len(w) || err != nil {
					t.Errorf("Write: %d, %v", n, err)
				}
			}
			s.Close()
			if got := out.text(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			for _, line := range out.all {
				if strings.Count(line, "\n") != 1 {
					t.Errorf("one Write of %q: want one line each", line)
				}
			}
		})
	}
}

func TestALineThatDoesNotEndIsCut(t *testing.T) {
	for _, piece := range []int{1, 1000, maxLine - 1, maxLine, maxLine + 1, 3*maxLine + 7} {
		var out lines
		s := NewStream("", &out, new(Tail))
		text := strings.Repeat("x", 3*maxLine+7)
		for chunk := range slices.Chunk([]byte(text), piece) {
			s.Write(chunk)
		}
		s.Close()
		if len(out.all) != 4 || strings.ReplaceAll(out.text(), "\n", "") != text {
			t.Errorf("in pieces of %d: %d lines", piece, len(out.all))
		}
		for _, line := range out.all {
			if len(line) > maxLine+1 {
				t.Errorf("in pieces of %d: a line of %d bytes", piece, len(line))
			}
		}
	}
}

func TestACutKeepsEveryByte(t *testing.T) {
	for _, test := range []struct{ name, end, want string }{
		{"a whole character", "x€€", "x€\n€\n"},
		{"a character on the cut", "xx€x", "xx\n€x\n"},
		{"four bytes on the cut", "xxx👋", "xxx\n👋\n"},
		{"no UTF-8", "\xff\xff\xff\xff", "\xff\xff\xff\xff\n"},
		{"only continuations", "\x80\x80\x80\x80\x80", "\x80\x80\x80\x80\n\x80\n"},
		{"CR on the cut", "xxx\rx", "xxx\r\nx\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, piece := range []int{1, maxLine, 2 * maxLine} {
				var out lines
				s := NewStream("", &out, new(Tail))
				text := strings.Repeat("x", maxLine-4) + test.end
				for chunk := range slices.Chunk([]byte(text), piece) {
					s.Write(chunk)
				}
				s.Close()
				if got := strings.TrimLeft(out.text(), "x"); got != strings.TrimLeft(test.want, "x") {
					t.Errorf("in pieces of %d: got %q, want %q", piece, got, test.want)
				}
			}
		})
	}
}

func TestTheTailKeepsTheLastLines(t *testing.T) {
	var tail Tail
	if got := tail.Last(5); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
	for i := range 10 {
		fmt.Fprintf(&tail, "line %d", i)
		tail.Write([]byte(" \t"))
		tail.Write(nil)
	}
	if got, want := tail.Last(2), []string{"line 8", "line 9"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q: blank ones do not count", got, want)
	}
	if got := tail.Last(100); len(got) != 10 {
		t.Errorf("%d lines of 10", len(got))
	}
}

func TestTheTailIsBounded(t *testing.T) {
	for _, line := range []string{"", " ", "x", strings.Repeat("x", 1000), strings.Repeat("x", maxLine)} {
		var tail Tail
		for range 2 * tailSize {
			tail.Write([]byte(line))
		}
		if n := len(tail.lines); n > tailSize {
			t.Errorf("many lines of %d bytes: %d are kept", len(line), n)
		}
		if size := len(strings.Join(tail.Last(1<<30), "")); size > tailSize+maxLine {
			t.Errorf("many lines of %d bytes: %d bytes are kept", len(line), size)
		}
	}
}

// run runs o until stop is called, which returns once Run has.
func run(o *Output) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { o.Run(ctx) })
	return func() { cancel(); running.Wait() }
}

func TestWhatIsQueuedIsWrittenBeforeTheEnd(t *testing.T) {
	var out lines
	o := NewOutput(&out)
	var want strings.Builder
	for i := range 1000 {
		line := fmt.Sprintf("line %d\n", i)
		io.WriteString(o, line)
		want.WriteString(line)
	}
	run(o)()
	if out.text() != want.String() {
		t.Errorf("%d bytes of %d, or out of order", len(out.text()), want.Len())
	}
}

func TestTheCallerMayUseItsBytesAgain(t *testing.T) {
	var out lines
	o := NewOutput(&out)
	b := []byte("first\n")
	o.Write(b)
	copy(b, "other\n")
	run(o)()
	if out.text() != "first\n" {
		t.Errorf("got %q", out.text())
	}
}

// Nobody reads: no write waits, what waits is bounded, and once somebody reads
// again it is told how much is missing.
func TestABlockedOutputBlocksNobody(t *testing.T) {
	for _, length := range []int{100, maxLine} {
		t.Run(fmt.Sprint(length), func(t *testing.T) { testBlockedOutput(t, length) })
	}
}

func testBlockedOutput(t *testing.T, length int) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	o := NewOutput(w)
	stop := run(o)
	line := []byte(strings.Repeat("x", length-1) + "\n")
	const written = 20_000 // more than the pipe and the queue take
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range written {
			o.Write(line)
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("a write waits")
	}
	if waiting := o.waiting.Load(); waiting > queueBytes {
		t.Errorf("%d bytes wait, want at most %d", waiting, queueBytes)
	}
	read := make(chan []byte)
	go func() { all, _ := io.ReadAll(r); read <- all }()
	stop()
	w.Close()
	all := <-read
	r.Close()
	var kept, dropped int
	for line := range bytes.Lines(all) {
		var n int
		if _, err := fmt.Sscanf(string(line), "supervisor: %d lines dropped", &n); err != nil {
			kept++
		}
		dropped += n
	}
	if kept+dropped != written || dropped == 0 {
		t.Errorf("%d lines arrived and %d are told as dropped, want %d in all", kept, dropped, written)
	}
}

// stuck is a destination that blocks until it is closed, as a terminal does
// after Ctrl-S.
type stuck chan struct{}

func (s stuck) Write(p []byte) (int, error) { <-s; return len(p), nil }

func TestAnOutputThatStaysBlockedDelaysTheEndByASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		terminal := make(stuck)
		o := NewOutput(terminal)
		o.Write([]byte("line\n"))
		stop := run(o)
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %s, want 1 s", took)
		}
		close(terminal)
	})
}

func TestManyWriters(t *testing.T) {
	var out lines
	o := NewOutput(&out)
	stop := run(o)
	var tail Tail
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			s := NewStream(fmt.Sprintf("[%d] ", i), o, &tail)
			defer s.Close()
			for range 100 {
				io.WriteString(s, "one line in two")
				io.WriteString(s, " writes\n")
			}
		})
	}
	writers.Wait()
	stop()
	n := 0
	for line := range strings.Lines(out.text()) {
		n++
		if line[0] != '[' || line[3:] != " one line in two writes\n" {
			t.Fatalf("mixed: %q", line)
		}
	}
	if n != 800 {
		t.Errorf("%d lines of 800", n)
	}
}
