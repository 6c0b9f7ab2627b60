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
	MemoryMax int64      `json:"memory_max,omitempty"` // bytes, beyond which an instance is renewed
	Cron      string     `json:"cron,omitempty"`       // when its instances are renewed
	NextCron  *time.Time `json:"next_cron,omitempty"`
	LogFile   *LogFile   `json:"log_file,omitempty"` // nil: its output is not kept on disk
}

// LogFile is how the log file of a program does.
type LogFile struct {
	Path  string `json:"path"`
	Error string `json:"error,omitempty"` // why it cannot be written at this moment; that is tried again
	Lost  uint64 `json:"lost,omitempty"`  // lines that could not be kept until it could
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
	CPU       float64    `json:"cpu_percent"` // of one processor, over the last seconds
	RSSBytes  int64      `json:"rss_bytes"`
	Draining  []Draining `json:"draining"`
}

// Build is the executable of a worker.
type Build struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Commit  string `json:"commit"` // as the worker told it
	SHA256  string `json:"sha256"`
	Pinned  bool   `json:"pinned"` // a restart runs exactly this content; not so for scripts
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
	At        time.Time `json:"at"`               // when it was asked for
	SwappedMS int64     `json:"swapped_ms"`       // from then until the new build served
	By        string    `json:"by,omitempty"`     // who asked
	Output    []string  `json:"output,omitempty"` // the last lines of a build that failed
}

// Step is one line of a deploy's timeline. The last one carries the deploy
// with its verdict.
type Step struct {
	At     time.Time  `json:"at"`
	Step   string     `json:"step"` // requested, pinned, spawned, ready, adopted, swapped, baking, returning, superseded, accepted, rejected, returned
	Detail string     `json:"detail,omitempty"`
	Until  *time.Time `json:"until,omitempty"` // when the step ends, of baking
	Deploy *Deploy    `json:"deploy,omitempty"`
}

// DeployRequest asks for deploys.
type DeployRequest struct {
	Programs []string `json:"programs,omitempty"` // none means all that are not stopped
	Build    string   `json:"build,omitempty"`    // an executable in place of the configured one, for this deploy
	Rollback bool     `json:"rollback,omitempty"` // the build before, as it was
}

// Requested answers a request for deploys. There is one for each program.
type Requested struct {
	ID      string   `json:"id"` // of the first
	Deploys []Ticket `json:"deploys"`
}

// Ticket names a deploy that was asked for.
type Ticket struct {
	ID      string `json:"id"`
	Program string `json:"program"`
}

// NewProgram adds a program at run time.
type NewProgram struct {
	Name    string            `json:"name"`
	Command []string          `json:"command"`
	Dir     string            `json:"dir"`
	Env     map[string]string `json:"env,omitempty"`
	Listen  []Listen          `json:"listen,omitempty"`

	// ReadyAfter is for a program that does not tell when it is ready: it is when it
	// has lived so long, such as "1s". "": it tells.
	ReadyAfter string `json:"ready_after,omitempty"`
}

// Operation is what can be done to a program beside deploying it.
type Operation string

// Operations on a program.
const (
	OpStart   Operation = "start"
	OpStop    Operation = "stop"
	OpRestart Operation = "restart"
	OpReset   Operation = "reset"
	OpDelete  Operation = "delete"
	OpFlush   Operation = "flush"  // forgets the lines of its log
	OpReopen  Operation = "reopen" // opens its log file anew
)

// Done answers an operation.
type Done struct {
	Program string `json:"program"`
	State   string `json:"state"`             // of the program now
	Warning string `json:"warning,omitempty"` // what could not be done beside it
}

// SignalRequest sends a signal to a program's workers.
type SignalRequest struct {
	Signal string `json:"signal"` // TERM or SIGTERM
}

// Environment is that of a serving worker.
type Environment struct {
	Program   string     `json:"program"`
	Gen       int        `json:"gen"`
	Variables []Variable `json:"variables"` // by name
}

// Variable is one of an environment.
type Variable struct {
	Name  string  `json:"name"`
	Value *string `json:"value,omitempty"` // nil: it was not asked for
}

// Description is everything about a program but the values of its environment,
// which [Environment] alone has.
type Description struct {
	Program   Program   `json:"program"`
	Command   []string  `json:"command"`
	Dir       string    `json:"dir"`
	Env       []string  `json:"env"`       // names
	EnvFiles  []string  `json:"env_files"` // paths
	Listen    []Listen  `json:"listen"`
	Settings  []Setting `json:"settings"`
	From      string    `json:"from"` // the file that names it, "command line" or "run time"
	Deploys   []Deploy  `json:"deploys"`
	LastLines []string  `json:"last_lines"`
}

// Setting is one line of a program's configuration.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// LogQuery says which lines are wanted.
type LogQuery struct {
	Programs []string // none means all
	Lines    int      // the last ones only; 0 means all that are kept
	Since    time.Time
	Err      bool // of stderr only
	Follow   bool // those to come, too
}

// ScaleRequest asks for so many instances of a program.
type ScaleRequest struct {
	Instances int `json:"instances"`
}
