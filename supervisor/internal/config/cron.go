package config

import (
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// NextCron is the first moment of the program's schedule after a time, in local
// time; zero if it has none.
func (p Program) NextCron(after time.Time) time.Time {
	if p.Cron == "" {
		return time.Time{}
	}
	s, err := parseCron(p.Cron)
	if err != nil { // of a supervisor before, whose syntax was another
		return time.Time{}
	}
	return s.Next(after.Local())
}

// parseCron reads the five fields of crontab(5), or a word such as @daily.
func parseCron(s string) (cron.Schedule, error) {
	if zone, _, ok := strings.Cut(s, " "); !ok && strings.Contains(zone, "TZ=") {
		s = "" // the library panics at a time zone alone
	}
	return cron.ParseStandard(s)
}

// cron reads a schedule.
func (t *table) cron(key string, to *string) {
	const must = `a schedule as in crontab(5) such as "0 4 * * *", or "@daily"`
	var spec string
	if !t.text(key, must, &spec) {
		return
	}
	s, err := parseCron(spec)
	switch {
	case err != nil:
		t.wrong(key, must, quote(spec))
	case s.Next(time.Now()).IsZero():
		t.mistake(t.at.of(key), "%s%s: %s never comes", t.name, key, quote(spec))
	default:
		*to = spec
	}
}
