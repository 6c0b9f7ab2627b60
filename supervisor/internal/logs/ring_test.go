package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
	"unsafe"
)

// told returns what q finds, without waiting.
func told(t *testing.T, r *Ring, q Query) []Line {
	t.Helper()
	var all []Line
	q.Follow = false
	if err := r.Follow(t.Context(), q, func(l Line) error { all = append(all, l); return nil }); err != nil {
		t.Errorf("Follow: %v", err)
	}
	return all
}

// texts are what lines say, with their number for those that are lost.
func texts(lines []Line) []string {
	var all []string
	for _, l := range lines {
		if l.Lost > 0 {
			l.Text = fmt.Sprintf("(%d lost)", l.Lost)
		}
		all = append(all, l.Text)
	}
	return all
}

func TestARingTellsWhatWasAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRing(0)
		r.Add(Origin{Gen: 7}, false, []byte("hello"))
		time.Sleep(time.Second)
		r.Add(Origin{Gen: 8}, true, []byte("oh no"))
		now := time.Now().UTC()
		want := []Line{
			{Time: now.Add(-time.Second), Origin: Origin{Gen: 7}, Text: "hello", Seq: 1},
			{Time: now, Origin: Origin{Gen: 8}, Err: true, Text: "oh no", Seq: 2},
		}
		if got := told(t, r, Query{}); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestWhatARingKeepsOfAText(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"blank", "", ""},
		{"colours and controls", "\x1b[31mred\x1b[0m\a\x00", "\x1b[31mred\x1b[0m\a\x00"},
		{"UTF-8", "Grüße 👋", "Grüße 👋"},
		{"Latin-1", "Gr\xfc\xdfe", "Gr\uFFFDe"},
		{"longer than a line", strings.Repeat("x", maxLine+1), strings.Repeat("x", maxLine)},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewRing(0)
			b := []byte(test.text)
			r.Add(Origin{Gen: 1}, false, b)
			clear(b) // they are the caller's
			if got := texts(told(t, r, Query{})); !slices.Equal(got, []string{test.want}) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestARingIsBounded(t *testing.T) {
	for _, limit := range []int{-1, minRing, 1 << 20} {
		for _, text := range []string{"", "x", strings.Repeat("x", 1000), strings.Repeat("x", maxLine), strings.Repeat("x\xff", maxLine/2)} {
			r := NewRing(limit)
			for range 3 * r.limit / (len(text) + lineOverhead) {
				r.Add(Origin{Gen: 1}, false, []byte(text))
			}
			checkBounds(t, r)
			if most := max(limit, minRing); r.size < most-2*maxLine-lineOverhead {
				t.Errorf("lines of %d bytes: %d bytes of %d are used", len(text), r.size, most)
			}
		}
	}
}

// checkBounds looks inside: what is kept is what is accounted for, and fits.
func checkBounds(t *testing.T, r *Ring) {
	t.Helper()
	size := 0
	for i := range r.count {
		size += r.nth(i).weight()
	}
	if size != r.size || size > r.limit {
		t.Errorf("%d bytes are kept, %d accounted for, %d allowed", size, r.size, r.limit)
	}
	if held := size - lineOverhead*r.count + len(r.places)*int(unsafe.Sizeof(place{})); held > 2*r.limit {
		t.Errorf("%d bytes are held by a ring of %d", held, r.limit)
	}
	if uint64(r.count) != r.added.lines-r.gone.lines {
		t.Errorf("%d lines are kept of %v after %v", r.count, r.added, r.gone)
	}
	for i, p := range r.places {
		if n := (i - r.first + len(r.places)) % len(r.places); n >= r.count && p != (place{}) {
			t.Errorf("place %d keeps %q", i, p.text)
		}
	}
}

func TestALineWeighsWhatItTakes(t *testing.T) {
	if size := 2 * int(unsafe.Sizeof(place{})); size > lineOverhead {
		t.Errorf("a line's places take %d bytes, %d are accounted for", size, lineOverhead)
	}
}

