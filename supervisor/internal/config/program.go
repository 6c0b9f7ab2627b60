package config

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// Program is what the supervisor runs and how. [NewProgram] has the defaults.
type Program struct {
	Name     string
	Command  []string          // not empty; the first is absolute if it has a slash, else searched for in $PATH
	Dir      string            // working directory, absolute; "" for the supervisor's
	Env      map[string]string // over what EnvFiles say; nil if nothing
	EnvFiles []EnvFile         // read by [Program.Environ]; later ones win
	Named    map[string]Named  `json:"-"` // environments to choose from, see [File.Choose]
	Listen   []string          // names of the listeners it is given

	Instances int // parallel copies of it, 1 to [MaxInstances]

	ReadyTimeout time.Duration  // from the start to ready
	ReadyAfter   time.Duration  // a program that does not tell is ready when it has lived so long; 0: it tells
	StopSignal   syscall.Signal // how a program that does not speak our protocol is asked to end
	KillTimeout  time.Duration  // from being asked to SIGKILL of the whole process group
	Drain        Drain
	Bake         time.Duration // how long a new build must stay well until the old one is given up; 0: not at all
	Restart      Restart
	MemoryMax    int64  // bytes; 0: no limit
	Cron         string // when a fresh worker takes over, see [Program.NextCron]; "": never
	Health       Health
	LogMemory    int // bytes of its output that are kept in memory
	LogFile      LogFile
	User         *Credential // nil: the supervisor's own
}

// LogFile says where a program's output is kept on disk. Without a Path it is
// not.
type LogFile struct {
	Path     string        // absolute
	Format   string        // plain, time or json
	MaxSize  int64         // bytes, whole M; then the file is turned over
	Every    time.Duration // age at which it is turned over; 0: none
	Keep     int           // how many of those turned over are kept; 0: all
	KeepDays int           // how long they are kept; 0: for ever
	Compress bool          // those turned over
}

// EnvFile is a file of environment variables.
type EnvFile struct {
	Path     string // absolute
	Optional bool   // may be missing
}

// Drain says how the old worker of a deploy ends.
type Drain struct {
	Handover    bool          // its connections move to the new one
	Timeout     time.Duration // until it must have ended
	Rate        int           // connections it closes per second
	Generations int           // how many old ones may drain at once
}

// Restart says when and how soon a program that has ended is started again.
type Restart struct {
	Min, Max   time.Duration // waits grow from Min to Max
	ResetAfter time.Duration // a worker that lived so long was stable
	On         Policy
}

// Health says how a program that does not speak our protocol is asked whether
// it is well.
type Health struct {
	HTTP           string // path; "" for not at all
	Listen         string // name of the listener to ask by
	Every, Timeout time.Duration
	Failures       int // in a row, until it is not well
}

const maxGenerations = 50

// MaxInstances is the most copies of one program on a host.
const MaxInstances = 64

const (
	minMemory = mebi // less runs nothing: the M was forgotten
	maxMemory = 1 << 60

	minLogMemory = 64 * kibi
	maxLogMemory = 256 * mebi
)

// NewProgram returns a program with every default.
func NewProgram(name string, command []string) Program {
	return Program{
		Name:         name,
		Command:      command,
		Instances:    1,
		ReadyTimeout: 10 * time.Second,
		StopSignal:   syscall.SIGTERM,
		KillTimeout:  30 * time.Second,
		Drain:        Drain{Handover: true, Timeout: 30 * time.Second, Rate: 300, Generations: 5},
		Bake:         30 * time.Second,
		Restart:      Restart{Min: 100 * time.Millisecond, Max: 30 * time.Second, ResetAfter: 60 * time.Second},
		Health:       Health{Every: 10 * time.Second, Timeout: 2 * time.Second, Failures: 3},
		LogMemory:    mebi,
		LogFile:      LogFile{Format: "plain", MaxSize: 100 * mebi, Keep: 10, Compress: true},
	}
}

// start reads what is started, where and with which variables.
func (t *table) start(p *Program) {
	p.Command = t.command(p.Name)
	if t.text("dir", "a path in quotes", &p.Dir) {
		p.Dir = t.absolute(p.Dir)
	}
	p.Env = t.environment()
	p.EnvFiles = t.envFiles()
	p.Named = t.named()
	instances := int64(p.Instances)
	if read(t, "instances", "a number", &instances) && (instances < 1 || instances > MaxInstances) {
		t.mistake(t.at.of("instances"), "%sinstances must be 1 to %d, not %d", t.name, MaxInstances, instances)
	}
	p.Instances = int(instances)
}

func (t *table) command(program string) []string {
	const must = `an array of strings such as ["/usr/bin/chat", "serve"]`
	command := t.texts("command", must)
	switch {
	case command == nil && t.values["command"] == nil:
		t.mistake(t.at, "program.%s has no command: it must be %s", program, must)
	case command == nil: // reported already
	case len(command) == 0:
		t.wrong("command", must, "an empty one")
	case command[0] == "":
		t.wrong("command", must, "one that begins with an empty string")
	case strings.Contains(command[0], string(filepath.Separator)):
		command[0] = t.absolute(command[0])
	}
	return command
}

