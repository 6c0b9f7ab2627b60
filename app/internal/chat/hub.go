package chat

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// Lobby is the room that is always there.
const Lobby = "lobby"

// Delays between attempts to read a store that is away.
const (
	retryMin = 100 * time.Millisecond
	retryMax = 2 * time.Second
)

// Options of a [Hub]. Only Store must be given.
type Options struct {
	Store         Store
	Bus           Bus           // to other workers on the same store; nil: there are none
	Log           *slog.Logger  // nil: nothing is logged
	Grace         time.Duration // how long somebody who has gone is not missed; 0: 5 s
	PresenceEvery time.Duration // the shortest time between two presence changes of a room; 0: 250 ms

	Meter Meter // nil: nothing is counted

	Ledger Ledger // what peers share beside the store; nil: nothing

	Limits      Limits        // what each room keeps; zero: everything
	ExpireEvery time.Duration // how often they are applied; 0: 10 min

	// Admin tells whether a user may delete what others have said. nil: nobody
	// may. Any goroutine calls it.
	Admin func(user string) bool

	// NameKey returns what names have in common that cannot be here at once. nil:
	// [FoldName].
	NameKey func(name string) string
}

func (o Options) withDefaults() Options {
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Meter == nil {
		o.Meter = unmetered{}
	}
	if o.Ledger == nil {
		o.Ledger = unlimited{}
	}
	o.ExpireEvery = cmp.Or(o.ExpireEvery, expireEvery)
	o.Grace = cmp.Or(o.Grace, 5*time.Second)
	o.PresenceEvery = cmp.Or(o.PresenceEvery, 250*time.Millisecond)
	if o.NameKey == nil {
		o.NameKey = FoldName
	}
	return o
}

// Hub is every room of this process. Its methods may be called concurrently.
type Hub struct {
	o         Options
	store     Store
	writer    *writer
	markers   *markers
	peers     atomic.Int64
	incoming  chan []byte
	greet     chan struct{} // somebody new is on the bus: tell who is here
	glance    chan struct{} // read the heads now
	strangers *strangers
	told      atomic.Int64 // when a peer last told of events, Unix nanoseconds
	held      atomic.Bool  // nobody is told of presence, see Hold
	wakes     atomic.Int64
	stopped   chan struct{} // closed when Run ends
	tellers   *tellers
	fillers   sync.WaitGroup

	mu      sync.Mutex
	rooms   map[string]*room
	users   map[string]*Member   // by user id: the first of their members, see Member.sibling
	named   map[identity]int     // connections of a user under a name
	names   map[string]int       // folded name → users under it
	stalled map[*Member]struct{} // those whose client stands still, or that the store could not be read for
	foreign bool                 // the members that are restored are of another log
}

// NewHub returns a hub on a store. It works while [Hub.Run] does.
func NewHub(o Options) *Hub {
	o = o.withDefaults()
	h := &Hub{
		o:        o,
		store:    o.Store,
		incoming: make(chan []byte, 256),
		greet:    make(chan struct{}, 1),
		glance:   make(chan struct{}, 1),
		stopped:  make(chan struct{}),
		tellers:  newTellers(),
		rooms:    map[string]*room{},
		users:    map[string]*Member{},
		named:    map[identity]int{},
		names:    map[string]int{},
		stalled:  map[*Member]struct{}{},
	}
	h.writer = newWriter(o.Store, o.Log, o.Meter, h.committed)
	h.markers = newMarkers(o.Store, o.Log)
	h.strangers = newStrangers(o.NameKey, o.Grace)
	return h
}

// Run works until ctx ends and returns when everything has ended. Call it
// once, and end ctx only when every member is closed: what they have posted is
// committed then.
func (h *Hub) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	loops.Go(func() { h.writer.run(ctx) })
	loops.Go(func() { h.markers.run(ctx) })
	loops.Go(func() { h.tickEvery(ctx, h.o.PresenceEvery) })
	loops.Go(func() { h.watchHeads(ctx) })
	loops.Go(func() { h.converse(ctx) })
	loops.Go(func() { h.expire(ctx) })
	loops.Wait()
	close(h.stopped)
	h.fillers.Wait()
	h.tellers.running.Wait()
	return nil
}

