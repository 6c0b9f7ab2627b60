//go:build linux

package release

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
)

// Judgement is what is to become of a change whose deploy was not watched to its
// end.
type Judgement int

// Judgements of a change.
const (
	Wait   Judgement = iota // the supervisor has not decided yet
	Commit                  // what serves is from the new release
	Undo                    // it is not
)

func (j Judgement) String() string { return [...]string{"wait", "commit", "undo"}[j] }

// Origin is where a build is from, as a change sees it.
type Origin int

// Origins of a build.
const (
	Elsewhere Origin = iota // it is not run from the link: no release says anything of it
	New                     // from the release that becomes current
	Other                   // from another one
)

// Judge decides about a change that began at the given time, by what the
// supervisor says now: by the verdicts of the deploys since then. A supervisor that
// has been started since does not know them all, nor whether the one before it had
// got as far as moving the clients; what serves decides then.
func Judge(began time.Time, s control.Status, origin func(control.Build) Origin) Judgement {
	verdicts := since(began, s.Deploys)
	j := ofVerdicts(verdicts)
	if len(verdicts) > 0 && j != Undo {
		return j
	}
	if s.Started.After(began) {
		return ofServing(began, s.Programs, origin)
	}
	return Undo
}

// since are the verdicts of each program's last deploy from a time on.
func since(began time.Time, deploys []control.Deploy) map[string]control.Verdict {
	verdicts := map[string]control.Verdict{}
	for _, d := range deploys {
		if !d.At.Before(began) {
			verdicts[d.Program] = d.Verdict
		}
	}
	return verdicts
}

func ofVerdicts(verdicts map[string]control.Verdict) Judgement {
	j := Commit
	for _, v := range verdicts {
		switch v {
		case control.Accepted:
		case control.Pending:
			return Wait
		default:
			j = Undo
		}
	}
	return j
}

// ofServing judges by what serves: one instance that fails, or serves what it did
// before, is enough for no.
func ofServing(began time.Time, programs []control.Program, origin func(control.Build) Origin) Judgement {
	seen := map[string]bool{}
	for _, p := range programs {
		for _, i := range p.Instances {
			if i.State == "running" && before(began, i, origin(i.Build)) {
				return Undo
			}
			seen[i.State] = true
		}
	}
	running, failing := seen["running"], seen["backoff"]
	for _, decided := range []string{"running", "backoff", "stopped"} {
		delete(seen, decided)
	}
	switch {
	case failing:
		return Undo
	case len(seen) > 0:
		return Wait
	case running:
		return Commit
	default:
		return Undo // nothing serves
	}
}

// before tells whether a worker is from before the change. One of the same content
// may be: releases share builds, and a change may be of settings only.
func before(began time.Time, i control.Instance, o Origin) bool {
	return o == Other || o == New && (i.StartedAt == nil || i.StartedAt.Before(began))
}

// Origin tells by its content where a build is from that runs.
func (c *Change) Origin(b control.Build) Origin {
	name, err := filepath.Rel(c.f.link, b.Path)
	if err != nil || !filepath.IsLocal(name) {
		return Elsewhere
	}
	if sum, err := sumOf(filepath.Join(c.f.path(c.j.To), name)); err != nil || sum != b.SHA256 {
		return Other
	}
	return New
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}
