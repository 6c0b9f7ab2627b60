package config

import (
	"testing"
	"time"
)

func TestNextCron(t *testing.T) {
	after := time.Date(2026, 1, 31, 23, 59, 30, 0, time.Local)
	for _, test := range []struct{ spec, want string }{
		{"0 4 * * *", "2026-02-01 04:00:00"},
		{"* * * * *", "2026-02-01 00:00:00"},
		{"*/15 9-17 * * MON-FRI", "2026-02-02 09:00:00"},
		{"0 0 29 2 *", "2028-02-29 00:00:00"},
		{"@daily", "2026-02-01 00:00:00"},
		{"@every 90s", "2026-02-01 00:01:00"},
	} {
		p := Program{Cron: test.spec}
		if got := p.NextCron(after).Format(time.DateTime); got != test.want {
			t.Errorf("%s: got %s, want %s", test.spec, got, test.want)
		}
	}
	for _, spec := range []string{"", "soon", "TZ=x", "CRON_TZ="} {
		if next := (Program{Cron: spec}).NextCron(after); !next.IsZero() {
			t.Errorf("%q: got %s", spec, next)
		}
	}
}