// Epoch names the log, see [Store].
func (h *Hub) Epoch() string { return h.store.Epoch() }

// Connect makes a user's connection a member that has no room open yet. The
// caller closes it.
func (h *Hub) Connect(u User, out Outlet) *Member {
	as := identity{h.o.NameKey(u.Name), u.ID}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.named[as]++; h.named[as] == 1 {
		h.names[as.folded]++
	}
	m := &Member{hub: h, user: u, out: out}
	h.adopt(m)
	return m
}

func (h *Hub) disconnected(m *Member) {
	as := identity{h.o.NameKey(m.user.Name), m.user.ID}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.stalled, m)
	h.disown(m)
	if h.named[as]--; h.named[as] > 0 {
		return
	}
	delete(h.named, as)
	if h.names[as.folded]--; h.names[as.folded] == 0 {
		delete(h.names, as.folded)
	}
}

// identity is a user under a name. A map in a map would cost each connection
// several hundred bytes.
type identity struct{ folded, id string }

// NameTaken reports whether a user other than userID is connected under a name
// with the same key, here or at a peer.
func (h *Hub) NameTaken(name, userID string) bool {
	folded := h.o.NameKey(name)
	h.mu.Lock()
	users := h.names[folded]
	taken := users > 1 || users == 1 && h.named[identity{folded, userID}] == 0
	h.mu.Unlock()
	return taken || h.strangers.named(folded, userID, time.Now())
}

// enter brings a member into a room, making it if need be.
func (h *Hub) enter(name string, m *Member) (*room, int64) {
	for {
		r := h.room(name)
		if version, ok := r.enter(m); ok {
			return r, version
		}
	}
}

// room returns the room of that name that is not retired, or is just being.
func (h *Hub) room(name string) *room {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[name]
	if r == nil {
		r = newRoom(h, name)
		h.rooms[name] = r
	}
	return r
}

// known returns the room if this process has it.
func (h *Hub) known(name string) (*room, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.rooms[name]
	return r, ok
}

func (h *Hub) all() []*room {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.rooms))
}

// committed takes a group that the writer stored to its rooms, and rings.
func (h *Hub) committed(group []Appended) {
	events := map[string][]Event{}
	for i := range group {
		e := &group[i].Event
		events[e.Room] = append(events[e.Room], *e)
	}
	heads := make(map[string]int64, len(events))
	for name, es := range events {
		if r, ok := h.known(name); ok {
			r.committed(es)
		}
		heads[name] = lastSeq(es)
	}
	h.tell(telling{Heads: heads})
}

// lastSeq returns the largest seq: a duplicate may stand behind newer ones.
func lastSeq(events []Event) int64 {
	return slices.MaxFunc(events, func(a, b Event) int { return cmp.Compare(a.Seq, b.Seq) }).Seq
}

// tickEvery lets time pass: presence, rooms nobody needs, members that wait.
func (h *Hub) tickEvery(ctx context.Context, d time.Duration) {
	for every := time.NewTicker(d); ; {
		select {
		case now := <-every.C:
			h.tick(now)
		case <-ctx.Done():
			every.Stop()
			return
		}
	}
}

func (h *Hub) tick(now time.Time) {
	for _, r := range h.all() {
		if r.tick(now) {
			h.forget(r)
		}
	}
	h.resume()
	h.tellSpent()
}

// resume tells the members that wait.
func (h *Hub) resume() {
	h.tellers.add(claimed(slices.Values(h.takeStalled()))...)
}

func (h *Hub) forget(r *room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rooms[r.name] == r {
		delete(h.rooms, r.name)
	}
}

