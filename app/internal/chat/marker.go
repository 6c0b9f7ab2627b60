package chat

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// Rhythm in which read markers are stored. A reader moves theirs with every
// message they see; who dies within it reads the last second again.
const (
	markersEvery = time.Second
	markersBatch = 500 // markers in one call of the store
)

// place is a user in a room.
type place struct{ user, room string }

// markers are the read markers that the store has not got yet.
type markers struct {
	store Store
	log   *slog.Logger

	mu  sync.Mutex
	due map[place]int64
}

func newMarkers(s Store, log *slog.Logger) *markers {
	return &markers{store: s, log: log, due: map[place]int64{}}
}

// set moves a marker, and reports false if it stands there already.
func (k *markers) set(at place, seq int64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.due[at] >= seq {
		return false
	}
	k.due[at] = seq
	return true
}

// of adds those of a user to what the store has.
func (k *markers) of(user string, stored map[string]int64) map[string]int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := maps.Clone(stored)
	for at, seq := range k.due {
		if at.user != user {
			continue
		}
		if all == nil {
			all = map[string]int64{}
		}
		all[at.room] = max(all[at.room], seq)
	}
	return all
}

// list returns all of them.
func (k *markers) list() (all []Read) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for at, seq := range k.due {
		all = append(all, Read{User: at.user, Room: at.room, Seq: seq})
	}
	return all
}

// run stores them until ctx ends, and then once more.
func (k *markers) run(ctx context.Context) {
	every := time.NewTicker(markersEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			k.flush()
		case <-ctx.Done():
			k.flush()
			return
		}
	}
}

// flush stores what is due. What the store does not take stays due.
func (k *markers) flush() {
	all := k.list()
	for len(all) > 0 {
		batch := all[:min(len(all), markersBatch)]
		ctx, cancel := context.WithTimeout(context.Background(), commitLimit)
		err := k.store.PutReads(ctx, batch)
		cancel()
		if err != nil {
			k.log.Debug("read markers are not stored", "err", err)
			return
		}
		k.stored(batch)
		all = all[len(batch):]
	}
}

// stored forgets those that have not moved meanwhile.
func (k *markers) stored(batch []Read) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range batch {
		if at := (place{r.User, r.Room}); k.due[at] == r.Seq {
			delete(k.due, at)
		}
	}
}

// Read says that the member's user has read an open room up to seq. It is
// stored soon, and told to the user's other connections now. Its error is a
// *[wire.Error].
func (m *Member) Read(room string, seq int64) error {
	if err := m.mustBeIn(room); err != nil {
		return err
	}
	if r, ok := m.hub.known(room); ok {
		seq = min(seq, r.head(seq))
	}
	if seq < 1 || !m.hub.markers.set(place{m.user.ID, room}, seq) {
		return nil
	}
	m.hub.tellRead(m, m.user.ID, room, seq)
	m.hub.tell(telling{Read: []readTold{{m.user.ID, room, seq}}})
	return nil
}

// head returns how far the room reaches, or otherwise if that is not known yet.
func (r *room) head(otherwise int64) int64 {
	if t := r.tail.Load(); t != nil {
		return t.head
	}
	return otherwise
}

// Reads returns how far a user has read each room.
func (h *Hub) Reads(ctx context.Context, user string) (map[string]int64, error) {
	stored, err := h.store.Reads(ctx, user)
	return h.markers.of(user, stored), err
}

// tellRead tells the connections of a user but one.
func (h *Hub) tellRead(but *Member, user, room string, seq int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for m := h.users[user]; m != nil; m = m.sibling {
		if m != but {
			m.news.add(room, seq)
			m.mark()
		}
	}
}

// adopt counts a member among those of its user. mu is held.
func (h *Hub) adopt(m *Member) {
	m.sibling = h.users[m.user.ID]
	h.users[m.user.ID] = m
}

// disown is the inverse of adopt. mu is held.
func (h *Hub) disown(m *Member) {
	first := h.users[m.user.ID]
	if first == m {
		first = m.sibling
	}
	for s := first; s != nil; s = s.sibling {
		if s.sibling == m {
			s.sibling = m.sibling
		}
	}
	if m.sibling = nil; first == nil {
		delete(h.users, m.user.ID)
		return
	}
	h.users[m.user.ID] = first
}

// append appends the lines that tell them.
func (n markersTold) append(b []byte) []byte {
	for _, room := range sortedKeys(n) {
		b = wire.AppendLine(b, &wire.Read{T: wire.KindRead, Room: room, Seq: n[room]})
	}
	return b
}
