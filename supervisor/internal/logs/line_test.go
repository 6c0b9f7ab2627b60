package logs

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestALineAsJSON(t *testing.T) {
	at := time.Date(2026, 1, 2, 15, 4, 5, 600_000_000, time.UTC)
	for _, test := range []struct {
		name string
		line Line
		want string
	}{
		{"standard output", Line{Time: at, Program: "chat", Origin: Origin{Gen: 7}, Text: "hi"}, `"program":"chat","gen":7,"stream":"out","text":"hi"`},
		{"standard error", Line{Time: at, Program: "chat", Origin: Origin{Gen: 7}, Err: true, Text: "hi"}, `"program":"chat","gen":7,"stream":"err","text":"hi"`},
		{"one of several instances", Line{Time: at, Program: "chat", Origin: Origin{Gen: 7, Several: true}, Text: "hi"}, `"program":"chat","instance":0,"gen":7,"stream":"out","text":"hi"`},
		{"blank", Line{Time: at, Origin: Origin{Gen: 7}}, `"gen":7,"stream":"out","text":""`},
		{"escapes and tags", Line{Time: at, Origin: Origin{Gen: 7}, Text: "\x1b[1m<b>&\t\"\u202e"}, `"gen":7,"stream":"out","text":"\u001b[1m<b>&\t\"` + "\u202e\""},
		{"lost", Line{Time: at, Program: "chat", Lost: 12}, `"program":"chat","lost":12`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b strings.Builder
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			if err := e.Encode(test.line); err != nil {
				t.Fatal(err)
			}
			if got, want := b.String(), `{"time":"2026-01-02T15:04:05.6Z",`+test.want+"}\n"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			var back Line
			if err := json.Unmarshal([]byte(b.String()), &back); err != nil || back != test.line {
				t.Errorf("back came %+v, %v", back, err)
			}
		})
	}
	if err := json.Unmarshal([]byte(`{"time":1}`), new(Line)); err == nil {
		t.Error("a number was taken for a time")
	}
}