// later marks a member again at the next tick or [Hub.Wake]. It reports false
// if there was a Wake since wakes: then it may be tried at once.
func (h *Hub) later(m *Member, wakes int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wakes.Load() != wakes {
		return false
	}
	h.stalled[m] = struct{}{}
	return true
}

func (h *Hub) takeStalled() []*Member {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Collect(maps.Keys(h.stalled))
	clear(h.stalled)
	return all
}

// pause waits, and reports false when Run ends first.
func (h *Hub) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-h.stopped:
		return false
	}
}

// Held reports whether the hub is held, see [Hub.Hold]: another process serves.
func (h *Hub) Held() bool { return h.held.Load() }

// Peers tells how many other workers on the same store the bus reaches, or would
// if it could: while it cannot, their events are found by reading the store.
// Without any the hub is silent and trusts what it has committed.
func (h *Hub) Peers(n int) {
	if h.peers.Swap(int64(n)) < int64(n) {
		poke(h.greet)
	}
}

// Reached tells that the bus reaches peers again, or may do so from now on. Who
// is here is told them, and the heads are read: doorbells were lost until then.
// It never blocks.
func (h *Hub) Reached() {
	poke(h.greet)
	poke(h.glance)
}

// poke lets whoever reads c go once more.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Deliver takes what another hub published. It never blocks; when the hub does
// not keep up the message is lost, which a bus may do. data must not be
// changed afterwards.
func (h *Hub) Deliver(data []byte) {
	select {
	case h.incoming <- data:
	default:
	}
}

// converse listens to the peers and tells them, again and again, who is here.
func (h *Hub) converse(ctx context.Context) {
	every := time.NewTicker(hereEvery)
	defer every.Stop()
	for {
		select {
		case data := <-h.incoming:
			h.hear(data)
		case <-every.C:
			h.tellAllHere()
		case <-h.greet:
			h.tellAllHere()
		case <-ctx.Done():
			return
		}
	}
}

// hear takes a telling. One that cannot be read is of another build.
func (h *Hub) hear(data []byte) {
	var t telling
	if err := json.Unmarshal(data, &t); err != nil {
		h.o.Log.Debug("message of a peer not understood", "err", err)
		return
	}
	if len(t.Heads) > 0 {
		h.told.Store(time.Now().UnixNano())
	}
	for name, head := range t.Heads {
		if r, ok := h.known(name); ok {
			r.rung(head)
		}
	}
	for name, users := range t.Here {
		h.strangers.meet(name, users, time.Now())
		if r, ok := h.known(name); ok {
			r.told(users, time.Now())
		}
	}
	for name, users := range t.Typing {
		if r, ok := h.known(name); ok {
			for _, u := range users {
				r.typing(User(u), time.Now())
			}
		}
	}
	for _, r := range t.Read {
		h.tellRead(nil, r.User, r.Room, r.Seq)
	}
	h.o.Ledger.Charge(t.Spent)
}

// Told returns when a peer last told that it has stored events.
func (h *Hub) Told() time.Time { return time.Unix(0, h.told.Load()) }

func (h *Hub) tell(t telling) {
	if h.o.Bus != nil && h.peers.Load() > 0 {
		h.o.Bus.Publish(t.encode())
	}
}

// tellSpent tells the peers what was used here of what they share.
func (h *Hub) tellSpent() {
	for spent := h.o.Ledger.Spent(hereUsers); len(spent) > 0; spent = h.o.Ledger.Spent(hereUsers) {
		h.tell(telling{Spent: spent})
	}
}

// tellHere tells the peers who is in which room, or has come there.
func (h *Hub) tellHere(rooms map[string][]User) {
	for _, t := range hereTellings(rooms) {
		h.tell(t)
	}
}

func (h *Hub) tellAllHere() {
	if h.peers.Load() == 0 {
		return
	}
	rooms := map[string][]User{}
	for _, r := range h.all() {
		rooms[r.name] = r.locals()
	}
	h.tellHere(rooms)
}

