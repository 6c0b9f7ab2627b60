package logs

import (
	"bytes"
	"slices"
	"sync"
)

// Tail keeps the last lines written to it, at most 16 KiB of them. It may be
// used concurrently.
type Tail struct {
	mu    sync.Mutex
	lines []string
	size  int
}

// tailSize bounds a Tail in bytes.
const tailSize = 16 << 10

// Write keeps one line, given without its end, unless it is blank: those weigh
// nothing and could be any number.
func (t *Tail) Write(line []byte) (int, error) {
	if len(bytes.TrimSpace(line)) == 0 {
		return len(line), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, string(line))
	t.size += len(line)
	for t.size > tailSize && len(t.lines) > 1 {
		t.size -= len(t.lines[0])
		t.lines = t.lines[1:]
	}
	return len(line), nil
}

// Last returns the last n lines that are not blank, oldest first.
func (t *Tail) Last(n int) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.lines[max(0, len(t.lines)-n):])
}