func TestALongLineTakesThePlaceOfShortOnes(t *testing.T) {
	r := NewRing(minRing)
	const short = minRing / (lineOverhead + 4)
	for i := range short {
		r.Add(Origin{Gen: 1}, false, fmt.Appendf(nil, "%04d", i))
	}
	if got := told(t, r, Query{}); len(got) != short || got[0].Text != "0000" {
		t.Fatalf("%d lines, want %d", len(got), short)
	}
	r.Add(Origin{Gen: 1}, false, []byte(strings.Repeat("x", 1000)))
	got := told(t, r, Query{})
	gone := short + 1 - len(got)
	if want := 9; gone != want { // 1128 bytes, of which 64 were free
		t.Errorf("%d lines made room, want %d", gone, want)
	}
	if got[0].Text != fmt.Sprintf("%04d", gone) || len(got[len(got)-1].Text) != 1000 {
		t.Errorf("it begins with %q", got[0].Text)
	}
}

func TestResize(t *testing.T) {
	r := NewRing(1 << 20)
	r.Resize(0)
	r.Resize(1 << 20) // while it is empty
	add := func(n int) {
		for range n {
			r.Add(Origin{Gen: 1}, false, fmt.Appendf(nil, "line %d", r.added.lines+1))
		}
	}
	add(8000)
	all := texts(told(t, r, Query{}))
	r.Resize(256 << 10)
	checkBounds(t, r)
	some := texts(told(t, r, Query{}))
	if len(some) == 0 || len(some) >= len(all) || !slices.Equal(some, all[len(all)-len(some):]) {
		t.Errorf("%d lines of %d are left, or not the last ones", len(some), len(all))
	}
	r.Resize(1 << 20)
	add(2000)
	checkBounds(t, r)
	if got := len(told(t, r, Query{})); got != len(some)+2000 {
		t.Errorf("%d lines after it grew, want %d", got, len(some)+2000)
	}
	r.Resize(1)
	checkBounds(t, r)
	if got := texts(told(t, r, Query{Lines: 1})); got[0] != "line 10000" {
		t.Errorf("the last one is %q", got)
	}
}

func TestQuery(t *testing.T) {
	since := func(d time.Duration) func(time.Time) time.Time {
		return func(began time.Time) time.Time { return began.Add(d) }
	}
	for _, test := range []struct {
		name  string
		query Query
		since func(began time.Time) time.Time
		want  []string
	}{
		{"all", Query{}, nil, []string{"out 0", "err 1", "out 2", "err 3", "out 4"}},
		{"the last two", Query{Lines: 2}, nil, []string{"err 3", "out 4"}},
		{"more than there are", Query{Lines: 6}, nil, []string{"out 0", "err 1", "out 2", "err 3", "out 4"}},
		{"none", Query{Lines: -1}, nil, nil},
		{"standard error", Query{Err: true}, nil, []string{"err 1", "err 3"}},
		{"the last of standard error", Query{Err: true, Lines: 1}, nil, []string{"err 3"}},
		{"since the third", Query{}, since(2 * time.Second), []string{"out 2", "err 3", "out 4"}},
		{"since just after the third", Query{}, since(2*time.Second + 1), []string{"err 3", "out 4"}},
		{"since tomorrow", Query{}, since(24 * time.Hour), nil},
		{"since the year 1", Query{Since: time.Time{}.Add(1)}, nil, []string{"out 0", "err 1", "out 2", "err 3", "out 4"}},
		{"the last two since the third", Query{Lines: 2}, since(2 * time.Second), []string{"err 3", "out 4"}},
		{"the last four since the third", Query{Lines: 4}, since(2 * time.Second), []string{"out 2", "err 3", "out 4"}},
		{"the last two of standard error since the third", Query{Err: true, Lines: 2}, since(2 * time.Second), []string{"err 3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := test.query
				if test.since != nil {
					q.Since = test.since(time.Now())
				}
				testQuery(t, q, test.want)
			})
		})
	}
}

