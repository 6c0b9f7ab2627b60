package logs

import (
	"encoding/json"
	"slices"
	"strings"
)

// carried is a line on its way to another process's ring.
type carried struct {
	At       int64  `json:"at"` // nanoseconds of Unix time
	Gen      int    `json:"gen,omitempty"`
	Instance *int   `json:"instance,omitempty"` // of several
	Err      bool   `json:"err,omitempty"`
	Text     string `json:"text"`
}

// Save returns the newest lines, as many as fit into so many bytes, for the
// [Ring.Load] of another process.
func (r *Ring) Save(bytes int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for i := r.count - 1; i >= 0; i-- {
		p := r.nth(i)
		c := carried{At: p.at, Gen: p.from.Gen, Err: p.err, Text: p.text}
		if p.from.Several {
			c.Instance = &p.from.Instance
		}
		text, err := json.Marshal(c)
		if err != nil {
			continue // it cannot be: text is valid
		}
		if bytes -= len(text) + 1; bytes < 0 {
			break
		}
		lines = append(lines, string(text)+"\n")
	}
	slices.Reverse(lines)
	return strings.Join(lines, "")
}

// Load adds the lines that Save has returned, with the times they had.
func (r *Ring) Load(text string) error {
	for line := range strings.Lines(text) {
		var c carried
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			return err
		}
		p := place{at: c.At, from: Origin{Gen: c.Gen}, err: c.Err, text: c.Text}
		if c.Instance != nil {
			p.from.Instance, p.from.Several = *c.Instance, true
		}
		if changed := r.add(p); changed != nil {
			close(changed)
		}
	}
	return nil
}
