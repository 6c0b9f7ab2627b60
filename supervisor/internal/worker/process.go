package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
)

const (
	// outputPipe is the size asked for the pipes of a worker's output, so that
	// a burst does not block it (F_SETPIPE_SZ, fcntl(2)).
	outputPipe = 1 << 20

	// outputGrace is how long a dead worker's output is still waited for: a
	// process that left its group may hold the pipe for ever.
	outputGrace = time.Second
)

// Socket is a listening socket to be given to a worker. FD stays the caller's.
type Socket struct {
	Name string
	FD   int
}

// Spec says what to start.
type Spec struct {
	Build      *Build
	Args       []string            // argv, beginning with the program's name
	Env        []string            // without the variables of the contract
	Dir        string              // working directory, "" for the supervisor's
	User       *syscall.Credential // nil: the supervisor's own
	Sockets    []Socket
	Generation int
	Keep       func(Handles) // takes note of them before the worker is started, without its process; nil: nobody comes after
	Arena      int           // descriptor of the instance's arena, which stays the caller's; 0: its connections are not kept

	// Stdout and Stderr receive the output as it comes. They must not block.
	// Each is closed when the last of it has arrived.
	Stdout, Stderr io.WriteCloser
}

// Event is something a worker said or did: [Ready], [Message], [Broken] or [Exited].
type Event interface{ event() }

// Ready says that the worker serves, by either way of saying it.
type Ready struct{}

// Message is a message of the control socket, other than ready. Its descriptors
// are the receiver's to close.
type Message struct {
	proto.Message
	FDs []int
}

// Broken says that the worker broke the rules of the control socket.
type Broken struct{ Err error }

// Exited says that the worker has ended, that nothing of its process group is
// left and that its output has been read. It is the last event.
type Exited struct{ Exit }

func (Ready) event()   {}
func (Message) event() {}
func (Broken) event()  {}
func (Exited) event()  {}

// Process is a running worker. Its methods may be called concurrently.
type Process struct {
	pid            int
	handles        Handles // for a supervisor that comes after this one
	peer           *proto.Peer
	stdout, stderr *outlet
	notify         func(Event)
	ended          chan struct{} // closed when it is dead

	mu     sync.Mutex
	dead   bool   // reaped: the pid may be another process by now
	leash  *leash // of its keeper; nil: it has none
	free   bool   // it ends by itself, and is never given a keeper any more
	killed bool   // it was sent SIGKILL
	said   string // why it ends, by its bye
}

// Start starts a worker in a process group of its own. notify is called with
// every event, from several goroutines, until [Exited]; it must not block.
func Start(spec Spec, notify func(Event)) (*Process, error) {
	k, err := openKit()
	if err != nil {
		return nil, err
	}
	handles := k.handles()
	if spec.Keep != nil {
		spec.Keep(handles)
	}
	pid, err := k.fork(spec)
	k.closeTheirs()
	if err != nil {
		k.closeOurs()
		handles.Close()
		return nil, fmt.Errorf("start %s: %w", spec.Build.Path, err)
	}
	handles.becomes(pid)
	p := k.process(handles, spec.Stdout, spec.Stderr, notify)
	p.greet(spec)
	go p.attend(k, p.reap)
	return p, nil
}

// process is what serves a worker with those handles.
func (k *kit) process(h Handles, stdout, stderr io.WriteCloser, notify func(Event)) *Process {
	return &Process{
		pid: h.PID, handles: h, peer: proto.NewPeer(k.control),
		stdout: newOutlet(k.stdout, stdout), stderr: newOutlet(k.stderr, stderr),
		notify: notify, ended: make(chan struct{}),
	}
}

// greet says hello. A process without descriptors to spare for the arena runs
// all the same: its connections are not kept.
func (p *Process) greet(spec Spec) {
	var fds []int
	if spec.Arena > 0 {
		if fd, err := unix.FcntlInt(uintptr(spec.Arena), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			fds = append(fds, fd)
		}
	}
	p.Send(proto.Hello{Versions: proto.Versions(), Generation: spec.Generation}, fds...)
}

// kit is what is made for one start: the supervisor's ends and the worker's.
type kit struct {
	control        *proto.Conn
	notify         *notifySocket
	stdout, stderr *os.File // read ends

	null, outW, errW, controlW int // the worker's
}

func openKit() (k *kit, err error) {
	k = &kit{null: -1, outW: -1, errW: -1, controlW: -1}
	defer func() {
		if err != nil {
			k.closeTheirs()
			k.closeOurs()
		}
	}()
	if k.null, err = unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return k, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	if k.stdout, k.outW, err = openPipe("stdout"); err != nil {
		return k, err
	}
	if k.stderr, k.errW, err = openPipe("stderr"); err != nil {
		return k, err
	}
	if k.control, k.controlW, err = proto.Pair(); err != nil {
		return k, err
	}
	k.notify, err = listenNotify()
	return k, err
}

// openPipe returns a pipe whose read end is for our poller and whose write end
// blocks, as programs expect of their output.
func openPipe(name string) (r *os.File, w int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, -1, fmt.Errorf("open pipe for %s: %w", name, err)
	}
	unix.SetNonblock(fds[0], true)
	unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, outputPipe) // over the user's limit it stays 64 KiB
	return os.NewFile(uintptr(fds[0]), name), fds[1], nil
}

