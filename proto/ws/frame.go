package ws

import "encoding/binary"

// maxHeader is the longest header of a frame: two bytes, a length of eight and
// a mask of four (RFC 6455 section 5.2).
const maxHeader = 14

// frame follows the frames of a stream from boundary to boundary. It judges
// nothing: that is the library's part.
type frame struct {
	head [maxHeader]byte
	seen int    // bytes of head
	left uint64 // bytes of the payload still to come, once head is whole
}

// upTo goes on through b and returns how much of it belongs to this frame. At
// the frame's end it begins the next one.
func (f *frame) upTo(b []byte) int {
	n := 0
	for !f.whole() {
		if n == len(b) {
			return n
		}
		f.head[f.seen] = b[n]
		f.seen++
		n++
		if f.whole() {
			f.left = f.length()
		}
	}
	rest := min(f.left, uint64(len(b)-n))
	f.left -= rest
	if f.left == 0 {
		f.seen = 0
	}
	return n + int(rest)
}

// begins reports whether the next byte is the first of a frame. Until then
// isControl and isFinal tell about the frame before.
func (f *frame) begins() bool { return f.seen == 0 }

// isControl and isFinal read the first byte (RFC 6455 section 5.2).
func (f *frame) isControl() bool { return f.head[0]&controlBit != 0 }
func (f *frame) isFinal() bool   { return f.head[0]&finBit != 0 }

// whole reports whether the header is there.
func (f *frame) whole() bool { return f.seen >= 2 && f.seen == f.size() }

// size is the length of the header, by its second byte.
func (f *frame) size() int {
	n := 2
	switch f.head[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.head[1]&0x80 != 0 {
		n += 4
	}
	return n
}

// length is the length of the payload, by the whole header.
func (f *frame) length() uint64 {
	switch n := f.head[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.head[2:])
	default:
		return uint64(n)
	}
}
