package load

import (
	"encoding/binary"
	"math/rand/v2"
)

// appendFrame appends a client's frame: masked, as RFC 6455 section 5.3 wants.
func appendFrame(dst []byte, op byte, fin bool, payload []byte) []byte {
	if fin {
		op |= bitFin
	}
	dst = append(dst, op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, bitMask|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, bitMask|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, bitMask|127), uint64(n))
	}
	var key [4]byte
	binary.BigEndian.PutUint32(key[:], rand.Uint32())
	dst = append(dst, key[:]...)
	for i, c := range payload {
		dst = append(dst, c^key[i%4])
	}
	return dst
}

// appendFragments appends a text message in three frames with a ping between
// the first two: what a browser never does and a proxy may.
func appendFragments(dst, payload []byte) []byte {
	i := rand.IntN(len(payload) + 1)
	j := i + rand.IntN(len(payload)+1-i)
	dst = appendFrame(dst, opText, false, payload[:i])
	dst = appendFrame(dst, opPing, true, []byte("between"))
	dst = appendFrame(dst, opContinuation, false, payload[i:j])
	return appendFrame(dst, opContinuation, true, payload[j:])
}