// testQuery asks q of a ring that got a line a second, and follows it while
// there come two more.
func testQuery(t *testing.T, q Query, want []string) {
	r := NewRing(0)
	for _, text := range []string{"out 0", "err 1", "out 2", "err 3", "out 4"} {
		r.Add(Origin{Gen: 1}, text[:3] == "err", []byte(text))
		time.Sleep(time.Second)
	}
	if got := texts(told(t, r, q)); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	var got []string
	var following sync.WaitGroup
	q.Follow = true
	following.Go(func() {
		err := r.Follow(ctx, q, func(l Line) error { got = append(got, l.Text); return nil })
		if err != enough {
			t.Errorf("it ended with %v, want the cause", err)
		}
	})
	synctest.Wait()
	if !slices.Equal(got, want) {
		t.Errorf("following it: got %q, want %q", got, want)
	}
	r.Add(Origin{Gen: 2}, false, []byte("out new"))
	r.Add(Origin{Gen: 2}, true, []byte("err new"))
	synctest.Wait()
	cancel(enough)
	following.Wait()
	want = slices.Clone(want)
	if !q.Err {
		want = append(want, "out new")
	}
	if want = append(want, "err new"); !slices.Equal(got, want) {
		t.Errorf("then got %q, want %q", got, want)
	}
}

