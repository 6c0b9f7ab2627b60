//go:build linux

package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

func TestWhatPeopleSeeOfTheStatus(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	started := now.Add(-time.Hour)
	next := time.Date(2026, 1, 3, 0, 0, 0, 0, time.Local)
	s := control.Status{
		PID: 7, Version: "v1", Started: now.Add(-90 * time.Minute),
		Listen: []control.Listen{{Name: "http", Address: "127.0.0.1:3000"}},
		Programs: []control.Program{{Name: "chat", Instances: []control.Instance{
			{
				State: "running", Gen: 3, PID: 8, Build: control.Build{Commit: "0123456789abcdef"}, StartedAt: &started,
				Restarts: 2, LastExit: "killed by SIGSEGV", Conns: 500, CPU: 12.34, RSSBytes: 12_345_678,
				Draining: []control.Draining{
					{Gen: 1, PID: 5, Deadline: now.Add(-time.Second)},
					{Gen: 2, PID: 6, Conns: 40, Deadline: now.Add(12 * time.Second)},
				},
			},
			{Index: 1, State: "backoff"},
		}, MemoryMax: 400 << 20, Cron: "@daily", NextCron: &next}, {
			Name: "a-mailer-with-a-long-name", LogFile: &control.LogFile{Error: "no space left on device"},
			Instances: []control.Instance{{State: "running", Gen: 1, PID: 9, StartedAt: &started, RSSBytes: 5 << 20}},
		}},
	}
	for i, verdict := range []control.Verdict{control.Accepted, control.Accepted, control.Rejected, control.Accepted, control.Rejected, control.Pending} {
		d := control.Deploy{ID: strings.Repeat(string(rune('a'+i)), 12), Program: "chat", Verdict: verdict, At: now.Add(time.Duration(i-6) * time.Minute)}
		switch verdict {
		case control.Accepted:
			d.SwappedMS = 120
		case control.Rejected:
			d.Reason = "exit status 3 before it was ready; its last output: no such table"
		}
		s.Deploys = append(s.Deploys, d)
	}
	var got strings.Builder
	if err := printStatus(&got, s, now); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/status.golden"
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant, as in %s\n%s", &got, golden, want)
	}
}
