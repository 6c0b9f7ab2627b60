package swap

import (
	"testing"

	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// Every pair has been thought of: nothing is left to a default by oversight.
func TestEveryPairOfRoleAndCue(t *testing.T) {
	want := map[Role]map[Cue]Role{
		Waiting:  {CueLoad: Loaded, CueGo: Serving, CueRecover: Serving},
		Loaded:   {CueGo: Serving},
		Serving:  {CueFreeze: Freezing},
		Freezing: {CueQuiet: Frozen, CueResume: Serving, CueOrphaned: Serving},
		Frozen:   {CueResume: Serving, CueSilence: Serving, CueOrphaned: Serving, CueRelease: Retired},
	}
	for _, r := range Roles {
		for _, c := range Cues {
			s := Next(r, c)
			then, named := want[r][c]
			if !named {
				then = r
			}
			if s.Won.Role != then || !named && len(s.Won.Deeds) > 0 {
				t.Errorf("%v + %v = %v, want %v", r, c, s, then)
			}
			// Who becomes one that touches from one that does not has claimed it.
			if then.Touches() && !r.Touches() && s.Claim == NoClaim {
				t.Errorf("%v + %v touches the streams without a claim", r, c)
			}
			if s.Claim != NoClaim && s.Lost.Role.Touches() {
				t.Errorf("%v + %v touches the streams after a lost claim", r, c)
			}
		}
	}
}

func TestNothingFollowsOnTheEnd(t *testing.T) {
	for _, s := range Stages {
		for _, n := range AllNews {
			next, orders := Follow(s, n)
			if s.Over() && (next != s || len(orders) > 0) {
				t.Errorf("%v + %v = %v %v, want nothing", s, n, next, orders)
			}
			if n == NewsCancelled && s.Revocable() != (next == StageFailed && !s.Over()) {
				t.Errorf("%v + %v = %v, revocable %v", s, n, next, s.Revocable())
			}
		}
	}
}

func TestNamesAreTold(t *testing.T) {
	seen := map[string]bool{}
	name := func(s string) {
		if s == "" || seen[s] {
			t.Errorf("name %q is missing or given twice", s)
		}
		seen[s] = true
	}
	for _, r := range Roles {
		name("role " + r.String())
	}
	for _, c := range Cues {
		name("cue " + c.String())
	}
	for _, s := range Stages {
		name("stage " + s.String())
	}
	for _, n := range AllNews {
		name("news " + n.String())
	}
}
