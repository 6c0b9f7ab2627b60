package load

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// heard keeps what a decoder hands over.
type heard struct{ got []string }

func (h *heard) line(b []byte) { h.got = append(h.got, string(b)) }
func (h *heard) controlFrame(op byte, p []byte) {
	h.got = append(h.got, fmt.Sprintf("<%x %s>", op, p))
}

// fragment is a server's frame that may go on.
func fragment(op byte, fin bool, payload string) []byte {
	f := serverFrame(op, []byte(payload))
	if !fin {
		f[0] &^= bitFin
	}
	return f
}

func TestDecoder(t *testing.T) {
	long := strings.Repeat("x", 70<<10)
	frames := [][]byte{
		fragment(opText, true, "one\ntwo\n"),
		fragment(opText, true, ""),
		fragment(opText, false, "thr"),
		fragment(opPing, true, "p"),
		fragment(opContinuation, false, ""),
		fragment(opContinuation, true, "ee\nfour"),
		fragment(opText, true, strings.Repeat("y", 300)),
		fragment(opText, true, long+"\n"),
		fragment(opClose, true, "\x03\xe8"),
	}
	want := []string{"one", "two", "<9 p>", "three", "four", strings.Repeat("y", 300), long, "<8 \x03\xe8>"}
	stream := bytes.Join(frames, nil)
	for _, n := range []int{1, 2, 3, 7, 100, 4096, len(stream)} {
		var d decoder
		var h heard
		for p := range slices.Chunk(stream, n) {
			if err := d.feed(p, &h); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(h.got, want) {
			t.Errorf("in pieces of %d: got %.200q, want %.200q", n, h.got, want)
		}
		if d.midMessage() {
			t.Errorf("in pieces of %d: in mid-message at the end", n)
		}
		if cap(d.text) > keepLine {
			t.Errorf("in pieces of %d: a buffer of %d stays", n, cap(d.text))
		}
	}
}

// A client that reads a long list of people holds none of it.
func TestDecoderSkipsPresence(t *testing.T) {
	line := `{"t":"pres","users":[` + strings.Repeat(`{"id":"abc"},`, 5000) + `]}`
	var d decoder
	var h heard
	for p := range slices.Chunk(fragment(opText, true, line+"\nafter"), 1000) {
		if err := d.feed(p, &h); err != nil {
			t.Fatal(err)
		}
		if cap(d.text) > keepLine {
			t.Fatalf("a buffer of %d while people are read", cap(d.text))
		}
	}
	if !slices.Equal(h.got, []string{"after"}) {
		t.Errorf("got %.100q, want what came after the list", h.got)
	}
}

func TestDecoderKnowsWhereItStands(t *testing.T) {
	f := append(fragment(opText, false, "ab"), fragment(opContinuation, true, "c")...)
	for n := range len(f) + 1 {
		var d decoder
		if err := d.feed(f[:n], &heard{}); err != nil {
			t.Fatal(err)
		}
		if got, want := d.midMessage(), n > 0 && n < len(f); got != want {
			t.Errorf("after %d of %d bytes: in mid-message is %t", n, len(f), got)
		}
	}
}

func TestDecoderRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"reserved bits":           {0xc1, 0},
		"a mask":                  {0x81, 0x81, 1, 2, 3, 4, 5},
		"binary":                  {0x82, 0},
		"an unknown control":      {0x8b, 0},
		"a long ping":             {0x89, 126, 0, 200},
		"a ping in fragments":     {0x09, 0},
		"continuation of nothing": {0x80, 0},
		"text inside text":        {0x01, 0, 0x81, 0},
		"an endless line":         append([]byte{0x81, 127, 0, 0, 0, 0, 0x10, 0, 0, 0}, make([]byte, maxLine+1)...),
	} {
		var d decoder
		if d.feed(b, &heard{}) == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// However a stream is cut, the same comes out.
func FuzzDecoder(f *testing.F) {
	f.Add(append(fragment(opText, false, "a\nb"), fragment(opContinuation, true, "c")...), uint8(3))
	f.Add([]byte{0x89, 2, 'h', 'i', 0x81, 1, '\n'}, uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, n uint8) {
		var whole, cut decoder
		var a, b heard
		errWhole := whole.feed(stream, &a)
		var errCut error
		for p := range slices.Chunk(stream, max(1, int(n))) {
			if errCut = cut.feed(p, &b); errCut != nil {
				break
			}
		}
		if !slices.Equal(a.got, b.got) || (errWhole == nil) != (errCut == nil) {
			t.Errorf("whole: %q, %v; cut: %q, %v", a.got, errWhole, b.got, errCut)
		}
	})
}

// What a client writes is a frame that a server reads back.
func TestClientFrames(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("m"), n)
		if got := unmask(t, appendFrame(nil, opText, true, payload)); !bytes.Equal(got, serverFrame(opText, payload)) {
			t.Errorf("a frame of %d bytes does not survive its mask", n)
		}
	}
	for range 100 {
		var stream []byte
		for rest := appendFragments(nil, []byte("hello\n")); len(rest) > 0; {
			n := 6 + int(rest[1]&0x7f)
			stream = append(stream, unmask(t, rest[:n])...)
			rest = rest[n:]
		}
		var d decoder
		var h heard
		err := d.feed(stream, &h)
		slices.Sort(h.got) // the ping may come before or behind the line
		if err != nil || !slices.Equal(h.got, []string{"<9 between>", "hello"}) {
			t.Fatalf("got %q, %v, want the message with a ping inside", h.got, err)
		}
	}
}

// unmask makes a client's frame a server's.
func unmask(t *testing.T, f []byte) []byte {
	t.Helper()
	if f[1]&bitMask == 0 {
		t.Fatal("a client's frame without a mask")
	}
	head := map[byte]int{126: 4, 127: 10}[f[1]&0x7f]
	head = max(head, 2)
	key, payload := f[head:head+4], slices.Clone(f[head+4:])
	for i := range payload {
		payload[i] ^= key[i%4]
	}
	out := slices.Clone(f[:head])
	out[1] &^= bitMask
	return append(out, payload...)
}
