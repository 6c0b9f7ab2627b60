package ws

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/proto/swap"
)

const (
	// enterLimit is how long connections that are being accepted when a freeze
	// begins may take; later ones move by themselves.
	enterLimit = 250 * time.Millisecond

	// stragglerLimit is how long a drain leaves stragglers alone, so that they
	// move rather than being closed.
	stragglerLimit = 3 * time.Second

	// maxLate is how many stragglers one packet can name.
	maxLate = 2000

	// apartAtOnce is how many connections are on their way that are given away
	// apart: the queues between are bounded.
	apartAtOnce = 128
)

// halting is a freeze under way.
type halting struct {
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

// hear does what the supervisor asks.
func (k *Keeper) hear(m proto.Message, fds []int) {
	switch m := m.(type) {
	case proto.Adopt:
		k.adopt(m, fds)
		return
	case proto.Load:
		k.load(m, fds)
		return
	}
	proto.CloseFDs(fds)
	switch m := m.(type) {
	case proto.Go:
		k.swap, k.told = m.Swap, m.From
		k.cue(swap.CueGo)
	case proto.Recover:
		k.swap, k.told = m.Swap, m.From
		k.cue(swap.CueRecover)
	case proto.Freeze:
		k.freeze(m)
	case proto.Resume:
		if m.Swap == k.swap {
			k.cue(swap.CueResume)
		}
	case proto.Release:
		k.released(m)
	case proto.Late:
		k.arrived(m)
	case proto.Rekeep:
		k.rekeep()
	}
}

// cue lets happen what package swap says.
func (k *Keeper) cue(c swap.Cue) {
	s := swap.Next(k.role, c)
	then := s.Won
	if s.Claim != swap.NoClaim {
		if from, to := s.Claim.Words(uint32(k.worker.Generation()), k.swap, k.told); !k.arena.Claim(from, to) {
			then = s.Lost
		}
	}
	k.become(then.Role)
	for _, d := range then.Deeds {
		k.do(d)
	}
}

// become makes role known to those who wait for it. Only the mailbox's
// goroutine changes it, so that goroutine reads it without the mutex.
func (k *Keeper) become(r swap.Role) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.role = r
	if r != swap.Serving {
		k.shutGates()
	}
	k.changed.Broadcast()
}

func (k *Keeper) do(d swap.Deed) {
	switch d {
	case swap.Halt: // the role has shut the gates; freeze goes on
	case swap.SayFrozen:
		k.sayFrozen()
	case swap.Thaw:
		k.thaw()
	case swap.LetGo:
		k.letGo()
	case swap.TakeOver:
		k.takeOver()
	case swap.TakeLeft:
		k.takeLeft()
	case swap.SayLoaded:
		k.worker.Send(proto.Loaded{Swap: k.swap, N: len(k.conns)})
	case swap.SayLive:
		k.sayLive()
	case swap.SayRefused:
		k.refuse(fmt.Errorf("the connections' owner is %v, not %v", k.arena.Owner(), k.told))
	}
}

// refuse says that the swap cannot go on as far as this worker is concerned.
func (k *Keeper) refuse(why error) {
	k.worker.Send(proto.Refused{Swap: k.swap, Why: why.Error()})
}

// freeze begins to let everything stand still.
func (k *Keeper) freeze(m proto.Freeze) {
	if k.role != swap.Serving {
		k.worker.Send(proto.Refused{Swap: m.Swap, Why: fmt.Sprintf("this worker is %v", k.role)})
		return
	}
	k.swap, k.formats = m.Swap, m.Formats
	if v := m.Formats[formatConns]; v != CargoVersion {
		k.refuse(fmt.Errorf("this build does not write version %d of the connections' state", v))
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &halting{cancel: cancel}
	k.halting = h
	k.cue(swap.CueFreeze)
	h.ended.Go(func() {
		k.still(ctx, time.Duration(m.DeadlineMS)*time.Millisecond)
		k.mail.post(func() {
			if k.halting == h {
				k.cue(swap.CueQuiet)
			}
		})
	})
}

// still freezes every connection and returns when all stand still, the limit
// is over or ctx ends.
func (k *Keeper) still(ctx context.Context, limit time.Duration) {
	k.awaitEntered(ctx)
	conns, _ := k.all()
	var moving atomic.Int64
	var late atomic.Bool
	moving.Store(int64(len(conns)) + 1)
	all := make(chan struct{})
	done := func() {
		if moving.Add(-1) == 0 {
			close(all)
		}
	}
	for _, e := range conns {
		e.conn.wire.freeze(func() {
			done()
			if late.Load() { // the state may be on its way without this one
				k.mail.post(func() { k.moveLate(e) })
			}
		})
	}
	done()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-all:
	case <-t.C:
	case <-ctx.Done():
	}
	late.Store(true)
}

