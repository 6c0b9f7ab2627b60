package ws

import (
	"errors"
	"fmt"
	"slices"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/proto/swap"
)

// closeInternal is 1011 of RFC 6455 section 7.4.1: a condition that the server
// cannot fulfil the request for.
const closeInternal = 1011

// deadly is how many workers a message may kill before its sender is closed.
const deadly = 2

// adopt holds connections of another worker.
func (k *Keeper) adopt(m proto.Adopt, fds []int) {
	if k.role == swap.Waiting { // else it is a straggler, beside any swap
		k.swap = m.Swap
	}
	if len(fds) != len(m.Conns) {
		proto.CloseFDs(fds)
		k.refuse(fmt.Errorf("%d connections came with %d descriptors", len(m.Conns), len(fds)))
		return
	}
	for i, each := range m.Conns {
		if err := k.hold(each, fds[i]); err != nil {
			proto.CloseFDs(fds[i+1:])
			k.refuse(fmt.Errorf("adopt a connection: %w", err))
			return
		}
	}
	k.worker.Send(proto.Built{Swap: m.Swap, N: len(m.Conns)})
}

// hold takes one connection, and owns fd.
func (k *Keeper) hold(each proto.Kept, fd int) error {
	k.mu.Lock()
	_, twice := k.conns[each.ID]
	k.mu.Unlock()
	if twice {
		proto.CloseFDs([]int{fd})
		return nil
	}
	e := &kept{id: each.ID, meta: each.Meta}
	o := k.service.Options
	o.ended = func() { k.ended(e) }
	c, err := Adopt(fd, o)
	if err != nil {
		return err
	}
	c.id, e.conn = each.ID, c
	k.mu.Lock()
	k.conns[e.id] = e
	k.mu.Unlock()
	if k.service.Adopt == nil {
		return nil
	}
	return k.service.Adopt(c, each.Meta)
}

// load takes the state of the connections that are held. What is held and not
// in it has ended meanwhile, or did not come to rest.
func (k *Keeper) load(m proto.Load, fds []int) {
	defer proto.CloseFDs(fds)
	k.swap, k.formats = m.Swap, m.Formats
	if len(fds) != 1 {
		k.refuse(fmt.Errorf("a state came with %d descriptors", len(fds)))
		return
	}
	if err := k.unload(fds[0]); err != nil {
		k.refuse(fmt.Errorf("take the connections' state: %w", err))
		return
	}
	k.cue(swap.CueLoad)
}

func (k *Keeper) unload(fd int) error {
	b, err := unpack(fd)
	if err != nil {
		return err
	}
	c, err := parseCargo(b)
	if err != nil {
		return err
	}
	if k.service.LoadAll != nil {
		if err := k.service.LoadAll(k.formats[formatApp], c.all); err != nil {
			return err
		}
	}
	records := k.arena.Index()
	listed := make(map[uint64]bool, len(c.items))
	for i := range c.items {
		if err := k.fill(&c.items[i], records); err != nil {
			return err
		}
		listed[c.items[i].id] = true
	}
	held, _ := k.all()
	for _, e := range held {
		if !listed[e.id] {
			k.put(e)
		}
	}
	return nil
}

// errMissing: the state names a connection that is not here.
var errMissing = errors.New("a connection is missing")

// fill gives a held connection its state.
func (k *Keeper) fill(it *item, records map[uint64]proto.Record) error {
	k.mu.Lock()
	e := k.conns[it.id]
	k.mu.Unlock()
	if e == nil {
		return errMissing
	}
	if err := e.conn.Load(it.snapshot); err != nil {
		return err
	}
	k.enroll(e, records)
	if it.state == nil || k.service.Load == nil {
		return nil
	}
	return k.service.Load(k.formats[formatApp], e.conn, it.state)
}

// enroll lets a held connection note its boundaries where its owner does.
// Nothing is noted before it is resumed.
func (k *Keeper) enroll(e *kept, records map[uint64]proto.Record) {
	if r, ok := records[e.id]; ok {
		e.record = &r
		e.conn.SetRecord(e.record)
	}
}

// put lets go of a connection that is only held.
func (k *Keeper) put(e *kept) {
	k.mu.Lock()
	delete(k.conns, e.id)
	k.mu.Unlock()
	e.conn.CloseNow()
}

