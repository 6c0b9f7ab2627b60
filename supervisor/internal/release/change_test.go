//go:build linux

package release

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// earlier are the machines that a change may find.
var earlier = map[string]func(h host){
	"nothing": func(host) {},
	"a release": func(h host) {
		h.check(os.Symlink("releases/6", h.link()))
		h.put(h.env(), "A=1\n")
	},
	"a release, no settings": func(h host) { h.check(os.Symlink("releases/6", h.link())) },
	"the same release": func(h host) {
		h.check(os.Symlink(h.releases()+"/7/", h.link())) // written otherwise than we do
		h.put(h.env(), "A=1\n")
	},
	"the same settings": func(h host) {
		h.check(os.Symlink("releases/6", h.link()))
		h.put(h.env(), "A=2\n")
	},
	"another folder": func(h host) {
		h.check(os.Symlink("/srv/build", h.link()))
		h.put(h.env(), "A=1\n")
	},
}

// what an earlier deploy that was cut off before its journal has left.
func (h host) litter() {
	h.put(h.env()+nextSuffix, "A=torn")
	h.put(h.env()+beforeSuffix, "A=stale")
	h.check(os.Symlink("nowhere", h.link()+nextSuffix))
	h.put(h.releases()+"/"+journalName+nextSuffix, "{")
}

func (h host) wish() Settings { return Settings{Path: h.env(), Content: []byte("A=2\n")} }

// both gives a machine with two releases to each test, as it is and littered.
func both(t *testing.T, test func(h host)) {
	for name, prepare := range earlier {
		for _, litter := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, litter %v", name, litter), func(t *testing.T) {
				h := newHost(t)
				h.release("6", time.Hour, true)
				h.release("7", 0, true)
				prepare(h)
				if litter {
					h.litter()
				}
				test(h)
			})
		}
	}
}

// seen is what others see of the machine: not what lies beside.
func (h host) seen() [2]string {
	target, _ := os.Readlink(h.link())
	env, err := os.ReadFile(h.env())
	if err != nil {
		env = []byte("none")
	}
	return [2]string{target, string(env)}
}

// rests are names of a change that should be gone.
func (h host) rests() (names []string) {
	for _, name := range []string{h.env() + nextSuffix, h.env() + beforeSuffix, h.releases() + "/" + journalName} {
		if _, err := os.Lstat(name); err == nil {
			names = append(names, name)
		}
	}
	return names
}

func TestAChangeIsMadeAndKept(t *testing.T) {
	both(t, func(h host) {
		f := h.open()
		c, err := f.Begin("7", h.wish())
		if err != nil {
			h.Fatal(err)
		}
		if now, err := f.Current(); now != "7" || err != nil || h.seen()[1] != "A=2\n" {
			h.Errorf("current is %q, %v; %v", now, err, h.seen())
		}
		h.check(c.Commit())
		if c, err := f.Unfinished(); c != nil || err != nil {
			h.Errorf("it is unfinished: %v, %v", c, err)
		}
		if info, err := os.Stat(h.env()); err != nil || c.j.Settings != "" && info.Mode().Perm() != settingsMode {
			h.Errorf("settings: %v, %v", info, err)
		}
		if rests := h.rests(); c.j.Settings != "" && len(rests) > 0 {
			h.Errorf("left are %v", rests)
		}
	})
}

