package supervise

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// snapshotVersion is that of the format. Another one is not understood: then the
// workers end, and the next supervisor begins anew.
const snapshotVersion = 1

// snapshot is an instance at a moment, without its descriptors: those are in the
// store under the instance's name.
type snapshot struct {
	Version   int                  `json:"version"`
	State     string               `json:"state"`
	Generated int                  `json:"generated"`
	Swaps     uint32               `json:"swaps"`
	Restarts  int                  `json:"restarts"`
	LastExit  string               `json:"last_exit,omitempty"`
	Failures  int                  `json:"failures"`
	Plans     []json.RawMessage    `json:"plans"` // texts, each once
	Builds    []buildSnapshot      `json:"builds"`
	Plan      int                  `json:"plan"` // index in Plans, as everywhere below
	Candidate *generationSnapshot  `json:"candidate,omitempty"`
	Serving   *generationSnapshot  `json:"serving,omitempty"`
	Leaving   []generationSnapshot `json:"leaving,omitempty"`
	LastGood  *pinnedSnapshot      `json:"last_good,omitempty"`
	Previous  *pinnedSnapshot      `json:"previous,omitempty"`
	Chosen    *pinnedSnapshot      `json:"chosen,omitempty"` // what is started next instead of what is there
	Trial     *trialSnapshot       `json:"trial,omitempty"`
	Deploy    string               `json:"deploy,omitempty"` // id of the candidate's
	Parts     int                  `json:"parts,omitempty"`  // instances of its roll; 0: it is no part of one
}

type buildSnapshot struct {
	Name  string        `json:"name"` // of its descriptor
	About control.Build `json:"about"`
}

type pinnedSnapshot struct {
	Build int `json:"build"` // index in Builds, as everywhere; -1: lost
	Plan  int `json:"plan"`
}

type trialSnapshot struct {
	Deploy string    `json:"deploy,omitempty"`
	Parts  int       `json:"parts,omitempty"`
	Until  time.Time `json:"until,omitzero"`
	Unfit  string    `json:"unfit,omitempty"`
}

type generationSnapshot struct {
	Number   int           `json:"number"`
	Build    int           `json:"build"` // -1: not pinned yet
	Plan     int           `json:"plan"`
	About    control.Build `json:"about"`
	PID      int           `json:"pid"` // 0: not started yet
	Joined   bool          `json:"joined,omitempty"`
	Formats  proto.Formats `json:"formats,omitempty"`
	Files    int           `json:"files,omitempty"`
	Sealed   string        `json:"sealed,omitempty"`
	Started  time.Time     `json:"started"`
	Served   time.Time     `json:"served,omitzero"`
	Deadline time.Time     `json:"deadline,omitzero"`
}

// snapshot is the instance at this moment.
func (in *Instance) snapshot() snapshot {
	s := snapshot{
		Version: snapshotVersion, State: in.state.String(), Generated: in.generated, Swaps: in.swaps,
		Restarts: in.restarts, LastExit: in.lastExit, Failures: in.backoff.failures,
		Deploy: idOf(in.deploy), Parts: rollSize(in.deploy),
	}
	t := tables{in: in, into: &s, plans: map[*Plan]int{}, builds: map[Build]int{}}
	s.Plan = t.plan(in.plan)
	s.LastGood, s.Previous = t.pinned(in.lastGood), t.pinned(in.previous)
	if in.chosen != nil {
		s.Chosen = t.pinned(&pinned{in.chosen, in.plan})
	}
	s.Candidate, s.Serving = t.generation(in.candidate), t.generation(in.serving)
	for g := range in.leaving {
		s.Leaving = append(s.Leaving, *t.generation(g))
	}
	if in.trial != nil {
		s.Trial = &trialSnapshot{Deploy: idOf(in.trial.deploy), Parts: rollSize(in.trial.deploy), Until: in.trial.until, Unfit: in.trial.unfit.why}
	}
	return s
}

func idOf(d *deploy) string {
	if d == nil {
		return ""
	}
	return d.record.ID
}

func rollSize(d *deploy) int {
	if d == nil || d.part == nil {
		return 0
	}
	return d.part.roll.count()
}