// all returns every connection there is at this moment, and those that are
// still being accepted.
func (k *Keeper) all() (there, coming []*kept) {
	k.mu.Lock()
	defer k.mu.Unlock()
	there = make([]*kept, 0, len(k.conns))
	for _, e := range k.conns {
		if e.conn != nil {
			there = append(there, e)
		} else {
			coming = append(coming, e)
		}
	}
	return there, coming
}

// awaitEntered waits until nobody is being accepted; who takes too long moves
// by itself.
func (k *Keeper) awaitEntered(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, enterLimit)
	defer cancel()
	k.await(ctx, func() bool { return k.entering == 0 })
}

// await waits until cond, which is called with mu held, or ctx ends.
func (k *Keeper) await(ctx context.Context, cond func() bool) {
	defer context.AfterFunc(ctx, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.changed.Broadcast()
	})()
	k.mu.Lock()
	defer k.mu.Unlock()
	for !cond() && ctx.Err() == nil {
		k.changed.Wait()
	}
}

// sayFrozen tells the state of everything that stands still.
func (k *Keeper) sayFrozen() {
	cargo, late, err := k.gather()
	var fd int
	if err == nil && len(late) > maxLate {
		err = fmt.Errorf("%d connections are busy", len(late))
	}
	if err == nil {
		fd, err = pack(cargo.append(nil))
	}
	if err != nil {
		k.refuse(err)
		k.cue(swap.CueResume)
		return
	}
	k.worker.Send(proto.Frozen{Swap: k.swap, N: len(cargo.items), Late: late}, fd)
	k.silence.Reset(swap.Silence)
}

// gather takes the state of what stands still, and names the rest.
func (k *Keeper) gather() (c cargo, late []uint64, err error) {
	k.frozen = k.frozen[:0]
	there, coming := k.all()
	for _, e := range coming {
		late = append(late, e.id)
		k.straggle(e)
	}
	for _, e := range there {
		it, err := k.pick(e)
		if errors.Is(err, errSave) {
			return c, nil, err
		}
		if err != nil {
			late = append(late, e.id)
			k.straggle(e)
			continue
		}
		c.items = append(c.items, it)
		k.frozen = append(k.frozen, e)
	}
	if k.service.SaveAll != nil {
		if c.all, err = k.service.SaveAll(k.formats[formatApp]); err != nil {
			return c, nil, fmt.Errorf("%w: %w", errSave, err)
		}
	}
	return c, late, nil
}

// errSave: the application cannot tell its state.
var errSave = errors.New("save the application's state")

// pick takes the state of one connection that stands still.
func (k *Keeper) pick(e *kept) (it item, err error) {
	it.id = e.id
	if it.snapshot, err = e.conn.Snapshot(nil); err != nil {
		return it, err
	}
	if k.service.Save != nil {
		if it.state, err = k.service.Save(k.formats[formatApp], e.conn); err != nil {
			return it, fmt.Errorf("%w: %w", errSave, err)
		}
	}
	return it, nil
}

// straggle gives e an ownership word of its own: it is this worker's whoever
// owns the others.
func (k *Keeper) straggle(e *kept) {
	if e.record != nil {
		e.record.Claim(proto.Owner{}, k.own())
	}
}

// own is the ownership word of what this worker serves.
func (k *Keeper) own() proto.Owner {
	return proto.Owner{Generation: uint32(k.worker.Generation()), Phase: proto.PhaseServing}
}

