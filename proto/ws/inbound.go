package ws

import "sync"

// Sizes of what is kept of the peer's bytes.
const (
	// readSize is what one read(2) takes at most. Nearly every message fits.
	readSize = 4 << 10

	// longSize holds a message of the default read limit, with its headers.
	longSize = 20 << 10

	// maxRetained is how much of a message in progress is kept to be handed
	// over, headers included. A longer one must be over before its connection
	// can move.
	maxRetained = 256 << 10
)

// inbound is what was read of the stream and may still be needed: the message
// in progress from its beginning, and what was read ahead. An idle connection
// has none.
//
//	buf: │ gone │ message in progress │ frame in progress │ read ahead │
//	            message               start               given        len(buf)
//
// Control frames that came between fragments (RFC 6455 section 5.4) are cut
// out once they are answered: whoever reads the message again must not answer
// them again.
type inbound struct {
	buf        []byte
	message    int
	start      int
	given      int   // the library has buf[:given]
	frame      frame // follows what is given
	fragmented bool  // the frames given whole end inside a message
	oversized  bool  // of the message in progress nothing is kept
	first      [readSize]byte
}

var (
	inbounds = sync.Pool{New: func() any { return new(inbound) }}
	longs    = sync.Pool{New: func() any { return new([longSize]byte) }}
)

func newInbound(b []byte) *inbound {
	in := inbounds.Get().(*inbound)
	in.buf = append(in.first[:0], b...)
	return in
}

// free gives in back. It must hold nothing that is needed.
func (in *inbound) free() {
	in.replace(nil)
	in.message, in.start, in.given = 0, 0, 0
	in.frame, in.fragmented, in.oversized = frame{}, false, false
	inbounds.Put(in)
}

// settle is called when the library comes back for more, or the handler has
// returned: since the library is never given bytes behind the end of a frame,
// a frame given whole is one that it has dealt with.
func (in *inbound) settle() {
	if !in.frame.begins() || in.given == in.start {
		return
	}
	switch {
	case in.frame.isControl():
		if in.fragmented && !in.oversized {
			in.cut()
			return
		}
	default:
		in.fragmented = !in.frame.isFinal()
	}
	in.start = in.given
	if !in.fragmented {
		in.message, in.oversized = in.given, false
	} else if in.oversized {
		in.message = in.given
	}
}

// cut takes out the frame just given.
func (in *inbound) cut() {
	n := copy(in.buf[in.start:], in.buf[in.given:])
	in.buf = in.buf[:in.start+n]
	in.given = in.start
}

// isEmpty reports whether the stream stands between two messages and nothing
// was read ahead.
func (in *inbound) isEmpty() bool {
	return in.message == len(in.buf) && in.frame.begins() && !in.fragmented
}

// isAhead reports whether there is something to give.
func (in *inbound) isAhead() bool { return in.given < len(in.buf) }

// give copies to p what comes next, never past the end of a frame.
func (in *inbound) give(p []byte) int {
	next := in.buf[in.given:]
	n := in.frame.upTo(next[:min(len(p), len(next))])
	copy(p, next[:n])
	in.given += n
	return n
}

// room returns memory to read into; add tells how much was. It forgets what is
// gone, and of an oversized message everything.
func (in *inbound) room() []byte {
	if in.given-in.message > maxRetained {
		in.oversized = true
	}
	if in.oversized {
		in.message, in.start = in.given, in.given
	}
	if in.message > 0 {
		n := copy(in.buf, in.buf[in.message:])
		in.buf = in.buf[:n]
		in.start -= in.message
		in.given -= in.message
		in.message = 0
	}
	if cap(in.buf)-len(in.buf) < readSize/2 {
		in.grow()
	}
	return in.buf[len(in.buf):min(cap(in.buf), len(in.buf)+readSize)]
}

func (in *inbound) grow() {
	var larger []byte
	if cap(in.buf) < longSize {
		larger = longs.Get().(*[longSize]byte)[:0]
	} else {
		larger = make([]byte, 0, 2*cap(in.buf))
	}
	in.replace(append(larger, in.buf...))
}

// replace changes the memory, and gives the one before back.
func (in *inbound) replace(b []byte) {
	if cap(in.buf) == longSize {
		longs.Put((*[longSize]byte)(in.buf[:longSize]))
	}
	in.buf = b
}

func (in *inbound) add(n int) { in.buf = in.buf[:len(in.buf)+n] }

// retained is what whoever goes on with the stream must read first.
func (in *inbound) retained() []byte { return in.buf[in.message:] }

// endsMessage reports whether everything read ends at the end of a message,
// or of a control frame behind one.
func (in *inbound) endsMessage() bool {
	f, fragmented := in.frame, in.fragmented
	if f.begins() && in.given > in.start && !f.isControl() { // given whole, not settled yet
		fragmented = !f.isFinal()
	}
	for b := in.buf[in.given:]; len(b) > 0; {
		b = b[f.upTo(b):]
		if f.begins() && !f.isControl() {
			fragmented = !f.isFinal()
		}
	}
	return f.begins() && !fragmented
}
