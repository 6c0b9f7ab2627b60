package ws

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
)

// oracle says by plain reading of a whole stream what must be kept of it: of
// the message in progress everything but whole control frames inside, and
// whether a message ends at the end.
func oracle(stream []byte) (retained []byte, ends bool) {
	fragmented := false
	for {
		n := frameSize(stream)
		if n == 0 || n > uint64(len(stream)) {
			return append(retained, stream...), len(stream) == 0 && !fragmented
		}
		f := stream[:n]
		stream = stream[n:]
		switch {
		case f[0]&controlBit != 0:
		case f[0]&finBit != 0:
			retained, fragmented = nil, false
		default:
			retained, fragmented = append(retained, f...), true
		}
	}
}

// frameSize is the length of the frame that b begins with, 0 if its header is
// not whole.
func frameSize(b []byte) uint64 {
	if len(b) < 2 {
		return 0
	}
	head, length := 2, uint64(b[1]&0x7f)
	switch length {
	case 126:
		head = 4
	case 127:
		head = 10
	}
	if len(b) < head {
		return 0
	}
	switch head {
	case 4:
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 10:
		length = binary.BigEndian.Uint64(b[2:])
	}
	if b[1]&0x80 != 0 {
		head += 4
	}
	if len(b) < head {
		return 0
	}
	if length > 1<<62 {
		return length
	}
	return uint64(head) + length
}

// feed puts a stream through an inbound as a wire does, in reads and gives of
// random sizes, and compares with the oracle at every moment of rest.
func feed(t *testing.T, stream []byte, random *rand.Rand) {
	in := newInbound(nil)
	defer func() { in.free() }()
	for at := 0; ; {
		in.settle()
		retained, ends := oracle(stream[:at])
		if in.given == len(in.buf) && !in.oversized {
			if !bytes.Equal(in.retained(), retained) {
				t.Fatalf("after %d bytes: keeps %x, want %x", at, in.retained(), retained)
			}
			if in.isEmpty() != (len(retained) == 0 && ends) {
				t.Fatalf("after %d bytes: empty %v with %d bytes kept", at, in.isEmpty(), len(retained))
			}
		}
		if got := in.endsMessage(); got != ends {
			t.Fatalf("after %d bytes: ends a message %v, want %v", at, got, ends)
		}
		if in.isAhead() {
			if n := in.give(make([]byte, 1+random.IntN(600))); n == 0 {
				t.Fatal("gives nothing")
			}
			continue
		}
		if at == len(stream) {
			return
		}
		n := copy(in.room()[:1+random.IntN(readSize/2)], stream[at:])
		in.add(n)
		at += n
	}
}

// conversation is a client's stream with everything that the protocol has: its
// messages, and the payloads of its pings.
func conversation(big int) (stream []byte, messages, pings []string) {
	message := func(s string) {
		stream = append(stream, masked(0x81, s)...)
		messages = append(messages, s)
	}
	ping := func(s string) {
		stream = append(stream, masked(0x89, s)...)
		pings = append(pings, s)
	}
	message("hello")
	ping("p1")
	stream = append(stream, masked(0x01, "one ")...)
	ping("between")
	stream = append(stream, masked(0x00, "two ")...)
	stream = append(stream, masked(0x8a, "an unasked pong")...)
	stream = append(stream, masked(0x00, "")...)
	ping("")
	stream = append(stream, masked(0x80, "three")...)
	messages = append(messages, "one two three")
	message(strings.Repeat("long", 75))
	message("")
	if big > 0 {
		message(strings.Repeat("b", big))
	}
	ping("last")
	message("bye")
	return stream, messages, pings
}

func TestRetained(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		stream, _, _ := conversation(random.IntN(20000))
		again, _, _ := conversation(0)
		feed(t, append(stream, again...), random)
	}
}

// TestRetainedIsCapped: neither a long message nor a flood of empty fragments
// grows what is kept.
func TestRetainedIsCapped(t *testing.T) {
	for name, next := range map[string]func() []byte{
		"long frame":      func() []byte { return bytes.Repeat([]byte("x"), readSize) },
		"empty fragments": func() []byte { return bytes.Repeat(masked(0x00, ""), readSize/6) },
	} {
		in := newInbound(nil)
		begin := append(masked(0x01, "x"), masked(0x00, "")...)
		if name == "long frame" {
			begin = append(appendHeader(nil, opText, 1<<30), 1, 2, 3, 4)
			begin[1] |= 0x80
		}
		in.add(copy(in.room(), begin))
		for range 1000 {
			for in.settle(); in.isAhead(); in.settle() {
				in.give(make([]byte, readSize))
			}
			in.add(copy(in.room(), next()))
		}
		if !in.oversized || cap(in.buf) > 2*maxRetained {
			t.Errorf("%s: oversized %v with %d bytes", name, in.oversized, cap(in.buf))
		}
		in.free()
	}
}

// FuzzInbound: whatever comes, what is kept is what the oracle keeps.
func FuzzInbound(f *testing.F) {
	stream, _, _ := conversation(300)
	f.Add(stream, uint64(1))
	f.Add(bytes.Repeat([]byte{0xff}, 40), uint64(2))
	f.Add(bytes.Repeat(masked(0x00, ""), 9), uint64(3))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		feed(t, stream[:min(len(stream), 5000)], rand.New(rand.NewPCG(seed, seed))) // the oracle is slow
	})
}
