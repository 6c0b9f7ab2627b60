package load

import (
	"sync"
	"time"
)

// health is what /healthz answers, as far as a run needs it.
type health struct {
	Gen int `json:"gen"`
	PID int `json:"pid"`
}

// Around a change of pid.
const (
	beforeChange = time.Second
	afterChange  = 2 * time.Second
)

// change is a pid that began to answer. Times are since the run began.
type change struct {
	health
	lastOld  time.Duration // when the last request that the old pid answered was begun
	firstNew time.Duration // when the new pid had answered the first
}

// overlaps reports whether a time is around the change.
func (c change) overlaps(at time.Duration) bool {
	return c.lastOld-beforeChange <= at && at <= c.firstNew+afterChange
}

// breaks reports whether the old pid's death, if it was killed, explains how a
// WebSocket ended. One that was asked to resync had survived it.
func (c change) breaks(e ending) bool {
	return !e.closed && c.overlaps(e.at) && e.underWay <= c.firstNew && e.resynced <= c.lastOld
}

// timeline is who answered when, and who said goodbye. Its methods may be
// called concurrently.
type timeline struct {
	began time.Time

	mu       sync.Mutex
	pids     map[int]bool
	now      health
	seen     time.Duration // when now was asked last
	changes  []change
	goodbyes []time.Duration
}

func newTimeline(began time.Time) *timeline {
	return &timeline{began: began, pids: map[int]bool{}}
}

// saw takes an answer. A pid that answered before is an older one that still
// ends, and no change.
func (t *timeline) saw(h health, asked, answered time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.pids[h.PID] {
		if len(t.pids) > 0 {
			t.changes = append(t.changes, change{h, t.seen, answered.Sub(t.began)})
		}
		t.pids[h.PID] = true
		t.now = h
	}
	if h == t.now {
		t.seen = asked.Sub(t.began)
	}
}

// goodbye notes that a client heard its server go.
func (t *timeline) goodbye(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.goodbyes = append(t.goodbyes, at.Sub(t.began))
}

// isBroken reports whether a WebSocket was ended by a kill in mid-message. The
// package comment has the rule.
func (t *timeline) isBroken(e ending) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.changes {
		if c.breaks(e) && !t.saidGoodbye(c) {
			return true
		}
	}
	return false
}

func (t *timeline) saidGoodbye(c change) bool {
	for _, g := range t.goodbyes {
		if c.overlaps(g) {
			return true
		}
	}
	return false
}

// events returns the changes, and for each until when its silences count.
func (t *timeline) events() (all []change, until []time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, c := range t.changes {
		end := c.firstNew + afterChange
		if i+1 < len(t.changes) {
			end = max(c.firstNew, min(end, t.changes[i+1].lastOld))
		}
		all, until = append(all, c), append(until, end)
	}
	return all, until
}