// tables enters plans and builds in a snapshot, each once.
type tables struct {
	in     *Instance
	into   *snapshot
	plans  map[*Plan]int
	builds map[Build]int
}

func (t *tables) plan(p *Plan) int {
	if i, ok := t.plans[p]; ok {
		return i
	}
	t.plans[p] = len(t.into.Plans)
	t.into.Plans = append(t.into.Plans, p.Text)
	return t.plans[p]
}

func (t *tables) build(b Build) int {
	if b == nil {
		return -1
	}
	if i, ok := t.builds[b]; ok {
		return i
	}
	t.builds[b] = len(t.into.Builds)
	t.into.Builds = append(t.into.Builds, buildSnapshot{t.in.names[b], b.Describe()})
	return t.builds[b]
}

func (t *tables) pinned(p *pinned) *pinnedSnapshot {
	if p == nil {
		return nil
	}
	return &pinnedSnapshot{t.build(p.build), t.plan(p.plan)}
}

func (t *tables) generation(g *generation) *generationSnapshot {
	if g == nil {
		return nil
	}
	return &generationSnapshot{
		Number: g.number, Build: t.build(g.build), Plan: t.plan(g.plan), About: g.about, PID: pid(g),
		Joined: g.joined, Formats: g.formats, Files: g.files, Sealed: g.sealed,
		Started: g.started, Served: g.served, Deadline: g.deadline,
	}
}

// name is what descriptors of the instance are called in the store.
func (in *Instance) name(of string) string {
	return Key(in.cfg.Program, in.cfg.Index) + of
}

// Key begins the names of what an instance has in the store.
func Key(program string, index int) string { return program + "/" + strconv.Itoa(index) + "/" }

// Keys lists, sorted, the programs of which a supervisor before has left the
// first instance.
func Keys(s *fdstore.Store) (programs []string) {
	for _, name := range s.Left("") {
		if program, ok := strings.CutSuffix(name, "/0/"+documentName); ok {
			programs = append(programs, program)
		}
	}
	return programs
}

// InstancesBefore is how many instances of a program a supervisor before has left.
func InstancesBefore(s *fdstore.Store, program string) int {
	n := 0
	for {
		if _, ok := s.Peek(Key(program, n) + documentName); !ok {
			return n
		}
		n++
	}
}

// documentName is that of the snapshot's descriptor.
const documentName = "state"

func (in *Instance) buildName(g *generation) string {
	return in.name(fmt.Sprintf("build/%d", g.number))
}

// handles names those of generation number.
func (in *Instance) handles(number int, h worker.Handles) map[string]int {
	prefix := in.name(fmt.Sprintf("%d/", number))
	return map[string]int{
		prefix + "pidfd": h.Pidfd, prefix + "control": h.Control,
		prefix + "stdout": h.Stdout, prefix + "stderr": h.Stderr, prefix + "keeper": h.Keeper,
	}
}

// put stores descriptors, but for those that are none. What cannot be stored
// costs what would have outlived this process.
func (in *Instance) put(fds map[string]int) {
	for name, fd := range fds {
		if fd < 0 {
			delete(fds, name)
		}
	}
	if err := in.Store.Put(fds); err != nil {
		in.log.Warn("worker would not outlive its supervisor", "err", err)
	}
}

// openDocument makes room for what another supervisor is to know.
func (in *Instance) openDocument() {
	d, err := fdstore.NewDocument(in.cfg.Program)
	if err != nil {
		in.log.Warn("worker would not outlive its supervisor", "err", err)
		return
	}
	in.doc = d
	in.put(map[string]int{in.name(documentName): d.FD()})
}

// save writes what has changed.
func (in *Instance) save() {
	if !in.unsaved || in.doc == nil {
		return
	}
	in.unsaved = false
	text, err := json.Marshal(in.snapshot())
	if err == nil {
		err = in.doc.Write(string(text))
	}
	if err != nil {
		in.log.Error("state not kept for another supervisor", "err", err)
	}
}

// closeDocument says that there is nothing to go on with, in the document too:
// systemd may not hear of it in time.
func (in *Instance) closeDocument() {
	if in.doc == nil {
		return
	}
	in.doc.Write("")
	in.Store.Remove(in.name(documentName))
	in.doc.Close()
}
