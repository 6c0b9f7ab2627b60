package control

import "time"

// Status is what `supervisor status --json` prints. Fields are added, never
// changed.
type Status struct {
	PID      int       `json:"pid"`
	Version  string    `json:"version"`
	Commit   string    `json:"commit"`
	Started  time.Time `json:"started_at"`
	Listen   []Listen  `json:"listen"`
	Programs []Program `json:"programs"`
	Deploys  []Deploy  `json:"deploys"` // the latest ones, oldest first
}

// Listen is a listening socket that the supervisor holds.
type Listen struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// Program is what the configuration names, with its instances.
type Program struct {
	Name      string     `json:"name"`
	Instances []Instance `json:"instances"`
}

// Instance is one of a program's parallel copies. Gen, PID and Build are those
// of the serving worker, or of the starting one while none serves.
type Instance struct {
	Index     int        `json:"index"`
	State     string     `json:"state"`
	Gen       int        `json:"gen"`
	PID       int        `json:"pid"`
	Build     Build      `json:"build"`
	StartedAt *time.Time `json:"started_at"`
	Restarts  int        `json:"restarts"`  // after crashes
	LastExit  string     `json:"last_exit"` // "" if none has ended unasked or failed to get ready while none served
	Conns     int        `json:"conns"`
	RSSBytes  int64      `json:"rss_bytes"`
	Draining  []Draining `json:"draining"`
}

// Build is the executable of a worker.
type Build struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Commit  string `json:"commit"` // as the worker told it
	SHA256  string `json:"sha256"`
}

// Draining is a worker on its way out.
type Draining struct {
	Gen      int       `json:"gen"`
	PID      int       `json:"pid"`
	Conns    int       `json:"conns"`
	Deadline time.Time `json:"deadline"`
}

// Verdict is how a deploy ended.
type Verdict string

// Verdicts of a deploy.
const (
	Pending  Verdict = "pending"  // not ended yet
	Accepted Verdict = "accepted" // the new build serves
	Rejected Verdict = "rejected" // the new build never served
	Returned Verdict = "returned" // it served, and was taken back
)

// Deploy is one reload and what became of it.
type Deploy struct {
	ID        string    `json:"id"`
	Program   string    `json:"program"`
	Verdict   Verdict   `json:"verdict"`
	Reason    string    `json:"reason"`
	At        time.Time `json:"at"`         // when it was asked for
	SwappedMS int64     `json:"swapped_ms"` // from then until the new build served
}

// Step is one line of a deploy's timeline. The last one carries the deploy
// with its verdict.
type Step struct {
	At     time.Time `json:"at"`
	Step   string    `json:"step"` // requested, pinned, spawned, ready, adopted, swapped, superseded, accepted, rejected, returned
	Detail string    `json:"detail,omitempty"`
	Deploy *Deploy   `json:"deploy,omitempty"`
}
