package supervise

import (
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/supervisor/internal/config"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/logs"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// Program is the [Launcher] of real processes.
type Program struct {
	Name   string
	Copies int      // instances of it; 0 means 1
	Path   string   // of the executable, absolute; pinned anew at every reload
	Args   []string // argv, beginning with the program's name
	Env    []string // whole
	Dir    string   // working directory, "" for the supervisor's
	User   *config.Credential
	Output io.Writer  // takes the workers' lines, one a Write, and must not block
	Ring   *logs.Ring // keeps them; nil: nobody does

	// ReadyAfter is how long a program that does not tell when it is ready has to
	// live for that; 0: it tells.
	ReadyAfter time.Duration

	// Sockets returns duplicates of the listening sockets, which are the
	// caller's, or why there are none any more.
	Sockets func() ([]worker.Socket, error)
}

// Pin implements [Launcher].
func (p *Program) Pin() (Build, error) {
	b, err := worker.Pin(p.Path)
	if err != nil {
		return nil, err
	}
	sum, err := b.SHA256()
	if err != nil {
		b.Close()
		return nil, err
	}
	return &executable{b, sum}, nil
}

// Reopen implements [Launcher].
func (p *Program) Reopen(about control.Build, fd int) (Build, error) {
	b, err := worker.Reopen(fd, about.Path)
	if err != nil {
		return nil, err
	}
	return &executable{b, about.SHA256}, nil
}

// Launch implements [Launcher].
func (p *Program) Launch(b Build, s LaunchSpec, notify func(worker.Event)) (Process, error) {
	sockets, err := p.Sockets()
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, s := range sockets {
			unix.Close(s.FD)
		}
	}()
	tail := new(logs.Tail)
	process, err := worker.Start(worker.Spec{
		Build:      b.(*executable).Build,
		Args:       p.Args,
		Env:        append(slices.Clip(p.Env), fmt.Sprintf("%s=%d", EnvInstance, s.Index)),
		Dir:        p.Dir,
		User:       p.user(),
		Sockets:    sockets,
		Generation: s.Gen,
		Arena:      s.Arena,
		Keep:       s.Keep,
		Stdout:     p.stream(s, tail, false),
		Stderr:     p.stream(s, tail, true),
	}, notify)
	if err != nil {
		return nil, err
	}
	p.presume(notify)
	return &running{process, tail}, nil
}

// presume says after a while that a program is ready, which says nothing itself.
// Of one that has ended by then nobody heeds it.
func (p *Program) presume(notify func(worker.Event)) {
	if p.ReadyAfter > 0 {
		time.AfterFunc(p.ReadyAfter, func() { notify(worker.Ready{}) })
	}
}

// Adopt implements [Launcher].
func (p *Program) Adopt(s LaunchSpec, h worker.Handles, notify func(worker.Event)) (Process, error) {
	tail := new(logs.Tail)
	process, err := worker.Adopt(h, p.stream(s, tail, false), p.stream(s, tail, true), notify)
	if err != nil {
		return nil, err
	}
	p.presume(notify)
	return &running{process, tail}, nil
}

// EnvInstance tells a worker which of a program's instances it is, from 0.
const EnvInstance = "SIMPLETALK_INSTANCE"

// stream takes what a worker writes.
func (p *Program) stream(s LaunchSpec, tail *logs.Tail, err bool) *logs.Stream {
	from := logs.Origin{Gen: s.Gen, Instance: s.Index, Several: p.Copies > 1}
	return &logs.Stream{Prefix: fmt.Sprintf("%s%s ", p.Name, from), Output: p.Output, Tail: tail, Ring: p.Ring, From: from, Err: err}
}

func (p *Program) user() *syscall.Credential {
	if p.User == nil {
		return nil
	}
	return &syscall.Credential{Uid: p.User.UID, Gid: p.User.GID, Groups: p.User.Groups}
}

// executable is a pinned build with its checksum.
type executable struct {
	*worker.Build
	sha256 string
}

// Describe implements [Build].
func (e *executable) Describe() control.Build {
	return control.Build{Path: e.Path, SHA256: e.sha256, Pinned: e.Pinned()}
}

// running is a process with the last of what it wrote.
type running struct {
	*worker.Process
	tail *logs.Tail
}

// lastLines is how many lines a verdict's reason carries.
const lastLines = 5

// LastOutput implements [Process].
func (r *running) LastOutput() []string { return r.tail.Last(lastLines) }
