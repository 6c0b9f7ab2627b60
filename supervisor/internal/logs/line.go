package logs

import (
	"bytes"
	"encoding/json"
	"time"
)

// Line is what a program wrote, or, if Lost is not 0, says that so many lines
// are missing in its place. As JSON it is made for jq(1), one of
//
//	{"time":"2026-01-02T15:04:05.6Z","program":"chat","gen":7,"stream":"out","text":"…"}
//	{"time":"2026-01-02T15:04:05.6Z","program":"chat","instance":0,"gen":7,"stream":"out","text":"…"}
//	{"time":"2026-01-02T15:04:05.6Z","program":"chat","lost":12}
type Line struct {
	Time    time.Time // when it was added to the ring; of a Lost, when that was noticed
	Program string    // left to whoever knows it; "" is not written
	Origin  Origin    // a Gen of 0 is not written, nor is the only instance
	Err     bool      // of standard error
	Text    string    // without its end
	Seq     uint64    // counts the ring's lines from 1; not in JSON
	Lost    uint64
}

type jsonLine struct {
	Time     time.Time `json:"time"`
	Program  string    `json:"program,omitempty"`
	Instance *int      `json:"instance,omitempty"`
	Gen      int       `json:"gen,omitempty"`
	Stream   string    `json:"stream,omitempty"`
	Text     *string   `json:"text,omitempty"` // blank lines have one too
	Lost     uint64    `json:"lost,omitempty"`
}

// MarshalJSON implements [json.Marshaler]. Whether <, > and & are escaped is
// the encoder's choice.
func (l Line) MarshalJSON() ([]byte, error) {
	j := jsonLine{Time: l.Time, Program: l.Program, Lost: l.Lost}
	if l.Lost == 0 {
		j.Gen, j.Stream, j.Text = l.Origin.Gen, "out", &l.Text
		if l.Origin.Several {
			j.Instance = &l.Origin.Instance
		}
		if l.Err {
			j.Stream = "err"
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(j)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

// UnmarshalJSON implements [json.Unmarshaler].
func (l *Line) UnmarshalJSON(b []byte) error {
	var j jsonLine
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*l = Line{Time: j.Time, Program: j.Program, Origin: Origin{Gen: j.Gen}, Err: j.Stream == "err", Lost: j.Lost}
	if j.Instance != nil {
		l.Origin.Instance, l.Origin.Several = *j.Instance, true
	}
	if j.Text != nil {
		l.Text = *j.Text
	}
	return nil
}
