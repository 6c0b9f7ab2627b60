//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/supervisor/internal/control"
	"github.com/simpletalk/simpletalk/supervisor/internal/fdstore"
	"github.com/simpletalk/simpletalk/supervisor/internal/fleet"
	"github.com/simpletalk/simpletalk/supervisor/internal/upgrade"
	"github.com/simpletalk/simpletalk/supervisor/internal/worker"
)

// Names in the store of what only an upgrade passes on.
const (
	storedAPI       = "api"       // the listening socket of the control API
	storedPostponed = "postponed" // document of the deploys that the next supervisor does
)

// upgrading is the upgrades of a supervisor, one at a time. Deploys that are asked
// for meanwhile are for the next one, or rejected with the upgrade.
type upgrading struct {
	*upgrade.Upgrader
	d *daemon

	mu        sync.Mutex
	underWay  bool
	postponed []fleet.Postponed // since it began
	written   int               // of them, that the next supervisor knows

	attempts sync.WaitGroup
}

// Deploy implements [control.Backend]: when there is another build of the
// supervisor, that does it.
func (d *daemon) Deploy(ctx context.Context, r control.DeployRequest, by string) (control.Requested, error) {
	u := d.upgrades
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.underWay && (r.Rollback || !u.wanted()) {
		return d.Fleet.Deploy(ctx, r, by)
	}
	p, asked, err := d.Fleet.Postpone(r, by)
	if err != nil || len(p.Begun) == 0 {
		return asked, err
	}
	u.postponed = append(u.postponed, p)
	if !u.underWay {
		u.underWay = true
		u.attempts.Go(u.attempt)
	}
	return asked, nil
}

// Hangup is the deploy of everything that SIGHUP asks for.
func (d *daemon) Hangup() {
	r, err := d.Deploy(context.Background(), control.DeployRequest{}, "SIGHUP")
	if err != nil {
		d.log.Error("reload refused", "err", err)
	}
	for _, t := range r.Deploys {
		d.log.Info("reload requested", "program", t.Program, "deploy", t.ID, "by", "SIGHUP")
	}
}

// wanted reports whether there is another build of the supervisor. One that
// cannot be looked at is no reason not to deploy.
func (u *upgrading) wanted() bool {
	changed, err := u.Changed()
	if err != nil {
		u.d.log.Warn("own executable not compared", "err", err)
	}
	return changed && err == nil
}

// attempt replaces this process, or has everything be as before.
func (u *upgrading) attempt() {
	d := u.d
	d.log.Info("upgrading", "path", u.Path(), "pid", os.Getpid())
	u.step("upgrading", "the supervisor to "+u.Path())
	d.Calm(d.ending)
	t := turn{u: u}
	err := check(u.Path())
	if err == nil {
		err = u.Upgrade(t.give)
	}
	if err == nil {
		t.leave()
		d.depart()
	}
	t.takeBack()
	u.reject(fmt.Errorf("the new supervisor did not take over, so nothing was changed: %w", err))
}

// check refuses what could not be started.
func check(path string) error {
	b, err := worker.Pin(path)
	if err != nil {
		return err
	}
	return b.Close()
}

// step adds to the timeline of every deploy that was postponed.
func (u *upgrading) step(name, detail string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, p := range u.postponed {
		for _, id := range p.Begun {
			u.d.Book.Step(id, name, detail)
		}
	}
}

// reject ends the upgrade and every deploy that was postponed.
func (u *upgrading) reject(why error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.d.log.Error("supervisor not upgraded", "err", why)
	for _, p := range u.postponed {
		for _, id := range p.Begun {
			u.d.Book.RejectBegun(id, why.Error())
		}
	}
	u.postponed, u.underWay = nil, false
}

// turn is what one attempt has made stand still.
type turn struct {
	u      *upgrading
	serve  func() // the API again
	resume func() // the programs again
	left   func() // the programs are another supervisor's
	doc    *fdstore.Document
}

// give has everything stand still and returns what the next supervisor goes on
// with.
func (t *turn) give() (map[string]int, error) {
	d := t.u.d
	t.serve = d.apiTurns.cut()
	var err error
	if t.resume, t.left, err = d.Pause(d.ending); err != nil {
		return nil, err
	}
	if err := t.write(); err != nil {
		return nil, err
	}
	d.store.Hold(storedAPI, d.apiFD)
	return d.store.All(), writeBook(d.Book, d.dir)
}