// takeOver goes on with everything.
func (k *Keeper) takeOver() {
	k.arena.Scan()
	held, _ := k.all()
	for _, e := range held {
		e.conn.Resume() // it was loaded: nothing can fail
	}
	k.live()
}

// takeLeft goes on with what dead workers have left at a boundary, and closes
// the rest. What is said to a client first is under way before anything that it
// has said is handled.
func (k *Keeper) takeLeft() {
	records := k.arena.Index()
	k.broken = 0
	held, _ := k.all()
	for _, e := range held {
		k.enroll(e, records)
		if e.record == nil || !e.conn.isSound(e.record.State()) || e.conn.wire.resumeAnd(k.greeting(e)) != nil {
			k.breakOff(e)
		}
	}
	k.arena.Scan()
	k.live()
}

// greeting is what a connection is told after the death of its worker, as soon as
// it is ours.
func (k *Keeper) greeting(e *kept) func(*wire) {
	if e.record.Blame() >= deadly {
		bye := closeFrame(closeInternal, "a message of yours cannot be handled")
		return func(w *wire) { w.goodbye(&farewell{frame: bye, author: byUs}) }
	}
	var first []byte
	if k.service.Recover != nil {
		if m := k.service.Recover(e.conn); m != nil {
			first = append(appendHeader(nil, opText, len(m)), m...)
		}
	}
	return func(w *wire) { w.queue = append(w.queue, first...) }
}

// breakOff ends a connection that its worker has left in the middle of a message.
func (k *Keeper) breakOff(e *kept) {
	k.broken++
	e.conn.wire.shutdown()
	k.mu.Lock()
	delete(k.conns, e.id)
	if e.record != nil {
		k.arena.Free(*e.record, e.id)
	}
	k.send(proto.Drop{IDs: []uint64{e.id}})
	k.mu.Unlock()
	e.conn.CloseNow()
}

// isSound reports whether the stream stands where its dead owner noted a
// boundary.
func (c *Conn) isSound(s proto.RecordState) bool {
	sound := false
	c.wire.raw.Control(func(fd uintptr) {
		read, written, err := StreamPositions(int(fd))
		sound = err == nil && s.Sound(read, written)
	})
	return sound
}

// arrived takes a straggler of the worker before. Whatever is wrong with it
// costs only its client.
func (k *Keeper) arrived(m proto.Late) {
	it, err := k.readLate(m)
	k.mu.Lock()
	e := k.conns[m.ID]
	k.mu.Unlock()
	if e == nil || k.role != swap.Serving {
		return // the supervisor has its descriptor still
	}
	if err == nil {
		k.formats = m.Formats
		err = k.fill(&it, k.claimLate(e))
	}
	if err == nil {
		err = e.conn.Resume()
	}
	if err != nil {
		e.conn.wire.shutdown()
		k.put(e)
		k.mu.Lock()
		k.send(proto.Drop{IDs: []uint64{m.ID}})
		k.mu.Unlock()
		return
	}
	k.live()
}

// readLate takes a straggler's state apart. It may be of a swap with another
// worker than this one, so its formats are looked at again.
func (k *Keeper) readLate(m proto.Late) (item, error) {
	app := len(k.service.Versions) == 0 || slices.Contains(k.service.Versions, m.Formats[formatApp])
	if m.Formats[formatConns] != CargoVersion || !app {
		return item{}, &VersionError{m.Formats[formatConns]}
	}
	it, err := parseItem(m.State)
	if err == nil && it.id != m.ID {
		err = ErrCargo
	}
	return it, err
}

// claimLate takes over the record of a straggler, or gives it one.
func (k *Keeper) claimLate(e *kept) map[uint64]proto.Record {
	r, ok := k.arena.Find(e.id)
	if ok {
		r.Claim(r.Owner(), proto.Owner{})
	} else if r, ok = k.arena.Allocate(e.id); !ok {
		return nil
	}
	return map[uint64]proto.Record{e.id: r}
}

func (k *Keeper) live() {
	if k.service.Live != nil {
		k.service.Live()
	}
}

func (k *Keeper) sayLive() {
	k.worker.Send(proto.Live{Swap: k.swap, N: k.Kept(), Broken: k.broken})
}
