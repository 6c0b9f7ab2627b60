package logs

import (
	"bytes"
	"io"
	"unicode/utf8"
)

// maxLine is where a line that does not end is cut in two.
const maxLine = 16 << 10

// Stream cuts what one descriptor of a worker carries into lines, and gives
// each to whichever of Output, Tail and Ring there are. It is for one writer;
// they may be shared by many Streams.
type Stream struct {
	Prefix string    // goes in front of every line of Output
	Output io.Writer // takes one line a Write, and must not block
	Tail   *Tail
	Ring   *Ring
	From   Origin // as the ring notes
	Err    bool   // the ring notes standard error

	partial []byte
}

// lineWriter is an output that wants to know where a line's own text begins.
type lineWriter interface {
	WriteLine(prefix string, text []byte)
}

// NewStream returns a Stream that puts prefix before every line of the output.
func NewStream(prefix string, output io.Writer, tail *Tail) *Stream {
	return &Stream{Prefix: prefix, Output: output, Tail: tail}
}

// Write takes the next bytes of the stream. It never fails.
func (s *Stream) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			s.extend(p)
			break
		}
		s.extend(p[:end])
		s.end()
		p = p[end+1:]
	}
	return n, nil
}

// Close writes the line that has no end yet, as a crash leaves it.
func (s *Stream) Close() error {
	if len(s.partial) > 0 {
		s.end()
	}
	return nil
}

func (s *Stream) end() {
	s.emit(bytes.TrimSuffix(s.partial, []byte{'\r'}))
	s.partial = s.partial[:0]
}

// extend adds to the line in progress, emitting pieces that are long enough.
func (s *Stream) extend(p []byte) {
	for len(s.partial)+len(p) > maxLine {
		room := maxLine - len(s.partial)
		s.partial = append(s.partial, p[:room]...)
		p = p[room:]
		end := wholeRunes(s.partial)
		s.emit(s.partial[:end])
		s.partial = append(s.partial[:0], s.partial[end:]...)
	}
	s.partial = append(s.partial, p...)
}

// wholeRunes is how much of a piece can be cut off without cutting a character
// in two. Where it is depends on the piece alone, not on how it came.
func wholeRunes(piece []byte) int {
	for end := len(piece) - 1; end > len(piece)-utf8.UTFMax && end > 0; end-- {
		if utf8.RuneStart(piece[end]) {
			if utf8.FullRune(piece[end:]) {
				break
			}
			return end
		}
	}
	return len(piece)
}

func (s *Stream) emit(text []byte) {
	if s.Tail != nil {
		s.Tail.Write(text)
	}
	if s.Ring != nil {
		s.Ring.Add(s.From, s.Err, text)
	}
	switch output := s.Output.(type) {
	case nil:
	case lineWriter:
		output.WriteLine(s.Prefix, text)
	default:
		output.Write(appendLine(nil, s.Prefix, text))
	}
}

func appendLine(b []byte, prefix string, text []byte) []byte {
	return append(append(append(b, prefix...), text...), '\n')
}
