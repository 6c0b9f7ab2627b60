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
	return Result{Clients: 200, Deploy: control.Deploy{Verdict: control.Accepted, SwappedMS: 40}, Recovery: 46 * time.Millisecond}
}

func TestEveryBrokenPromiseIsNamed(t *testing.T) {
	if wrong := kept().Wrong(); wrong != "" {
		t.Errorf("of nothing wrong: %q", wrong)
	}
	for want, damage := range map[string]func(*Result){
		"1 messages lost":                  func(r *Result) { r.Load.Lost = 1 },
		"2 messages doubled":               func(r *Result) { r.Load.Duplicated = 2 },
		"3 messages out of order":          func(r *Result) { r.Load.Reordered = 3 },
		"4 HTTP requests failed":           func(r *Result) { r.Load.HTTPFailed = 4 },
		"the reload was rejected: no disk": func(r *Result) { r.Deploy.Verdict, r.Deploy.Reason = control.Rejected, "no disk" },
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