// Wherever a deploy is killed while it makes a change, the next one finds
// everything as it was, or what takes it back; and taking it back may be killed
// anywhere, too.
func TestAChangeThatIsCutOffIsTakenBack(t *testing.T) {
	both(t, func(h host) {
		was := h.seen()
		f := h.open()
		c, err := f.plan("7", h.wish())
		h.check(err)
		for n := range len(c.steps()) + 1 {
			c, err := f.plan("7", h.wish())
			h.check(err)
			for _, s := range c.steps()[:n] {
				h.check(s.do())
			}
			f.Close() // it is dead
			f = h.open()
			left, err := f.Unfinished()
			h.check(err)
			if left == nil {
				if h.seen() != was {
					h.Fatalf("after %d steps nothing tells that there is %v, not %v", n, h.seen(), was)
				}
				continue
			}
			if left.To() != "7" || left.From() != c.From() || left.First() != c.First() || !left.At().Equal(c.At()) {
				h.Errorf("after %d steps %+v is left of %+v", n, left.j, c.j)
			}
			for range 2 { // the second time as if the first had been cut off at its end
				journal, err := os.ReadFile(f.path(journalName))
				h.check(err)
				h.check(left.Undo())
				if h.seen() != was {
					h.Fatalf("after %d steps and Undo there is %v, want %v", n, h.seen(), was)
				}
				h.check(os.WriteFile(f.path(journalName), journal, 0o644))
			}
			h.check(left.Undo())
			if rests := h.rests(); left.j.Settings != "" && len(rests) > 0 {
				h.Errorf("after %d steps and Undo there are %v", n, rests)
			}
		}
	})
}

// Undo may be cut off after each of its own steps.
func TestTakingBackMayBeCutOff(t *testing.T) {
	both(t, func(h host) {
		was := h.seen()
		f := h.open()
		c, err := f.Begin("7", h.wish())
		h.check(err)
		h.check(f.point(c.j.From)) // the first of them
		again, err := f.Unfinished()
		h.check(err)
		if again.j.Settings != "" {
			h.check(restore(again.j.Settings, again.j.Had)) // the second
			again, err = f.Unfinished()
			h.check(err)
		}
		h.check(again.Undo())
		if h.seen() != was {
			h.Errorf("there is %v, want %v", h.seen(), was)
		}
	})
}

// A change that cannot be made is none.
func TestAChangeThatFailsIsUndone(t *testing.T) {
	both(t, func(h host) {
		was := h.seen()
		f := h.open()
		c, err := f.plan("7", h.wish())
		h.check(err)
		if c.next == c.j.From {
			return // the link stays: there is nothing to fail
		}
		h.check(os.RemoveAll(h.link() + nextSuffix))
		h.put(h.link()+nextSuffix+"/in the way", "")
		if c, err := f.Begin("7", h.wish()); err == nil {
			h.Fatalf("%+v", c.j)
		}
		if left, err := f.Unfinished(); h.seen() != was || left != nil || err != nil {
			h.Errorf("there is %v, %v, %v, want %v", h.seen(), left, err, was)
		}
	})
}