func (k *kit) closeTheirs() {
	for _, fd := range []int{k.null, k.outW, k.errW, k.controlW} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func (k *kit) closeOurs() {
	for _, f := range []*os.File{k.stdout, k.stderr} {
		if f != nil {
			f.Close()
		}
	}
	if k.control != nil {
		k.control.Close()
	}
	if k.notify != nil {
		k.notify.close()
	}
}

// fork starts the process; see [ExecIfAsked] for what runs first in it. Raw
// descriptors go to syscall.ForkExec, because os/exec would make the shared
// listening sockets blocking.
func (k *kit) fork(spec Spec) (pid int, err error) {
	files := []uintptr{uintptr(k.null), uintptr(k.outW), uintptr(k.errW)}
	for _, s := range spec.Sockets {
		files = append(files, uintptr(s.FD))
	}
	control := len(files)
	files = append(files, uintptr(k.controlW))
	build := "-"
	if spec.Build.Pinned() {
		build = strconv.Itoa(len(files))
		fd, err := rawFD(spec.Build.file)
		if err != nil {
			return 0, err
		}
		files = append(files, fd)
	}
	argv := slices.Concat([]string{execName, build, spec.Build.Path}, spec.Args)
	return syscall.ForkExec("/proc/self/exe", argv, &syscall.ProcAttr{
		Dir:   spec.Dir,
		Env:   slices.Concat(spec.Env, contract(spec.Sockets, control, k.notify.name)),
		Files: files,
		Sys:   &syscall.SysProcAttr{Setpgid: true, Credential: spec.User},
	})
}

func rawFD(f *os.File) (fd uintptr, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Control(func(s uintptr) { fd = s })
	return fd, err
}

// PID is the worker's process id.
func (p *Process) PID() int { return p.pid }

// Send sends a message to the worker; see [proto.Peer.Send].
func (p *Process) Send(m proto.Message, fds ...int) error { return p.peer.Send(m, fds...) }

// Signal sends sig to the worker's process group. After its end it does
// nothing.
func (p *Process) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return nil
	}
	p.killed = p.killed || sig == unix.SIGKILL
	return unix.Kill(-p.pid, sig)
}

// attend serves the worker's sockets and pipes until it has ended and tells
// every event. What the worker has said before its end is heard before the end
// is told.
func (p *Process) attend(k *kit, await func() Exit) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var talk, output, notify sync.WaitGroup
	talk.Go(func() { p.converse(ctx) })
	if k.notify != nil {
		notify.Go(func() { k.notify.receive(func() { p.notify(Ready{}) }) })
	}
	output.Go(p.stdout.drain)
	output.Go(p.stderr.drain)

	exit := await()
	p.Unguard()
	late := time.AfterFunc(outputGrace, func() { k.stdout.Close(); k.stderr.Close(); cancel() })
	output.Wait()
	talk.Wait() // ends with the control socket, of which somebody may hold a copy
	late.Stop()
	if k.notify != nil {
		k.notify.close()
	}
	notify.Wait()
	k.stdout.Close()
	k.stderr.Close()
	if exit.Unknown {
		exit.Said = p.said
	}
	p.notify(Exited{exit})
}

// errSilent says that a worker cannot be told anything any more.
var errSilent = errors.New("it closed its control socket and lives on")

// converse hands on what the worker says. Its EOF is only a hint: the worker is
// about to end. One that does not has left its supervisor.
func (p *Process) converse(ctx context.Context) {
	joined, bye := p.handles.Joined, false
	err := p.peer.Run(ctx, func(m proto.Message, fds []int) {
		switch m := m.(type) {
		case proto.Ready:
			proto.CloseFDs(fds)
			p.notify(Ready{})
			return
		case proto.Hello:
			joined = true
		case proto.Bye:
			bye = true
			p.mu.Lock()
			p.said = m.Reason
			p.mu.Unlock()
		}
		p.notify(Message{m, fds})
	})
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF):
		p.notify(Broken{err})
	case joined && !bye:
		p.awaitEnd(ctx)
	}
}

// endGrace is how long a worker may live on without its control socket: the
// kernel closes it before a dead process can be reaped.
const endGrace = 500 * time.Millisecond

// awaitEnd tells when the worker outlives its control socket.
func (p *Process) awaitEnd(ctx context.Context) {
	t := time.NewTimer(endGrace)
	defer t.Stop()
	select {
	case <-t.C:
		p.notify(Broken{errSilent})
	case <-p.ended:
	case <-ctx.Done():
	}
}

// Pause has everything of the worker left where it is, for another process to go
// on with: what had been said before has been handled and told, and its output
// been read so far. It must not be called by notify. resume goes on; without it
// only the end of this process may follow.
func (p *Process) Pause() (resume func(), err error) {
	talk, err := p.peer.Pause()
	if errors.Is(err, io.EOF) {
		talk, err = func() {}, nil // it is about to end, or has
	}
	if err != nil {
		return nil, err
	}
	stdout, stderr := p.stdout.pause(), p.stderr.pause()
	return func() { stderr(); stdout(); talk() }, nil
}

// Leave says that another process has gone on with a worker that is paused. A
// line that was read by half is written as it is.
func (p *Process) Leave() {
	p.stdout.to.Close()
	p.stderr.to.Close()
}

// reap waits for the worker's end, ends what it left in its group while its
// pid is still reserved, and takes its exit status.
func (p *Process) reap() Exit {
	for unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	unix.Kill(-p.pid, unix.SIGKILL)
	var ws syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(p.pid, &ws, 0, nil); err != syscall.EINTR {
			break
		}
	}
	p.dead = true
	close(p.ended)
	return exitOf(ws)
}
