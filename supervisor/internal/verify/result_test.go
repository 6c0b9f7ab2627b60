package verify

import (
	"strings"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto/leaktest"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// kept is a result with nothing to complain about.
func kept() Result {
	r := Result{Kill: Act{Took: 46 * time.Millisecond}}
	r.Reload.Deploy.Verdict = control.Accepted
	r.Kill.Load.HTTPFailed = 1 // inside the killed worker
	r.Kill.Load.Broken = 1
	return r
}

func TestEveryBrokenPromiseIsNamed(t *testing.T) {
	if wrong := kept().Wrong(); wrong != "" {
		t.Errorf("of nothing wrong: %q", wrong)
	}
	for want, damage := range map[string]func(*Result){
		"1 messages lost":                      func(r *Result) { r.Kill.Load.Lost = 1 },
		"3 messages doubled":                   func(r *Result) { r.Reload.Load.Duplicated, r.Kill.Load.Duplicated = 1, 2 },
		"3 messages out of order":              func(r *Result) { r.Reload.Load.Reordered = 3 },
		"2 clients disconnected":               func(r *Result) { r.Reload.Load.Disconnects, r.Kill.Load.Disconnects = 1, 1 },
		"4 HTTP requests failed on the reload": func(r *Result) { r.Reload.Load.HTTPFailed = 4 },
		"the reload was rejected: no disk": func(r *Result) {
			r.Reload.Deploy = control.Deploy{Verdict: control.Rejected, Reason: "no disk"}
		},
	} {
		r := kept()
		damage(&r)
		if got := r.Wrong(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		var table strings.Builder
		if err := r.Print(&table); err != nil || !strings.Contains(table.String(), want) {
			t.Errorf("the table does not say %q (%v):\n%s", want, err, table.String())
		}
	}
}
