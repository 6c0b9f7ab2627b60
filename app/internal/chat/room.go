package chat

import (
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// room is one log as this process knows it, and who listens to it. Readers
// take the tail and the roster as they are, without a lock.
type room struct {
	name string
	hub  *Hub

	tail   atomic.Pointer[tail] // nil until it is read from the store
	roster atomic.Pointer[roster]
	typed  atomic.Pointer[typingLine]

	mu       sync.Mutex // guards what follows, and who replaces tail and roster
	members  map[*Member]struct{}
	target   int64 // the largest seq heard of
	filler   fillerState
	att      *attendance
	typists  typists
	entered  bool      // somebody entered since the last roster
	rostered time.Time // when the last roster was made
	base     int64     // the roster version that another process told of; later ones are our own
	retired  bool      // forgotten by the hub: whoever comes takes a fresh one
}

// fillerState says whether a goroutine reads the room's missing events.
type fillerState uint8

const (
	fillerIdle fillerState = iota
	fillerRunning
)

func newRoom(h *Hub, name string) *room {
	r := &room{name: name, hub: h, members: map[*Member]struct{}{}, att: newAttendance(h.o.Grace)}
	r.roster.Store(newRoster(name))
	r.typed.Store(newTypingLine(name, 0, nil))
	return r
}

// enter adds a member. It returns the roster version from which on the member
// itself is in it, or false if the room is retired.
func (r *room) enter(m *Member) (version int64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.retired {
		return 0, false
	}
	if _, twice := r.members[m]; !twice {
		r.members[m] = struct{}{}
		r.att.enter(m.user)
	}
	r.entered = true
	version = r.roster.Load().version + 1
	r.announce(time.Now())
	if len(r.members) == 1 {
		r.fill() // while nobody was here nobody looked
	}
	return version, true
}

// exit removes a member that has gone, or said that it leaves.
func (r *room) exit(m *Member, left bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, in := r.members[m]; !in {
		return
	}
	delete(r.members, m)
	if left {
		r.att.dismiss(m.user.ID, time.Now())
	} else {
		r.att.exit(m.user.ID, time.Now())
	}
	r.announce(time.Now())
}

// committed takes events that this process stored.
func (r *room) committed(events []Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hear(lastSeq(events))
	for i := range events {
		if events[i].Kind == wire.EventPost {
			r.typists.stop(events[i].User.ID)
		}
	}
	r.announceTyping(time.Now())
	if r.tail.Load() != nil {
		r.extend(events)
	}
	r.fillIfBehind()
}

// rung takes a doorbell, or a head that was read: there are events up to head.
func (r *room) rung(head int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hear(head)
	r.fillIfBehind()
}

func (r *room) hear(head int64) { r.target = max(r.target, head) }

// extend adds what follows on the head and wakes the members. mu is held.
func (r *room) extend(events []Event) {
	old := r.tail.Load()
	next := old.with(events)
	if next.head == old.head {
		return
	}
	r.tail.Store(next)
	r.hear(next.head)
	r.wake()
}

// wake marks every member. mu is held.
func (r *room) wake() { r.hub.tellers.add(claimed(maps.Keys(r.members))...) }

// fillIfBehind starts reading when there is more than the tail holds and
// somebody who wants it. mu is held.
func (r *room) fillIfBehind() {
	if t := r.tail.Load(); len(r.members) > 0 && (t == nil || t.head < r.target) {
		r.fill()
	}
}

// fill starts the one filler. mu is held.
func (r *room) fill() {
	if r.filler == fillerIdle {
		r.filler = fillerRunning
		r.hub.fillers.Go(r.runFiller)
	}
}

// runFiller reads what is missing until the tail reaches the target. A store
// that is away is asked again.
func (r *room) runFiller() {
	for delay := retryMin; ; {
		events, err := r.readMissing()
		if err == nil {
			delay = retryMin
			if r.filled(events) {
				return
			}
			continue
		}
		r.hub.o.Log.Debug("room cannot be read", "room", r.name, "err", err)
		if !r.hub.pause(delay) {
			return
		}
		delay = min(2*delay, retryMax)
	}
}

// readMissing reads what follows on the tail; without one the
// last events.
func (r *room) readMissing() ([]Event, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readLimit)
	defer cancel()
	if t := r.tail.Load(); t != nil {
		return r.hub.store.After(ctx, r.name, t.head, wire.MaxPage)
	}
	return r.hub.store.Before(ctx, r.name, math.MaxInt64, wire.MaxPage)
}

// filled adds what the filler read, and reports whether its work is done.
func (r *room) filled(events []Event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tail.Load() == nil {
		var before int64
		if len(events) > 0 {
			before = events[0].Seq - 1
		}
		r.tail.Store(emptyTail(before).with(events))
		r.wake()
	} else {
		r.extend(events)
		r.hub.o.Meter.Repaired(len(events))
		if len(events) == 0 {
			r.target = r.tail.Load().head // whoever spoke of more was wrong
		}
	}
	if r.tail.Load().head < r.target {
		return false
	}
	r.filler = fillerIdle
	return true
}

// tick makes a new roster when time has changed who is there, and reports
// whether nobody needs the room any more, which retires it.
func (r *room) tick(now time.Time) (retired bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hub.held.Load() {
		return false
	}
	r.announce(now)
	r.announceTyping(now)
	r.retired = len(r.members) == 0 && len(r.att.guests) == 0 && r.filler == fillerIdle
	return r.retired
}

// announce tells the members what has changed in the attendance, at most once
// in the hub's rhythm: the first change at once, the others gathered. mu is
// held.
func (r *room) announce(now time.Time) {
	if now.Sub(r.rostered) < r.hub.o.PresenceEvery || r.hub.held.Load() {
		return
	}
	join, left := r.att.settle(now)
	if len(join)+len(left) == 0 && !r.entered {
		return
	}
	r.entered, r.rostered = false, now
	r.roster.Store(r.roster.Load().next(r.att.users(), join, left))
	// Only who is here is told, never who was told: two workers would keep a
	// ghost alive between them.
	r.hub.tellHere(map[string][]User{r.name: slices.DeleteFunc(join, func(u User) bool { return !r.att.isLocal(u) })})
	r.wake()
}

// told takes the presence that another worker tells.
func (r *room) told(users []who, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range users {
		r.att.tell(User(u), now)
	}
	r.announce(now)
}

// locals returns the users connected to this process.
func (r *room) locals() []User {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.att.local()
}

// population returns the number of members' connections.
func (r *room) population() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.members)
}

// people returns the number of users in the room.
func (r *room) people() int { return len(r.roster.Load().users) }
