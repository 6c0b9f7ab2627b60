package ws

import (
	"bytes"
	"strings"
	"testing"
)

// TestFrameBoundaries cuts a stream of frames at every pair of sizes, and finds
// each boundary where it is.
func TestFrameBoundaries(t *testing.T) {
	var stream []byte
	ends := map[int]bool{}
	for _, f := range [][]byte{
		masked(0x81, ""), masked(0x01, "a"), masked(0x89, strings.Repeat("p", 125)), masked(0x80, strings.Repeat("x", 126)),
		appendHeader(nil, opText, 0), append(appendHeader(nil, opText, 70000), make([]byte, 70000)...), masked(0x88, "\x03\xe8"),
	} {
		stream = append(stream, f...)
		ends[len(stream)] = true
	}
	for _, step := range []int{1, 2, 3, 5, 16, 125, 4096, len(stream)} {
		var f frame
		at, found := 0, 0
		for at < len(stream) {
			n := f.upTo(stream[at:min(at+step, len(stream))])
			if n == 0 {
				t.Fatalf("steps of %d: stands still at %d", step, at)
			}
			for inside := at + 1; inside < at+n; inside++ {
				if ends[inside] {
					t.Fatalf("steps of %d: passes the boundary at %d", step, inside)
				}
			}
			at += n
			if f.seen == 0 {
				if !ends[at] {
					t.Fatalf("steps of %d: sees a boundary at %d", step, at)
				}
				found++
			}
		}
		if found != len(ends) {
			t.Errorf("steps of %d: found %d boundaries, want %d", step, found, len(ends))
		}
	}
}

// FuzzFrame: whatever comes, it goes on, and stands at a boundary where a
// plain reading of the whole stream finds one.
func FuzzFrame(f *testing.F) {
	f.Add(masked(0x81, "hello"), 3)
	f.Add(bytes.Repeat([]byte{0xff}, 20), 1)
	f.Fuzz(func(t *testing.T, stream []byte, step int) {
		var fr frame
		begin, at := 0, 0
		for step = max(step&0xff, 1); at < len(stream); {
			n := fr.upTo(stream[at:min(at+step, len(stream))])
			if n < 1 || n > step {
				t.Fatalf("took %d of %d", n, step)
			}
			at += n
			size := frameSize(stream[begin:])
			whole := size > 0 && size == uint64(at-begin)
			if fr.begins() != whole || size > 0 && uint64(at-begin) > size {
				t.Fatalf("at byte %d of a frame of %d: boundary %v", at-begin, size, fr.begins())
			}
			if whole {
				begin = at
			}
		}
	})
}
