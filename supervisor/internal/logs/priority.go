package logs

import (
	"bytes"
	"log/slog"
	"strconv"
)

// Priority is how much a line matters, as in syslog(3) and sd-daemon(3): the
// lower, the more.
type Priority int

// Priorities of syslog(3).
const (
	Emerg Priority = iota
	Alert
	Crit
	Err
	Warning
	Notice
	Info
	Debug
)

// String is the name that journalctl(1) gives the priority.
func (p Priority) String() string {
	names := [...]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
	if p < 0 || int(p) >= len(names) {
		return "priority " + strconv.Itoa(int(p))
	}
	return names[p]
}

// appendTo appends the priority as it goes in front of a line.
func (p Priority) appendTo(b []byte) []byte { return append(b, '<', '0'+byte(p), '>') }

// PriorityOf is the priority a line says it has, and the line without the mark
// that says so: <0> to <7> in front of it. Without one it is that of the level
// of [slog.TextHandler] or [slog.JSONHandler], and Info for everything else:
// what is written to standard error is no error for that.
func PriorityOf(line []byte) (Priority, []byte) {
	if len(line) >= 3 && line[0] == '<' && '0' <= line[1] && line[1] <= '7' && line[2] == '>' {
		return Priority(line[1] - '0'), line[3:]
	}
	var level slog.Level
	if level.UnmarshalText(shownLevel(line)) != nil {
		return Info, line
	}
	return ofLevel(level), line
}

func ofLevel(level slog.Level) Priority {
	switch {
	case level >= slog.LevelError:
		return Err
	case level >= slog.LevelWarn:
		return Warning
	case level > slog.LevelInfo:
		return Notice
	case level == slog.LevelInfo:
		return Info
	}
	return Debug
}

// slogForms are how slog's handlers begin a line: with the time, unless it is
// left out, and the level. Only there is a level looked for: further on the
// line may quote what somebody else wrote.
var slogForms = []struct{ open, time, timeEnd, level, levelEnd []byte }{
	{nil, []byte(`time=`), []byte(` `), []byte(`level=`), []byte(` `)},
	{[]byte(`{`), []byte(`"time":"`), []byte(`",`), []byte(`"level":"`), []byte(`"`)},
}

// shownLevel is the level that one of slog's handlers wrote into line, nil if
// none did.
func shownLevel(line []byte) []byte {
	for _, form := range slogForms {
		rest, ok := bytes.CutPrefix(line, form.open)
		if !ok {
			continue
		}
		if timed, ok := bytes.CutPrefix(rest, form.time); ok {
			_, rest, _ = bytes.Cut(timed, form.timeEnd)
		}
		if rest, ok = bytes.CutPrefix(rest, form.level); ok {
			level, _, _ := bytes.Cut(rest, form.levelEnd)
			return level
		}
	}
	return nil
}
