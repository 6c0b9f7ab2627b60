package config

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"time"
)

// reader collects the mistakes of one file.
type reader struct {
	file     string // as the operator called it
	dir      string // what its relative paths are relative to
	root     bool   // whether programs can have other users
	mistakes Mistakes
}

func (r *reader) mistake(at *place, format string, args ...any) {
	r.mistakes = append(r.mistakes, Mistake{r.file, at.line, at.column, oneLine(fmt.Sprintf(format, args...))})
}

// absolute returns path as seen from the file's folder. Symbolic links stay
// what they are: a deploy may turn one.
func (r *reader) absolute(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(r.dir, path)
}

// table reads the values of one table by their keys. Each method leaves the
// default where the key is not written, and reports a value it cannot take.
// Whatever was asked for is known; done reports the rest.
type table struct {
	*reader
	name   string // what stands before a key in a mistake, such as "drain."
	at     *place
	values map[string]any
	asked  []string
}

// value returns what is written at key, nil if nothing is.
func (t *table) value(key string) any {
	t.asked = append(t.asked, key)
	return t.values[key]
}

// wrong reports that the value at key must be something else. The value itself
// is told only where it cannot be a secret.
func (t *table) wrong(key, must, not string) {
	t.mistake(t.at.of(key), "%s%s must be %s, not %s", t.name, key, must, not)
}

// done reports every key that nobody asked for.
func (t *table) done() {
	for key := range t.values {
		if !slices.Contains(t.asked, key) {
			t.mistake(t.at.of(key), "unknown key %s%s", quote(t.name+key), suggest(key, t.asked))
		}
	}
}

// keys returns the keys in the order of the file, and knows them all.
func (t *table) keys() []string {
	keys := slices.SortedFunc(maps.Keys(t.values), func(a, b string) int {
		return t.at.of(a).compare(t.at.of(b))
	})
	t.asked = append(t.asked, keys...)
	return keys
}

// table returns the table at key, an empty one if there is none; like is how it
// is written.
func (t *table) table(key, like string) *table {
	inner := &table{reader: t.reader, name: t.name + key + ".", at: t.at.of(key)}
	switch v := t.value(key).(type) {
	case nil:
	case map[string]any:
		inner.values = v
	default:
		t.wrong(key, "a table such as "+like, kind(v))
	}
	return inner
}

// read stores the value at key if it is of the right type, and reports whether
// it did.
func read[T any](t *table, key, must string, to *T) bool {
	v := t.value(key)
	if v == nil {
		return false
	}
	got, ok := v.(T)
	if !ok {
		t.wrong(key, must, shown(v))
		return false
	}
	*to = got
	return true
}

// text reads a string that is neither empty nor broken by a zero byte, at
// which the kernel would cut it.
func (t *table) text(key, must string, to *string) bool {
	var s string
	if !read(t, key, must, &s) {
		return false
	}
	if s == "" || hasNUL(s) {
		t.wrong(key, must, quote(s))
		return false
	}
	*to = s
	return true
}

// duration reads a duration of least or more.
func (t *table) duration(key string, least time.Duration, to *time.Duration) {
	var s string
	if !read(t, key, `a duration in quotes such as "10s"`, &s) {
		return
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		t.wrong(key, `a duration such as "10s" or "1m30s"`, quote(s))
	case d < least && least > 0:
		t.wrong(key, "more than 0s", quote(s))
	case d < least:
		t.wrong(key, "0s or more", quote(s))
	default:
		*to = d
	}
}

// positive is the least duration that [table.duration] takes for a time-out.
const positive time.Duration = 1

// unbounded is no upper bound, but what every int holds.
const unbounded = math.MaxInt32

// integer reads a whole number.
func (t *table) integer(key string, least, most int, to *int) {
	must := fmt.Sprintf("a whole number from %d to %d", least, most)
	if most == unbounded {
		must = fmt.Sprintf("a whole number, %d or more", least)
	}
	var n int64
	if !read(t, key, must, &n) {
		return
	}
	if n < int64(least) || n > int64(most) {
		t.wrong(key, must, shown(n))
		return
	}
	*to = int(n)
}

// size reads a number of bytes.
func (t *table) size(key string, least, most int64, to *int64) {
	var s string
	if !read(t, key, `a size in quotes such as "400M"`, &s) {
		return
	}
	n, ok := parseSize(s)
	switch {
	case !ok:
		t.wrong(key, `a size such as "400M" (a whole number, then K, M or G)`, quote(s))
	case n < least:
		t.wrong(key, FormatSize(least)+" or more", quote(s))
	case n > most:
		t.wrong(key, FormatSize(most)+" or less", quote(s))
	default:
		*to = n
	}
}

// texts reads an array of strings, or nil if it is not one.
func (t *table) texts(key, must string) []string {
	v := t.value(key)
	if v == nil {
		return nil
	}
	all, ok := v.([]any)
	if !ok {
		t.wrong(key, must, kind(v))
		return nil
	}
	texts := []string{}
	for _, v := range all {
		s, ok := v.(string)
		switch {
		case !ok:
			t.wrong(key, must, "one with "+kind(v))
			return nil
		case hasNUL(s):
			t.wrong(key, must, "one with a zero byte")
			return nil
		}
		texts = append(texts, s)
	}
	return texts
}

// kind says what a value is, without the value.
func kind(v any) string {
	switch v := v.(type) {
	case string:
		return "a string"
	case int64, float64:
		return "a number"
	case bool:
		return "true or false"
	case map[string]any:
		return "a table"
	case []any:
		if len(v) > 0 {
			if _, ok := v[0].(map[string]any); ok {
				return "an array of tables"
			}
		}
		return "an array"
	default:
		return "a date or time"
	}
}

// shown is a value as a mistake shows it.
func shown(v any) string {
	switch v := v.(type) {
	case string:
		return quote(v)
	case int64, float64, bool:
		return fmt.Sprint(v)
	default:
		return kind(v)
	}
}