// sockets reads which of the listeners the program is given. After a mistake it
// has all of them, so that health makes no second one of it.
func (t *table) sockets(p *Program, listens, byDefault []string) {
	p.Listen = byDefault
	if t.value("listen") == nil {
		return
	}
	p.Listen = t.texts("listen", `an array of names of [listen] such as ["http"]`)
	if p.Listen == nil {
		p.Listen = listens
	}
	for i, name := range p.Listen {
		switch {
		case !slices.Contains(listens, name):
			t.mistake(t.at.of("listen"), "%slisten: [listen] has no %s%s", t.name, quote(name), suggest(name, listens))
		case slices.Contains(p.Listen[:i], name):
			t.mistake(t.at.of("listen"), "%slisten names %s twice", t.name, quote(name))
		}
	}
}

// lifecycle reads how the program starts, changes and ends.
func (t *table) lifecycle(p *Program) {
	t.duration("ready_timeout", positive, &p.ReadyTimeout)
	t.duration("ready_after", 0, &p.ReadyAfter)
	if p.ReadyAfter >= p.ReadyTimeout && p.ReadyAfter > 0 {
		t.mistake(t.at.of("ready_after"), "%sready_after (%v) must be less than ready_timeout (%v)", t.name, p.ReadyAfter, p.ReadyTimeout)
	}
	t.signal("stop_signal", &p.StopSignal)
	t.drain(&p.Drain)
	p.KillTimeout = p.Drain.Timeout
	t.duration("kill_timeout", positive, &p.KillTimeout)
	t.duration("bake", 0, &p.Bake)
	t.restart(&p.Restart)
}

func (t *table) signal(key string, to *syscall.Signal) {
	const must = `the name of a signal such as "TERM" or "SIGTERM"`
	var name string
	if !read(t, key, must, &name) {
		return
	}
	s, ok := ParseSignal(name)
	if !ok {
		t.wrong(key, must, quote(name))
		return
	}
	*to = s
}

func (t *table) drain(d *Drain) {
	in := t.table("drain", `{ timeout = "30s" }`)
	defer in.done()
	read(in, "handover", "true or false", &d.Handover)
	in.duration("timeout", positive, &d.Timeout)
	in.integer("rate", 1, unbounded, &d.Rate)
	in.integer("generations", 1, maxGenerations, &d.Generations)
}

func (t *table) restart(r *Restart) {
	in := t.table("restart", `{ max = "30s" }`)
	defer in.done()
	before := len(t.mistakes)
	in.duration("min", positive, &r.Min)
	in.duration("max", positive, &r.Max)
	if len(t.mistakes) == before && r.Max < r.Min {
		in.mistake(in.at.of("max"), "%smax (%v) must not be less than %smin (%v)", in.name, r.Max, in.name, r.Min)
	}
	in.duration("reset_after", positive, &r.ResetAfter)
	in.policy("on", &r.On)
}

func (t *table) policy(key string, to *Policy) {
	const must = `"failure", "always", "never" or an array such as [1, 75, "SIGSEGV"]`
	var words []string
	switch v := t.value(key).(type) {
	case nil:
		return
	case []any:
		for _, word := range v {
			words = append(words, policyWord(word))
		}
	case string:
		if _, ok := rules[v]; !ok {
			t.wrong(key, must, quote(v))
			return
		}
		words = []string{v}
	default:
		t.wrong(key, must, shown(v))
		return
	}
	p, err := ParsePolicy(words)
	if err != nil {
		t.mistake(t.at.of(key), "%s%s: %v", t.name, key, err)
		return
	}
	*to = p
}

// policyWord is an exit code or the name of a signal as [ParsePolicy] reads it.
func policyWord(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return shown(v)
}

// limits reads what is watched while the program runs.
func (t *table) limits(p *Program) {
	t.size("memory_max", minMemory, maxMemory, &p.MemoryMax)
	t.cron("cron", &p.Cron)
	t.health(p)
	in := t.table("log", `{ memory = "1M" }`)
	defer in.done()
	memory := int64(p.LogMemory)
	in.size("memory", minLogMemory, maxLogMemory, &memory)
	p.LogMemory = int(memory)
	in.logFile(&p.LogFile)
}

func (t *table) health(p *Program) {
	in := t.table("health", `{ http = "/readyz" }`)
	defer in.done()
	h := &p.Health
	in.urlPath("http", &h.HTTP)
	in.duration("every", positive, &h.Every)
	in.duration("timeout", positive, &h.Timeout)
	in.integer("failures", 1, unbounded, &h.Failures)
	switch given := in.text("listen", "the name of a listener", &h.Listen); {
	case given && !slices.Contains(p.Listen, h.Listen):
		in.mistake(in.at.of("listen"), "%slisten: the program does not listen on %s%s", in.name, quote(h.Listen), suggest(h.Listen, p.Listen))
	case given || h.HTTP == "" || in.values["listen"] != nil:
	case len(p.Listen) == 0:
		in.mistake(in.at.of("http"), `%shttp: there is nothing to ask, the program needs a listener such as listen = ["http"]`, in.name)
	default:
		h.Listen = p.Listen[0]
	}
}

func (t *table) urlPath(key string, to *string) {
	const must = `a path such as "/readyz"`
	var path string
	if !t.text(key, must, &path) {
		return
	}
	odd := func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, odd) {
		t.wrong(key, must, quote(path))
		return
	}
	*to = path
}