// write has the next supervisor know what it is to deploy.
func (t *turn) write() error {
	u := t.u
	u.mu.Lock()
	defer u.mu.Unlock()
	text, err := json.Marshal(u.postponed)
	if err != nil {
		return err
	}
	if t.doc, err = fdstore.NewDocument(storedPostponed); err != nil {
		return err
	}
	u.d.store.Hold(storedPostponed, t.doc.FD())
	u.written = len(u.postponed)
	return t.doc.Write(string(text))
}

// takeBack has everything go on here.
func (t *turn) takeBack() {
	d := t.u.d
	d.store.Remove(storedAPI, storedPostponed)
	if t.doc != nil {
		t.doc.Close()
	}
	if t.resume != nil {
		t.resume()
	}
	if t.serve == nil {
		return
	}
	t.serve()
	if err := d.dir.WritePID(); err != nil { // the other one may have written its own
		d.log.Error("PID file", "err", err)
	}
}

// leave passes on what came in the last moment.
func (t *turn) leave() {
	d := t.u.d
	t.left()
	next := d.dir.ReadPID()
	if next <= 1 {
		return
	}
	t.u.mu.Lock()
	late := len(t.u.postponed) > t.u.written
	t.u.mu.Unlock()
	if late {
		syscall.Kill(next, syscall.SIGHUP)
	}
	if d.ending.Err() != nil {
		syscall.Kill(next, syscall.SIGTERM)
	}
}

// depart ends this process, which is not the supervisor any more, without
// touching anything.
func (d *daemon) depart() {
	d.log.Info("upgraded", "pid", os.Getpid())
	d.flush()
	if d.standsIn() {
		standIn(d.dir.PIDPath(), d.dir.ReadPID())
	}
	os.Exit(exitFine)
}

// succeed makes this process the supervisor in place of the one before, which has
// given it everything.
func (d *daemon) succeed(ctx context.Context) error {
	if err := d.Fleet.Check(); err != nil {
		return err
	}
	if err := d.dir.WritePID(); err != nil {
		return err
	}
	if err := d.upgrades.TakeOver(ctx); err != nil {
		return err
	}
	leaveTerminalGroup()
	return d.lockWithin(lockPatience)
}

// postponedBefore reads what the supervisor before has left to be deployed.
func (d *daemon) postponedBefore() (all []fleet.Postponed, err error) {
	fd, ok := d.store.Take(storedPostponed)
	if !ok {
		return nil, nil
	}
	d.store.Remove(storedPostponed)
	doc, text, err := fdstore.OpenDocument(fd)
	if err != nil {
		return nil, err
	}
	defer doc.Close()
	err = json.Unmarshal([]byte(text), &all)
	return all, err
}

// apiTurns is the times in which this process serves the control API, between
// upgrades that may or may not come about.
type apiTurns struct {
	mu   sync.Mutex
	stop context.CancelCauseFunc // of the present turn
	over chan struct{}           // closed when that has ended
	next chan struct{}           // closed when another one may begin
}

// cut ends the present turn, and returns what begins the next one.
func (a *apiTurns) cut() (again func()) {
	a.mu.Lock()
	stop, over, next := a.stop, a.over, make(chan struct{})
	a.next = next
	a.mu.Unlock()
	stop(control.ErrMoved)
	<-over
	return func() { close(next) }
}

// run serves the API on duplicates of fd until ctx ends.
func (a *apiTurns) run(ctx context.Context, s *control.Server, fd int) error {
	for {
		l, err := listenerOn(fd)
		if err != nil {
			return err
		}
		turn, stop := context.WithCancelCause(ctx)
		over := make(chan struct{})
		a.mu.Lock()
		a.stop, a.over = stop, over
		a.mu.Unlock()
		err = s.Serve(turn, l)
		close(over)
		if !errors.Is(context.Cause(turn), control.ErrMoved) {
			stop(nil)
			return err
		}
		a.mu.Lock()
		next := a.next
		a.mu.Unlock()
		select {
		case <-next:
		case <-ctx.Done():
			return nil
		}
	}
}

// listenerOn is a listener on a duplicate of a descriptor.
func listenerOn(fd int) (net.Listener, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	f := os.NewFile(uintptr(dup), "control socket")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	return l, nil
}

// duplicateOf is another descriptor of a listener's socket.
func duplicateOf(l net.Listener) (fd int, err error) {
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1, err
	}
	var dupErr error
	err = raw.Control(func(s uintptr) { fd, dupErr = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(err, dupErr)
}

// performPostponed does what the supervisor before has left to be deployed.
func (d *daemon) performPostponed() {
	<-d.Begun()
	for _, p := range d.postponed {
		d.Fleet.Perform(p)
	}
}