// thaw serves as before.
func (k *Keeper) thaw() {
	k.silence.Stop()
	k.stopHalting()
	k.frozen = k.frozen[:0]
	there, coming := k.all()
	for _, e := range append(there, coming...) {
		if e.record != nil {
			e.record.Claim(k.own(), proto.Owner{})
		}
	}
	for _, e := range there { // without mu: one may end by it
		e.conn.wire.thaw()
	}
	k.live()
}

// stopHalting ends the freeze that is still under way.
func (k *Keeper) stopHalting() {
	if k.halting != nil {
		k.halting.cancel()
		k.halting.ended.Wait()
		k.halting = nil
	}
}

// letGo leaves what has moved to its new owner. Stragglers follow as they come
// to rest.
func (k *Keeper) letGo() {
	k.silence.Stop()
	k.stopHalting()
	if k.apart {
		for range apartAtOnce {
			k.giveNext()
		}
	} else {
		for _, e := range k.frozen {
			k.leave(e)
		}
		k.frozen = nil
	}
	rest, _ := k.all()
	for _, e := range rest {
		k.moveLate(e)
	}
}

// giveNext gives away the next of what stood still, as a straggler.
func (k *Keeper) giveNext() {
	for given := false; len(k.frozen) > 0 && !given; {
		e := k.frozen[0]
		k.frozen = k.frozen[1:]
		k.straggle(e)
		given = k.moveLate(e)
	}
}

// leave forgets a connection that another worker owns.
func (k *Keeper) leave(e *kept) {
	k.mu.Lock()
	delete(k.conns, e.id)
	e.moving = true
	k.changed.Broadcast()
	k.mu.Unlock()
	e.conn.Release()
}

// released lets go of what another worker has resumed.
func (k *Keeper) released(m proto.Release) {
	if len(m.IDs) == 0 {
		if m.Swap == k.swap {
			k.apart = m.Apart
			k.cue(swap.CueRelease)
		}
		return
	}
	for _, id := range m.IDs {
		k.mu.Lock()
		e := k.conns[id]
		k.mu.Unlock()
		if e != nil && e.moving {
			k.leave(e)
			if k.apart {
				k.giveNext()
			}
		}
	}
}

// moveLate gives a straggler away once this worker has been replaced, and for
// good: nobody can take it back. It reports whether it did.
func (k *Keeper) moveLate(e *kept) bool {
	k.mu.Lock()
	known := k.conns[e.id] == e && !e.moving
	k.mu.Unlock()
	if k.role != swap.Retired || !known {
		return false
	}
	it, err := k.pick(e)
	if err != nil {
		return false // not yet, or it ends here
	}
	if e.record != nil && !e.record.Claim(k.own(), proto.Owner{Generation: k.own().Generation, Phase: proto.PhaseFrozen, Swap: k.swap}) {
		return false
	}
	k.mu.Lock()
	e.moving = true
	k.mu.Unlock()
	if k.worker.Send(proto.Late{Swap: k.swap, Formats: k.formats, ID: e.id, State: it.append(nil)}) != nil {
		k.leave(e) // too much for a packet: to the peer it is over when the supervisor closes its own
		k.mu.Lock()
		k.send(proto.Drop{IDs: []uint64{e.id}})
		k.mu.Unlock()
		return false
	}
	return true
}

// beforeDrain lets stragglers move, or takes back what an absent supervisor
// cannot give to anybody any more.
func (k *Keeper) beforeDrain(ctx context.Context, d proto.Drain) {
	if k.arena == nil {
		return
	}
	done := make(chan struct{})
	k.mail.post(func() {
		if d.Why == proto.WhyOrphaned {
			k.cue(swap.CueOrphaned)
		}
		close(done)
	})
	<-done
	if d.Why == proto.WhyDeploy {
		limited, cancel := context.WithTimeout(ctx, stragglerLimit)
		defer cancel()
		k.await(limited, func() bool { return k.role != swap.Retired || len(k.conns) == 0 })
	}
}
