package ws

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/proto/swap"
)

// Keeper keeps a worker's connections alive beyond the worker: its supervisor
// gets a duplicate of each, and moves them to the next worker, on a deploy with
// all that is known of them, after a crash with what the kernel and the arena
// know. It is the shell around the worker's half of package swap.
//
// Accept, Note and Gate may be called concurrently.
type Keeper struct {
	worker  *proto.Worker // nil: nobody keeps anything
	arena   *proto.Arena  // nil: the same
	service Service
	mail    *mailbox

	// What follows belongs to the goroutine that takes from the mailbox.
	swap    uint32         // that is under way
	formats map[string]int // agreed for it
	told    proto.Owner    // the word that the supervisor named last
	halting *halting       // the freeze under way
	frozen  []*kept        // what stands still for the swap
	apart   bool           // it is given away one by one
	silence *time.Timer    // runs while frozen
	broken  int            // connections that the last recovery could not save

	mu       sync.Mutex
	changed  *sync.Cond // role, or entering became 0
	role     swap.Role
	open     map[*gate]deadliner // gates that may be inside Accept
	entering int                 // connections being accepted, that the worker owns once they are
	conns    map[uint64]*kept
	lost     bool // the supervisor has not been told everything
}

// kept is a connection that the supervisor has a duplicate of, or that was
// adopted from it. The keeper's mutex guards it.
type kept struct {
	id     uint64
	meta   []byte
	conn   *Conn         // nil while it is being accepted
	record *proto.Record // nil: none
	moving bool          // it goes to another worker: its end here is not its end
}

// NewKeeper returns the keeper of a worker's connections. A nil worker, or one
// that joined without formats, keeps nothing: then Accept is [Accept], and a
// gate is open.
func NewKeeper(w *proto.Worker, s Service) *Keeper {
	k := &Keeper{worker: w, service: s, mail: newMailbox(), conns: map[uint64]*kept{}, open: map[*gate]deadliner{}}
	k.changed = sync.NewCond(&k.mu)
	k.silence = time.AfterFunc(swap.Silence, func() { k.mail.post(func() { k.cue(swap.CueSilence) }) })
	k.silence.Stop()
	switch {
	case w == nil:
		k.become(swap.Serving)
	case w.Arena() != nil:
		k.arena = w.Arena()
	}
	return k
}

// Run is [proto.Worker.Run] with the keeper's part of the handler. It returns
// nil at once without a worker.
func (k *Keeper) Run(ctx context.Context, h proto.Handler) error {
	if k.worker == nil {
		return nil
	}
	stop := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() { k.mail.run(stop) })
	defer loop.Wait()
	defer close(stop)
	drain, stats := h.Drain, h.Stats
	h.Drain = func(ctx context.Context, d proto.Drain) {
		k.beforeDrain(ctx, d)
		if drain != nil {
			drain(ctx, d)
		}
	}
	h.Stats = func() proto.Stats {
		k.mail.post(k.repair)
		if stats == nil {
			return proto.Stats{}
		}
		return stats()
	}
	if k.arena != nil {
		h.Handover = func(m proto.Message, fds []int) { k.mail.post(func() { k.hear(m, fds) }) }
	} else {
		begin := h.Go
		h.Go = func() {
			k.become(swap.Serving)
			if begin != nil {
				begin()
			}
		}
	}
	return k.worker.Run(ctx, h)
}

// Accept is [Accept] of a connection that outlives this worker. meta is what
// the next worker must know of it, if this one dies; [Keeper.Note] changes it.
// While connections stand still it waits. On a worker that has been replaced,
// where a request can still come in over an old HTTP connection, the WebSocket
// is opened and moves on at once.
func (k *Keeper) Accept(w http.ResponseWriter, r *http.Request, o Options, meta []byte) (*Conn, error) {
	if k.arena == nil {
		return Accept(w, r, o)
	}
	k.enter()
	e := &kept{meta: meta}
	o.Keep = func(fd int, id uint64) *proto.Record { return k.keep(e, fd, id) }
	o.ended = func() { k.ended(e) }
	c, err := Accept(w, r, o)
	k.accepted(e, c)
	return c, err
}

// enter waits until this worker may accept, and counts.
func (k *Keeper) enter() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.role != swap.Serving && k.role != swap.Retired {
		k.changed.Wait()
	}
	k.entering++
}