// watchHeads reads the heads of rooms with members while there are peers, once
// after, and after a [Hub.Wake] or [Hub.Reached]: a doorbell may be lost.
func (h *Hub) watchHeads(ctx context.Context) {
	var before int64
	for every := time.NewTicker(headsEvery); ; {
		select {
		case <-h.glance:
			h.readHeads()
		case <-every.C:
			every.Reset(headsEvery - rand.N(headsEvery/4)) // so that not all ask the store at once
			now := h.peers.Load()
			if now > 0 || before > 0 {
				h.readHeads()
			}
			before = now
		case <-ctx.Done():
			every.Stop()
			return
		}
	}
}

// headsAtOnce is how many heads are asked for at the same time: each is a small
// question, and most of its time is the way to the store and back.
const headsAtOnce = 8

func (h *Hub) readHeads() {
	rooms := make(chan *room)
	var away atomic.Bool // the store is: the others would wait as long
	var reading sync.WaitGroup
	for range headsAtOnce {
		reading.Go(func() {
			for r := range rooms {
				if away.Load() {
					continue
				}
				head, err := readHead(h.store, r.name)
				if err != nil {
					away.Store(true)
					continue
				}
				r.rung(head)
			}
		})
	}
	for _, r := range h.all() {
		if r.population() > 0 {
			rooms <- r
		}
	}
	close(rooms)
	reading.Wait()
}

// RoomInfo is a room as the list of rooms shows it.
type RoomInfo struct {
	Name    string
	Head    int64
	Members int // users in it now
}

// Rooms returns every room that has an event or a member, and the lobby, by
// name.
func (h *Hub) Rooms(ctx context.Context) ([]RoomInfo, error) {
	stored, err := h.store.Rooms(ctx)
	if err != nil {
		return nil, fmt.Errorf("list rooms: %w", err)
	}
	rooms := map[string]RoomInfo{Lobby: {Name: Lobby}}
	for _, s := range stored {
		rooms[s.Room] = RoomInfo{Name: s.Room, Head: s.Head}
	}
	members := h.strangers.count(time.Now())
	for _, r := range h.all() {
		members[r.name] = r.people() // who is here and who is not
	}
	for name, n := range members {
		if n > 0 {
			rooms[name] = RoomInfo{Name: name, Head: rooms[name].Head, Members: n}
		}
	}
	list := make([]RoomInfo, 0, len(rooms))
	for _, name := range sortedKeys(rooms) {
		list = append(list, rooms[name])
	}
	return list, nil
}

// History is a part of a room's log.
type History struct {
	Events []Event // ascending
	More   bool    // there are further ones in the direction asked for
}

// After returns up to limit events after seq.
func (h *Hub) After(ctx context.Context, room string, seq int64, limit int) (History, error) {
	events, err := h.store.After(ctx, room, max(seq, 0), limit+1)
	if err != nil {
		return History{}, fmt.Errorf("read room %s: %w", room, err)
	}
	n := min(len(events), limit)
	return History{Events: events[:n], More: len(events) > limit}, nil
}

// Before returns the up to limit events just before seq.
func (h *Hub) Before(ctx context.Context, room string, seq int64, limit int) (History, error) {
	events, err := h.store.Before(ctx, room, seq, limit+1)
	if err != nil {
		return History{}, fmt.Errorf("read room %s: %w", room, err)
	}
	return History{Events: events[max(0, len(events)-limit):], More: len(events) > limit}, nil
}

// Head returns the last seq of a room, 0 if it has none.
func (h *Hub) Head(ctx context.Context, room string) (int64, error) {
	head, err := h.store.Head(ctx, room)
	if err != nil {
		return 0, fmt.Errorf("read room %s: %w", room, err)
	}
	return head, nil
}

// WireEvents returns the events as clients see them, never nil.
func (p History) WireEvents() []wire.Event {
	all := make([]wire.Event, 0, len(p.Events))
	for i := range p.Events {
		all = append(all, p.Events[i].Wire())
	}
	return all
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
