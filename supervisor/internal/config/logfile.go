package config

import (
	"slices"
	"time"
)

const (
	maxLogFile = 1 << 50     // bytes
	minTurn    = time.Minute // sooner is a mistake in the unit
)

// logFormats are how lines may be written to a log file.
var logFormats = []string{"plain", "time", "json"}

// logFile reads the keys of log that are about a file.
func (t *table) logFile(f *LogFile) {
	if t.text("file", "a path in quotes", &f.Path) {
		f.Path = t.absolute(f.Path)
	}
	t.oneOf("format", logFormats, &f.Format)
	t.size("max_size", mebi, maxLogFile, &f.MaxSize)
	if f.MaxSize%mebi != 0 {
		t.wrong("max_size", `a whole number of M such as "100M"`, FormatSize(f.MaxSize))
	}
	t.duration("every", 0, &f.Every)
	if 0 < f.Every && f.Every < minTurn {
		t.wrong("every", `"1m" or more, or "0s" for never`, quote(f.Every.String()))
	}
	t.integer("keep", 0, unbounded, &f.Keep)
	t.integer("keep_days", 0, unbounded, &f.KeepDays)
	read(t, "compress", "true or false", &f.Compress)
}

// oneOf reads one of some words.
func (t *table) oneOf(key string, words []string, to *string) {
	must := "one of " + listOf(words)
	var word string
	if !read(t, key, must, &word) {
		return
	}
	if !slices.Contains(words, word) {
		t.wrong(key, must, quote(word))
		return
	}
	*to = word
}

func listOf(words []string) string {
	all := ""
	for i, w := range words {
		if i > 0 {
			all += ", "
		}
		all += quote(w)
	}
	return all
}

// ownLogFiles reports programs that would write one file.
func (t *table) ownLogFiles(programs []Program) {
	for i, p := range programs {
		for _, o := range programs[:i] {
			if p.LogFile.Path != "" && p.LogFile.Path == o.LogFile.Path {
				t.mistake(t.at.of(p.Name), "log.file: program %s writes %s already", o.Name, p.LogFile.Path)
			}
		}
	}
}
