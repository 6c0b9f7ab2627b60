package supervise

import (
	"errors"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// launcher is a Launcher whose workers do what a test tells them, on the
// test's clock.
type launcher struct {
	t *testing.T

	mu sync.Mutex
	manner
	builds    []*build
	processes []*process
	lost      map[int]bool // generations that cannot be adopted
}

// manner is what the next starts are like.
type manner struct {
	pinErr, launchErr   error
	pinTime, launchTime time.Duration    // a slow disk
	behave              func(p *process) // what a new worker does first, on a goroutine of its own
}

func (l *launcher) Pin() (Build, error) {
	l.mu.Lock()
	wait, err := l.pinTime, l.pinErr
	l.mu.Unlock()
	time.Sleep(wait)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &build{t: l.t, number: len(l.builds) + 1}
	l.builds = append(l.builds, b)
	return b, nil
}

func (l *launcher) Reopen(about control.Build, _ int) (Build, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &build{t: l.t}
	if len(about.SHA256) == 1 {
		b.number = int(about.SHA256[0] - '0')
	}
	l.builds = append(l.builds, b)
	return b, nil
}

func (l *launcher) Adopt(spec LaunchSpec, h worker.Handles, notify func(worker.Event)) (Process, error) {
	h.Close()
	gen := spec.Gen
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost[gen] {
		return nil, errLost
	}
	p := &process{gen: gen, notify: notify, lines: []string{"first words"}}
	l.processes = append(l.processes, p)
	return p, nil
}

func (l *launcher) Launch(b Build, s LaunchSpec, notify func(worker.Event)) (Process, error) {
	gen := s.Gen
	l.mu.Lock()
	wait, err, behave := l.launchTime, l.launchErr, l.behave
	l.mu.Unlock()
	time.Sleep(wait)
	if b.(*build).isClosed() {
		l.t.Errorf("generation %d: started from a build that was closed", gen)
	}
	if err != nil {
		return nil, err
	}
	p := &process{build: b.(*build), gen: gen, notify: notify, lines: []string{"first words"}}
	l.mu.Lock()
	l.processes = append(l.processes, p)
	l.mu.Unlock()
	if behave != nil {
		go behave(p)
	}
	return p, nil
}

// worker returns the process of generation gen.
func (l *launcher) worker(gen int) *process {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.processes, func(p *process) bool { return p.gen == gen })
	if i < 0 {
		l.t.Fatalf("generation %d was never started", gen)
	}
	return l.processes[i]
}

// next says what the next starts are like.
func (l *launcher) next(m manner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.manner = m
}

func (l *launcher) pinned() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.builds)
}

// checkLeft complains about what a stopped instance must not leave: a process,
// a build that is still open.
func (l *launcher) checkLeft() {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.processes {
		if !p.hasEnded() {
			l.t.Errorf("generation %d is left running", p.gen)
		}
	}
	for _, b := range l.builds {
		if !b.isClosed() {
			l.t.Errorf("build %d is left open", b.number)
		}
	}
}

// build counts how often it is closed: once is right.
type build struct {
	t      *testing.T
	number int
	mu     sync.Mutex
	closed bool
}

func (b *build) Describe() control.Build {
	return control.Build{Path: "/srv/app", SHA256: string(rune('0' + b.number))}
}

func (b *build) FD() int { return -1 }

func (b *build) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		b.t.Errorf("build %d is closed twice", b.number)
	}
	b.closed = true
	return nil
}

func (b *build) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// process is a worker without a process. It ends by SIGKILL, and by SIGTERM,
// SIGABRT or drain unless it is stubborn.
type process struct {
	build  *build
	gen    int
	notify func(worker.Event)
	lines  []string

	mu       sync.Mutex
	stubborn bool // ignores all but SIGKILL
	mute     bool // answers no ping
	ended    bool
	pauseErr error
	pausing  time.Duration // how long it takes
	paused   int           // how often it was paused, and not resumed yet
	left     int
	got      []proto.Message
	signals  []syscall.Signal
}

func (p *process) PID() int { return 1000 + p.gen }

func (p *process) Handles() worker.Handles {
	return worker.Handles{PID: p.PID(), Pidfd: -1, Control: -1, Stdout: -1, Stderr: -1, Keeper: -1}
}

func (p *process) Guard(worker.Guard) error { return nil }

func (p *process) Unguard() {}

func (p *process) Pause() (func(), error) {
	time.Sleep(p.pausing)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pauseErr != nil {
		return nil, p.pauseErr
	}
	p.paused++
	return func() { p.make(func(p *process) { p.paused-- }) }, nil
}

func (p *process) Leave() { p.make(func(p *process) { p.left++ }) }

func (p *process) LastOutput() []string { return p.lines }

func (p *process) Send(m proto.Message, fds ...int) error {
	proto.CloseFDs(fds)
	p.mu.Lock()
	p.got = append(p.got, m)
	mute, stubborn := p.mute, p.stubborn
	p.mu.Unlock()
	switch m.(type) {
	case proto.Ping:
		if !mute {
			go p.says(proto.Pong{})
		}
	case proto.Rekeep:
		go p.says(proto.Rekept{})
	case proto.Drain:
		if !stubborn {
			go p.exit(worker.Exit{})
		}
	}
	return nil
}

func (p *process) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	p.signals = append(p.signals, sig)
	stubborn := p.stubborn
	p.mu.Unlock()
	if sig == syscall.SIGKILL || !stubborn {
		go p.exit(worker.Exit{Code: -1, Signal: sig})
	}
	return nil
}

// exit ends the process, if it has not ended before.
func (p *process) exit(e worker.Exit) {
	p.mu.Lock()
	again := p.ended
	p.ended = true
	p.mu.Unlock()
	if !again {
		p.notify(worker.Exited{Exit: e})
	}
}

func (p *process) says(m proto.Message) { p.notify(worker.Message{Message: m}) }

// join is what a worker that knows the protocol says first.
func (p *process) join() {
	p.says(proto.Hello{Versions: proto.Versions(), Build: proto.Build{Version: "v1", Commit: "abc"}})
}

// serve is a good worker's start.
func (p *process) serve() {
	p.join()
	p.notify(worker.Ready{})
}

// heard counts the messages of one kind that p was sent.
func heard[M proto.Message](p *process) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.got {
		if _, is := m.(M); is {
			n++
		}
	}
	return n
}

func (p *process) hasEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

func (p *process) make(set func(p *process)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	set(p)
}

// signalled returns the signals it got.
func (p *process) signalled() []syscall.Signal {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.signals)
}

// received returns what it was told of the kind wanted.
func (p *process) received(want proto.Kind) []proto.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.got), func(m proto.Message) bool { return m.Kind() != want })
}

var errLost = errors.New("adopt worker: it comes without its pidfd")

var errDisk = errors.New("/srv/app: no such file")
