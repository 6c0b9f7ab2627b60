package logs

import (
	"bytes"
	"io"
)

// maxLine is where a line that does not end is cut in two.
const maxLine = 16 << 10

// Stream cuts what one descriptor of a worker carries into lines. Each goes to
// the tail as it is and to the output, in one Write, behind a prefix. It is
// for one writer.
type Stream struct {
	prefix  string
	output  io.Writer
	tail    *Tail
	partial []byte
}

// NewStream returns a Stream that puts prefix before every line of the output.
func NewStream(prefix string, output io.Writer, tail *Tail) *Stream {
	return &Stream{prefix: prefix, output: output, tail: tail}
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
		s.emit()
		p = p[end+1:]
	}
	return n, nil
}

// Close writes the line that has no end yet.
func (s *Stream) Close() error {
	if len(s.partial) > 0 {
		s.emit()
	}
	return nil
}

// extend adds to the line in progress, emitting pieces that are long enough.
func (s *Stream) extend(p []byte) {
	for len(s.partial)+len(p) > maxLine {
		room := maxLine - len(s.partial)
		s.partial = append(s.partial, p[:room]...)
		p = p[room:]
		s.emit()
	}
	s.partial = append(s.partial, p...)
}

func (s *Stream) emit() {
	text := bytes.TrimSuffix(s.partial, []byte{'\r'})
	line := make([]byte, 0, len(s.prefix)+len(text)+1)
	line = append(append(append(line, s.prefix...), text...), '\n')
	s.tail.Write(text)
	s.output.Write(line)
	s.partial = s.partial[:0]
}
