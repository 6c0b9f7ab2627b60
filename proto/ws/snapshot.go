package ws

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// SnapshotVersion is the version of snapshots that this build writes, and the
// newest it reads. Two processes compare it before anything is frozen.
const SnapshotVersion = 1

// ErrSnapshot: the bytes are not a snapshot, or not all of one.
var ErrSnapshot = errors.New("ws: not a snapshot")

// VersionError is a snapshot of a version that this build does not know.
type VersionError struct{ Version int }

func (e *VersionError) Error() string {
	return fmt.Sprintf("ws: snapshot of version %d, this build reads %d", e.Version, SnapshotVersion)
}

// snapshot is what travels of a connection beside its descriptor. The fragment
// state of the peer's message is in its bytes, which begin with the message's
// first frame.
//
//	version (one byte) · read · written · heard · said · half · len(in) · in · len(out) · out
//
// Numbers are uvarints, durations nanoseconds.
type snapshot struct {
	read    uint64        // stream offset behind in
	written uint64        // stream offset before out
	heard   time.Duration // since the peer said something
	said    time.Duration // since we did
	half    int           // out[:half] is the rest of a frame begun
	in      []byte        // the message in progress and what was read ahead
	out     []byte
}

// Limits of what another process may ask this one to hold.
const (
	maxSnapshotIn  = maxRetained + 2*readSize
	maxSnapshotOut = maxQueued
)

func (s *snapshot) append(b []byte) []byte {
	b = append(b, SnapshotVersion)
	for _, n := range []uint64{s.read, s.written, uint64(max(s.heard, 0)), uint64(max(s.said, 0)), uint64(s.half), uint64(len(s.in))} {
		b = binary.AppendUvarint(b, n)
	}
	b = append(b, s.in...)
	b = binary.AppendUvarint(b, uint64(len(s.out)))
	return append(b, s.out...)
}

// parseSnapshot keeps no copy of b.
func parseSnapshot(b []byte) (snapshot, error) {
	if len(b) == 0 {
		return snapshot{}, ErrSnapshot
	}
	if b[0] != SnapshotVersion {
		return snapshot{}, &VersionError{int(b[0])}
	}
	p := parser{rest: b[1:]}
	s := snapshot{
		read: p.number(1<<63 - 1), written: p.number(1<<63 - 1),
		heard: time.Duration(p.number(1<<62 - 1)), said: time.Duration(p.number(1<<62 - 1)),
		half: int(p.number(maxSnapshotOut)),
	}
	s.in = p.bytes(maxSnapshotIn)
	s.out = p.bytes(maxSnapshotOut)
	if p.bad || len(p.rest) > 0 || s.half > len(s.out) || !wholeFrames(s.out[s.half:]) {
		return snapshot{}, ErrSnapshot
	}
	return s, nil
}

// wholeFrames reports whether b ends where a frame ends.
func wholeFrames(b []byte) bool {
	var f frame
	for len(b) > 0 {
		b = b[f.upTo(b):]
	}
	return f.begins()
}

// parser takes a snapshot apart. Once something was bad, all that follows is
// zero.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) number(most uint64) uint64 {
	n, size := binary.Uvarint(p.rest)
	if p.bad || size <= 0 || n > most {
		p.bad = true
		return 0
	}
	p.rest = p.rest[size:]
	return n
}

func (p *parser) bytes(most uint64) []byte {
	n := p.number(most)
	if n > uint64(len(p.rest)) {
		p.bad = true
	}
	if p.bad {
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}