func TestAJournalThatCannotBeReadIsNotGuessed(t *testing.T) {
	h := newHost(t)
	f := h.open()
	h.put(f.path(journalName), "{")
	if c, err := f.Unfinished(); c != nil || err == nil {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestOnlyAReleaseBecomesCurrent(t *testing.T) {
	h := newHost(t)
	f := h.open()
	for _, id := range []string{"7", "..", ""} {
		if _, err := f.Begin(id, Settings{}); err == nil {
			t.Errorf("%q becomes current", id)
		}
	}
	h.is(map[string]string{})
}

func TestJudgements(t *testing.T) {
	began := time.Now()
	deploy := func(program string, after time.Duration, v control.Verdict) control.Deploy {
		return control.Deploy{Program: program, At: began.Add(after), Verdict: v}
	}
	states := func(all ...string) (programs []control.Program) {
		for _, s := range all {
			at := began.Add(time.Second)
			i := control.Instance{State: s, StartedAt: &at}
			switch s {
			case "older":
				at = began.Add(-time.Second)
				i.State = "running"
			case "other", "elsewhere":
				i.State, i.Build.Path = "running", s
			}
			programs = append(programs, control.Program{Instances: []control.Instance{i}})
		}
		return programs
	}
	const earlier, later = -time.Hour, time.Second
	for _, c := range []struct {
		what    string
		started time.Duration
		deploys []control.Deploy
		states  []control.Program
		want    Judgement
	}{
		{"never asked", earlier, nil, states("running"), Undo},
		{"asked earlier only", earlier, []control.Deploy{deploy("a", earlier, control.Accepted)}, states("running"), Undo},
		{"accepted", earlier, []control.Deploy{deploy("a", 0, control.Accepted)}, states("running"), Commit},
		{"rejected", earlier, []control.Deploy{deploy("a", later, control.Rejected)}, states("running"), Undo},
		{"returned", earlier, []control.Deploy{deploy("a", later, control.Returned)}, states("running"), Undo},
		{"pending", earlier, []control.Deploy{deploy("a", later, control.Pending)}, states("baking"), Wait},
		{"one pending", earlier, []control.Deploy{deploy("a", later, control.Rejected), deploy("b", later, control.Pending)}, nil, Wait},
		{"one rejected", earlier, []control.Deploy{deploy("a", later, control.Rejected), deploy("b", later, control.Accepted)}, nil, Undo},
		{"accepted the second time", earlier, []control.Deploy{deploy("a", later, control.Rejected), deploy("a", 2*later, control.Accepted)}, nil, Commit},
		{"rejected the second time", earlier, []control.Deploy{deploy("a", later, control.Accepted), deploy("a", 2*later, control.Rejected)}, nil, Undo},
		{"accepted by the supervisor before", later, []control.Deploy{deploy("a", 0, control.Accepted)}, states("other"), Commit},
		{"rejected, and the supervisor upgraded meanwhile", later, []control.Deploy{deploy("a", 0, control.Rejected)}, states("other"), Undo},
		{"cut off, and started from it", later, []control.Deploy{deploy("a", 0, control.Rejected)}, states("running"), Commit},
		{"pending at an upgraded supervisor", later, []control.Deploy{deploy("a", 0, control.Pending)}, states("other"), Wait},
		{"rejected with the same build, and the supervisor upgraded", later, []control.Deploy{deploy("a", 0, control.Rejected)}, states("older"), Undo},
		{"started from it", later, nil, states("running", "stopped"), Commit},
		{"one is from it, one not", later, nil, states("running", "other"), Undo},
		{"one is no matter of releases", later, nil, states("running", "elsewhere"), Commit},
		{"starts from it", later, nil, states("running", "starting"), Wait},
		{"bakes", later, nil, states("baking"), Wait},
		{"fails from it", later, nil, states("running", "starting", "backoff"), Undo},
		{"nothing runs", later, nil, states("stopped"), Undo},
		{"no program", later, nil, nil, Undo},
	} {
		s := control.Status{Started: began.Add(c.started), Deploys: c.deploys, Programs: c.states}
		origin := func(b control.Build) Origin {
			return map[string]Origin{"": New, "other": Other, "elsewhere": Elsewhere}[b.Path]
		}
		if got := Judge(began, s, origin); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

func TestWhereABuildIsFrom(t *testing.T) {
	h := newHost(t)
	h.release("6", 0, true)
	h.release("7", 0, true)
	f := h.open()
	c, err := f.Begin("7", Settings{})
	h.check(err)
	sum := func(id string) string {
		s, err := sumOf(filepath.Join(h.releases(), id, "app"))
		h.check(err)
		return s
	}
	for _, b := range []struct {
		path, sum string
		want      Origin
	}{
		{h.link() + "/app", sum("7"), New},
		{h.link() + "/app", sum("6"), Other},
		{h.link() + "/gone", sum("7"), Other},
		{"/usr/bin/app", sum("7"), Elsewhere},
		{h.link() + "-other/app", sum("7"), Elsewhere},
	} {
		if got := c.Origin(control.Build{Path: b.path, SHA256: b.sum}); got != b.want {
			t.Errorf("%s is from %d, want %d", b.path, got, b.want)
		}
	}
}
