package ws

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/simpletalk/simpletalk/proto"
)

// envOwner makes the test binary an owner: a process that serves connections,
// told what to do by its parent over descriptor 3. Descriptor 4 is an arena.
const envOwner = "WS_TEST_OWNER"

// What a parent says, one byte before the number of a connection and bytes
// that belong to it.
const (
	sayAdopt   = 'a' // with a descriptor: hold it
	sayRecover = 'r' // with a descriptor, or of one held: go on with its record, or a new one
	sayFreeze  = 'f' // all; answered by a snapshot for each, then sayFreeze
	sayLoad    = 'l' // a snapshot
	sayGo      = 'g' // resume all
	sayThaw    = 't' // all
	sayRelease = 'x' // all, and end
)

func packet(say byte, n int, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{say}, uint32(n)), b...)
}

// owner is the child's part.
type owner struct {
	control *proto.Conn
	arena   *proto.Arena
	conns   map[int]*Conn
	served  chan error
}

func own() error {
	control, err := proto.NewConn(3)
	if err != nil {
		return err
	}
	arena, err := proto.MapArena(4)
	if err != nil {
		return err
	}
	o := &owner{control, arena, map[int]*Conn{}, make(chan error)}
	for {
		p, fds, err := control.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		more, err := o.do(p[0], int(binary.BigEndian.Uint32(p[1:])), p[5:], fds)
		if err != nil || !more {
			return err
		}
	}
}

func (o *owner) do(say byte, n int, b []byte, fds []int) (more bool, err error) {
	switch say {
	case sayAdopt:
		return true, o.adopt(n, fds[0])
	case sayRecover:
		if len(fds) > 0 {
			if err := o.adopt(n, fds[0]); err != nil {
				return false, err
			}
		}
		return true, o.recover(o.conns[n])
	case sayFreeze:
		return true, o.freeze()
	case sayLoad:
		return true, o.conns[n].Load(b)
	case sayGo:
		return true, o.each(func(_ int, c *Conn) error { return c.Resume() }, sayGo)
	case sayThaw:
		return true, o.each(func(_ int, c *Conn) error { c.Thaw(); return nil }, sayThaw)
	case sayRelease:
		err := o.each(func(_ int, c *Conn) error { return c.Release() }, sayRelease)
		for range o.conns {
			if end := <-o.served; end != ErrMoved && err == nil {
				err = fmt.Errorf("served until %w", end)
			}
		}
		return false, err
	}
	return true, nil
}

func (o *owner) adopt(n, fd int) error {
	c, err := Adopt(fd, Options{})
	if err != nil {
		return err
	}
	o.conns[n] = c
	go func() { o.served <- c.Serve(func(_ Type, data []byte) { c.Write(data) }) }()
	return nil
}

// recover makes a connection without a snapshot ours.
func (o *owner) recover(c *Conn) error {
	fd, id, err := c.Duplicate()
	if err != nil {
		return err
	}
	proto.CloseFDs([]int{fd})
	r, ok := o.arena.Find(id)
	if !ok {
		r, ok = o.arena.Allocate(id)
	}
	if !ok {
		return errors.New("the arena is full")
	}
	c.SetRecord(&r)
	return c.Resume()
}

func (o *owner) freeze() error {
	done := make(chan *Conn, len(o.conns))
	for _, c := range o.conns {
		c.Freeze(done)
	}
	for range o.conns {
		<-done
	}
	return o.each(func(n int, c *Conn) error {
		snap, err := c.Snapshot(nil)
		if err != nil {
			return err
		}
		return o.control.Send(packet(sayLoad, n, snap))
	}, sayFreeze)
}

func (o *owner) each(do func(int, *Conn) error, answer byte) error {
	for n, c := range o.conns {
		if err := do(n, c); err != nil {
			return fmt.Errorf("connection %d: %w", n, err)
		}
	}
	return o.control.Send(packet(answer, 0, nil))
}

// process is a parent's view of an owner.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	control *proto.Conn
}

func startOwner(t *testing.T, arena *os.File) *process {
	t.Helper()
	ours, theirs, err := proto.Pair()
	if err != nil {
		t.Fatal(err)
	}
	end := os.NewFile(uintptr(theirs), "control")
	defer end.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envOwner+"=1")
	cmd.ExtraFiles = []*os.File{end, arena}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &process{t, cmd, ours}
}

func (p *process) say(say byte, n int, b []byte, fds ...int) {
	p.t.Helper()
	if err := p.control.Send(packet(say, n, b), fds...); err != nil {
		p.t.Fatal(err)
	}
}

// expect waits for an answer, and hands what comes before it to each.
func (p *process) expect(answer byte, each func(n int, b []byte)) {
	p.t.Helper()
	for {
		b, _, err := p.control.Recv()
		if err != nil {
			p.t.Fatalf("wait for %c: %v", answer, err)
		}
		if b[0] == answer {
			return
		}
		each(int(binary.BigEndian.Uint32(b[1:])), b[5:])
	}
}

// end waits for the process, killed or not.
func (p *process) end(kill bool) {
	p.t.Helper()
	if kill {
		p.cmd.Process.Kill()
	}
	if err := p.cmd.Wait(); err != nil && !kill {
		p.t.Errorf("owner: %v", err)
	}
	p.control.Close()
}

// makeArena makes an arena as the supervisor does.
func makeArena(t *testing.T, records int) *os.File {
	t.Helper()
	fd, err := proto.MakeArena(records)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "arena")
	t.Cleanup(func() { f.Close() })
	return f
}
