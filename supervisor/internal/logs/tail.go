package logs

import (
	"strings"
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

// Write keeps one line, given without its end.
func (t *Tail) Write(line []byte) (int, error) {
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

// Last returns the last n lines, oldest first, without blank ones.
func (t *Tail) Last(n int) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var last []string
	for i := len(t.lines) - 1; i >= 0 && len(last) < n; i-- {
		if strings.TrimSpace(t.lines[i]) != "" {
			last = append([]string{t.lines[i]}, last...)
		}
	}
	return last
}