// keep gives the supervisor a duplicate, before the client gets its answer. A
// worker that has been replaced has no record to give.
func (k *Keeper) keep(e *kept, fd int, id uint64) *proto.Record {
	k.mu.Lock()
	defer k.mu.Unlock()
	e.id = id
	if k.role == swap.Serving {
		r, ok := k.arena.Allocate(id)
		if !ok { // as many as there can be: this one ends with its worker
			proto.CloseFDs([]int{fd})
			return nil
		}
		e.record = &r
	}
	k.conns[id] = e
	k.send(proto.Keep{Conns: []proto.Kept{{ID: id, Meta: e.meta}}}, fd)
	return e.record
}

// accepted completes e, or forgets it when c is nil.
func (k *Keeper) accepted(e *kept, c *Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.entering--
	k.changed.Broadcast()
	if k.conns[e.id] != e {
		return
	}
	if c == nil {
		k.forget(e)
		return
	}
	c.id, e.conn = e.id, c
	if k.role != swap.Serving { // a swap came between: it moves by itself
		c.wire.freeze(func() { k.mail.post(func() { k.moveLate(e) }) })
	}
}

// ended forgets a connection that was ours and is over.
func (k *Keeper) ended(e *kept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conns[e.id] == e && !e.moving {
		k.forget(e)
	}
}

// forget tells the supervisor that e is over. mu is held.
func (k *Keeper) forget(e *kept) {
	delete(k.conns, e.id)
	if e.record != nil {
		if k.role.Touches() {
			k.arena.Free(*e.record, e.id)
		} else {
			k.arena.Release(*e.record, e.id)
		}
	}
	k.send(proto.Drop{IDs: []uint64{e.id}})
}

// Note replaces what the next worker must know of a connection, should this
// one die.
func (k *Keeper) Note(c *Conn, meta []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.entry(c)
	if e == nil {
		return
	}
	e.meta = meta
	k.send(proto.Note{Conns: []proto.Kept{{ID: e.id, Meta: meta}}})
}

// entry finds a connection, nil if it is not kept. mu is held.
func (k *Keeper) entry(c *Conn) *kept {
	if e := k.conns[c.id]; e != nil && e.conn == c {
		return e
	}
	return nil
}

// Kept returns how many connections the supervisor has a duplicate of.
func (k *Keeper) Kept() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.conns)
}

// send tells the supervisor something that it may be told again later. mu is
// held.
func (k *Keeper) send(m proto.Message, fds ...int) {
	if errors.Is(k.worker.Send(m, fds...), proto.ErrOverflow) {
		k.lost = true
	}
}

// repair tells the supervisor everything again if it has not been told all.
func (k *Keeper) repair() {
	k.mu.Lock()
	lost := k.lost
	k.mu.Unlock()
	if lost {
		k.rekeep()
	}
}

// Sizes of a message with many connections.
const (
	batchConns = 200
	batchBytes = 40 << 10 // of metas, before their encoding
)

// rekeep tells the supervisor of every connection again, with a descriptor.
func (k *Keeper) rekeep() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lost = false
	var batch proto.Keep
	var fds []int
	size := 0
	told := 0
	flush := func() {
		if len(fds) > 0 {
			batch.Anew = told == len(fds)
			k.send(batch, fds...)
		}
		batch, fds, size = proto.Keep{}, nil, 0
	}
	if k.role != swap.Waiting && k.role != swap.Loaded { // what is only held is another's to tell
		for _, e := range k.conns {
			if e.conn == nil {
				k.lost = true // it is being accepted: another time
				continue
			}
			fd, _, err := e.conn.Duplicate()
			if err != nil {
				continue // it ends
			}
			batch.Conns = append(batch.Conns, proto.Kept{ID: e.id, Meta: e.meta})
			fds = append(fds, fd)
			told++
			if size += len(e.meta); len(fds) == batchConns || size >= batchBytes {
				flush()
			}
		}
		flush()
	}
	k.send(proto.Rekept{N: told, Role: k.role.String(), Swap: k.swap})
}

// mailbox is a queue without a limit whose sender never waits. What is posted
// runs in order, one at a time.
type mailbox struct {
	ready chan struct{}
	mu    sync.Mutex
	queue []func()
}

func newMailbox() *mailbox { return &mailbox{ready: make(chan struct{}, 1)} }

func (m *mailbox) post(f func()) {
	m.mu.Lock()
	m.queue = append(m.queue, f)
	m.mu.Unlock()
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

// run runs what is posted until stop is closed, then what was posted by then.
func (m *mailbox) run(stop <-chan struct{}) {
	for {
		select {
		case <-m.ready:
			m.empty()
		case <-stop:
			m.empty()
			return
		}
	}
}

func (m *mailbox) empty() {
	for {
		m.mu.Lock()
		queue := m.queue
		m.queue = nil
		m.mu.Unlock()
		if len(queue) == 0 {
			return
		}
		for _, f := range queue {
			f()
		}
	}
}