func TestAfterTheClockWasSetBack(t *testing.T) {
	r := NewRing(0)
	now := time.Now()
	for i, minutes := range []time.Duration{-70, -65, 55, -5, -1} { // an hour too late once
		r.Add(Origin{Gen: 1}, false, fmt.Appendf(nil, "line %d", i))
		r.nth(i).at = now.Add(minutes * time.Minute).UnixNano()
	}
	want := []string{"line 2", "line 3", "line 4"}
	if got := texts(told(t, r, Query{Since: now.Add(-10 * time.Minute)})); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFollowEnds(t *testing.T) {
	r := NewRing(0)
	r.Add(Origin{Gen: 1}, false, []byte("one"))
	r.Add(Origin{Gen: 1}, false, []byte("two"))
	enough := errors.New("enough")
	t.Run("with an error of each", func(t *testing.T) {
		n := 0
		err := r.Follow(t.Context(), Query{Follow: true}, func(Line) error { n++; return enough })
		if err != enough || n != 1 {
			t.Errorf("%v after %d lines", err, n)
		}
	})
	t.Run("with its context, between two lines", func(t *testing.T) {
		for _, follow := range []bool{false, true} {
			ctx, cancel := context.WithCancelCause(t.Context())
			n := 0
			err := r.Follow(ctx, Query{Follow: follow}, func(Line) error { n++; cancel(enough); return nil })
			if err != enough || n != 1 {
				t.Errorf("%v after %d lines", err, n)
			}
		}
	})
	t.Run("with what was there, if lines come faster than they are told", func(t *testing.T) {
		n := 0
		err := r.Follow(t.Context(), Query{}, func(Line) error { n++; r.Add(Origin{Gen: 1}, false, []byte("more")); return nil })
		if err != nil || n != 2 {
			t.Errorf("%v after %d lines", err, n)
		}
	})
}

// Whoever is overtaken is told how much of what it asked for is missing, where
// it is missing.
func TestLostLinesAreToldInTheirPlace(t *testing.T) {
	long := []byte(strings.Repeat("x", maxLine-lineOverhead)) // four of them fill the ring
	for _, test := range []struct {
		name  string
		query Query
		want  []uint64 // Seq, or 0
		lost  []uint64
	}{
		{"follow", Query{Follow: true}, []uint64{1, 2, 0, 7, 8, 9, 10}, []uint64{0, 0, 4, 0, 0, 0, 0}},
		{"follow standard error", Query{Err: true, Follow: true}, []uint64{2, 0, 8, 10}, []uint64{0, 2, 0, 0}},
		{"what is there", Query{}, []uint64{1, 2, 0}, []uint64{0, 0, 2}},
		{"standard error there", Query{Err: true}, []uint64{2, 0}, []uint64{0, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := NewRing(minRing)
			add := func() { r.Add(Origin{Gen: 1}, r.added.lines%2 == 1, long) }
			for range 4 {
				add()
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var seqs, lost []uint64
			r.Follow(ctx, test.query, func(l Line) error {
				seqs, lost = append(seqs, l.Seq), append(lost, l.Lost)
				for l.Seq == 2 && r.added.lines < 10 { // the first batch ends here
					add()
				}
				if l.Seq == 10 {
					cancel()
				}
				return nil
			})
			if !slices.Equal(seqs, test.want) || !slices.Equal(lost, test.lost) {
				t.Errorf("got %d, lost %d, want %d, lost %d", seqs, lost, test.want, test.lost)
			}
		})
	}
}

// reader checks, as one follower among many, that every stream is in order and
// nothing is told twice or skipped in silence.
type reader struct {
	query      Query
	every      int           // it pauses after so many lines
	pause      time.Duration // for so long
	told, lost uint64
	seq        uint64
	last       map[int]int // the last line told of every writer
}

func (f *reader) check(l Line) error {
	if l.Lost > 0 {
		f.lost += l.Lost
		f.seq += l.Lost // of a query for everything
		return nil
	}
	f.told++
	if f.seq++; l.Seq != f.seq && !f.query.Err || l.Seq < f.seq {
		return fmt.Errorf("line %d comes where %d is due", l.Seq, f.seq)
	}
	var writer, n int
	if _, err := fmt.Sscanf(l.Text, "%d %d", &writer, &n); err != nil || writer != l.Origin.Gen {
		return fmt.Errorf("%q of generation %d", l.Text, l.Origin.Gen)
	}
	if before, ok := f.last[writer]; ok && n <= before {
		return fmt.Errorf("line %d of writer %d comes after %d", n, writer, before)
	}
	if f.query.Err && !l.Err {
		return fmt.Errorf("%q is not of standard error", l.Text)
	}
	f.last[writer] = n
	if f.every > 0 && f.told%uint64(f.every) == 0 {
		time.Sleep(f.pause)
	}
	return nil
}

func TestManyWritersAndFollowers(t *testing.T) {
	const writers, each = 6, 3000
	r := NewRing(minRing)
	readers := []*reader{
		{}, {every: 1, pause: time.Millisecond}, {every: 500, pause: 20 * time.Millisecond}, {every: 100, pause: time.Nanosecond},
		{query: Query{Err: true}}, {query: Query{Err: true}, every: 10, pause: time.Millisecond},
	}
	var starting, writing, following sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r.Add(Origin{Gen: 0}, true, []byte("0 -1")) // tells that a follower has begun
	enough := errors.New("enough")
	for _, f := range readers {
		f.last = map[int]int{}
		f.query.Follow = true
		total := uint64(writers * each)
		if f.query.Err {
			total /= 2
		}
		total++
		starting.Add(1)
		following.Go(func() {
			err := r.Follow(ctx, f.query, func(l Line) error {
				if l.Seq == 1 {
					starting.Done()
				}
				if err := f.check(l); err != nil {
					return err
				}
				if f.told+f.lost >= total {
					return enough
				}
				return nil
			})
			if err != enough || f.told+f.lost != total {
				t.Errorf("%+v: %d told and %d lost, want %d in all: %v", f.query, f.told, f.lost, total, err)
			}
		})
	}
	starting.Wait()
	for w := range writers {
		writing.Go(func() {
			s := &Stream{Ring: r, From: Origin{Gen: w}, Err: w%2 == 1}
			defer s.Close()
			for i := range each {
				fmt.Fprintf(s, "%d %d\n", w, i)
			}
		})
	}
	writing.Go(func() {
		for range 50 {
			r.Resize(minRing + rand.IntN(minRing))
			time.Sleep(time.Millisecond)
		}
	})
	writing.Wait()
	following.Wait()
	checkBounds(t, r)
	if readers[1].lost == 0 {
		t.Error("the slowest one lost nothing: this tests little")
	}
}

// A worker that crashes has written less than a line through its pipe.
func TestAPartialLastLineIsKept(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r := NewRing(0)
	var tail Tail
	var reading sync.WaitGroup
	reading.Go(func() {
		s := &Stream{Tail: &tail, Ring: r, From: Origin{Gen: 3}, Err: true}
		io.Copy(s, read)
		s.Close()
		read.Close()
	})
	io.WriteString(write, "serving\npanic: oh")
	io.WriteString(write, " no")
	write.Close()
	reading.Wait()
	want := []string{"serving", "panic: oh no"}
	got := told(t, r, Query{Err: true})
	if !slices.Equal(texts(got), want) || got[1].Origin.Gen != 3 {
		t.Errorf("the ring has %v", got)
	}
	if got := tail.Last(5); !slices.Equal(got, want) {
		t.Errorf("the tail has %q", got)
	}
}

func TestGenerationsDoNotMix(t *testing.T) {
	r := NewRing(0)
	old, new := &Stream{Ring: r, From: Origin{Gen: 1}}, &Stream{Ring: r, From: Origin{Gen: 2}}
	io.WriteString(old, "half of ")
	io.WriteString(new, "the new one\nand ")
	io.WriteString(old, "the old one\nthe end")
	old.Close()
	new.Close()
	var got []string
	for _, l := range told(t, r, Query{}) {
		got = append(got, fmt.Sprint(l.Origin.Gen, " ", l.Text))
	}
	want := []string{"2 the new one", "1 half of the old one", "1 the end", "2 and "}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkRingAdd(b *testing.B) {
	text := []byte(`time=2026-01-02T15:04:05.678Z level=INFO msg="message stored" room=lobby conn=17 dur=41µs`)
	for _, followers := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("%d followers", followers), func(b *testing.B) {
			r := NewRing(1 << 20)
			ctx, cancel := context.WithCancel(b.Context())
			var following sync.WaitGroup
			var lost atomic.Uint64
			for range followers {
				following.Go(func() {
					r.Follow(ctx, Query{Follow: true}, func(l Line) error { lost.Add(l.Lost); return nil })
				})
			}
			b.ReportAllocs()
			for b.Loop() {
				r.Add(Origin{Gen: 7}, false, text)
			}
			cancel()
			following.Wait()
			b.ReportMetric(float64(lost.Load())/float64(b.N), "lost/op")
		})
	}
}

// FuzzRing cuts the same bytes in two ways: the lines are the same.
func FuzzRing(f *testing.F) {
	f.Add([]byte("a\r\nb\n\n\xffc\n"), []byte{1, 0, 3}, uint16(0))
	f.Add([]byte("€"), []byte{1}, uint16(2*maxLine-1))
	f.Add([]byte("\r\n"), []byte{255}, uint16(maxLine))
	f.Fuzz(func(t *testing.T, data, cuts []byte, long uint16) {
		data = append([]byte(strings.Repeat("x", int(long))), data...)
		whole, pieces := streamed(t, data, nil), streamed(t, data, cuts)
		if !slices.Equal(whole, pieces) {
			t.Errorf("%q in one, %q in pieces", whole, pieces)
		}
		for _, text := range whole {
			if strings.Contains(text, "\n") || len(text) > 2*maxLine || !utf8.ValidString(text) {
				t.Errorf("a line %q", text)
			}
		}
		flat := strings.NewReplacer("\r", "", "\n", "")
		if got, want := flat.Replace(strings.Join(whole, "")), flat.Replace(string(data)); utf8.ValidString(want) && got != want {
			t.Errorf("got %q of %q", got, data)
		}
	})
}

// streamed is what the ring has of data, cut by the lengths in cuts; the output
// must have been told the same.
func streamed(t *testing.T, data, cuts []byte) []string {
	var out lines
	s := NewStream("> ", &out, new(Tail))
	s.Ring = NewRing(16 << 20)
	for _, cut := range cuts {
		n := min(int(cut), len(data))
		s.Write(data[:n])
		data = data[n:]
	}
	s.Write(data)
	s.Close()
	got := texts(told(t, s.Ring, Query{}))
	if len(got) != len(out.all) {
		t.Fatalf("%d lines in the ring, %d written", len(got), len(out.all))
	}
	for i, text := range got {
		if want := strings.ToValidUTF8(strings.TrimSuffix(out.all[i][2:], "\n"), "\uFFFD"); text != want {
			t.Errorf("the ring has %q, the output %q", text, want)
		}
	}
	return got
}
