package supervise

import (
	"fmt"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// trial is a build that serves and is not known to be good yet.
type trial struct {
	of     *generation
	deploy *deploy     // nobody's after a start
	timer  *time.Timer // of the bake
	until  time.Time   // when it is over
	unfit  cause       // why it is to be taken back, the zero value if it is not
}

// bake puts what serves on trial. Without a build to return to there is nothing
// to try: what serves is the best there is.
func (in *Instance) bake() {
	t := &trial{of: in.serving, deploy: in.deploy}
	in.trial, in.deploy = t, nil
	length := t.of.plan.Bake
	if length <= 0 || in.lastGood == nil {
		in.longEnough(t, func() { in.pending = append(in.pending, Baked) })
		return
	}
	in.Book.baking(t.deploy, length)
	in.awaitBaked(t, length)
}

// awaitBaked ends the trial after a time.
func (in *Instance) awaitBaked(t *trial, length time.Duration) {
	t.until = time.Now().Add(length)
	t.timer = time.AfterFunc(length, func() {
		in.post(func() {
			if in.trial == t {
				in.unlessSwapping(func() { in.baked(t) })
			}
		})
	})
}

// baked ends a trial that was long enough, unless it has been decided.
func (in *Instance) baked(t *trial) {
	switch {
	case in.trial != t || t.unfit.why != "":
	case in.checks != nil && in.checks.failed > 0:
		in.checks.overdue = true // the next checks decide
	default:
		in.longEnough(t, func() { in.fire(Baked, cause{}) })
	}
}

// longEnough ends a trial that has nothing against it, now or, in a roll, once the
// other instances are as far.
func (in *Instance) longEnough(t *trial, now func()) {
	if t.deploy != nil && t.deploy.part != nil {
		t.deploy.part.arrive(bakedStage, func() {
			if in.trial == t && t.unfit.why == "" {
				in.fire(Baked, cause{})
			}
		})
		return
	}
	now()
}

// endTrial ends the trial and returns it.
func (in *Instance) endTrial() *trial {
	t := in.trial
	in.trial = nil
	if t.timer != nil {
		t.timer.Stop()
	}
	return t
}

// accept makes the build on trial the last good one.
func (in *Instance) accept() {
	t := in.endTrial()
	outdated := in.previous
	good := &pinned{t.of.build, t.of.plan}
	if last := in.lastGood; last != nil && last.build != nil && last.build != good.build {
		in.previous = last
	}
	in.lastGood = good
	if outdated != nil {
		in.release(outdated.build)
	}
	in.judge(t.deploy, control.Accepted, cause{})
}

// settle breaks the trial off: a later deploy has taken over, or everything
// stops. Nothing is known against the build, and nothing for it.
func (in *Instance) settle(why string) {
	if why == "" {
		why = "a later deploy took over"
	}
	in.judge(in.endTrial().deploy, control.Accepted, because("before its bake was over: "+why))
}

// giveBack ends the trial against the build. What comes next is another build,
// so that its failures do not count.
func (in *Instance) giveBack(why cause) {
	t := in.endTrial()
	if t.unfit.why != "" {
		why = t.unfit
	}
	in.backoff.reset()
	in.lastUptime = 0
	in.judge(t.deploy, control.Returned, why)
}

// unfit takes the news that the serving worker fails its health check. On trial
// it gives way to the last good build; else it is started again.
func (in *Instance) unfit(g *generation, why string) {
	if g != in.serving || g.sealed != "" {
		return
	}
	t := in.trial
	if t == nil || in.lastGood == nil { // there is nothing to return to
		in.abort(g, why)
		return
	}
	if in.state == Baking {
		in.unsaved = true
		t.unfit = g.onTrial(g.ending(why))
		in.log.Error("worker unfit", "gen", g.number, "reason", why)
		in.Book.step(t.deploy, "returning", why)
	}
	in.fire(Unfit, because(why))
}

// onTrial says of an end when it came.
func (g *generation) onTrial(c cause) cause {
	c.why = fmt.Sprintf("%s after it took over: %s", g.uptime().Round(100*time.Millisecond), c.why)
	return c
}

// held returns what is kept to be started again.
func (in *Instance) held() []*pinned {
	var all []*pinned
	for _, p := range []*pinned{in.lastGood, in.previous} {
		if p != nil {
			all = append(all, p)
		}
	}
	return all
}
