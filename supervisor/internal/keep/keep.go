package keep

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
)

// Nobody owns a connection whose worker has died.
const Nobody = 0

// spareFiles are the descriptors that are not for connections: listeners,
// pipes, control sockets, builds, and duplicates on their way to a worker.
const spareFiles = 1024

// Limit is how many connections a process with this many descriptors may keep.
func Limit(files int) int { return min(max(files-spareFiles, 64), proto.MaxRecords) }

// Files is how many descriptors this process may open.
func Files() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return int(min(l.Cur, 1<<30))
}

// Keep is the kept connections of one instance, and their arena.
type Keep struct {
	arena    int // descriptor
	limit    int
	conns    map[uint64]*conn
	offer    offer
	tellings int         // how often owners have told everything anew
	telling  map[int]int // by owner: the number of its latest
	refused  int
	changes  int
}

type conn struct {
	fd    int
	owner int
	held  int // the generation that was given a duplicate in the present offer
	told  int // number of the telling it was told in
	meta  []byte
}

// offer is what a worker is being given.
type offer struct {
	to, from int
	waiting  []uint64 // not given yet
}

// New makes room for limit connections.
func New(limit int) (*Keep, error) {
	arena, err := proto.MakeArena(limit)
	if err != nil {
		return nil, fmt.Errorf("keep connections: %w", err)
	}
	return &Keep{arena: arena, limit: limit, conns: map[uint64]*conn{}, telling: map[int]int{}}, nil
}

// Open goes on with the arena of a supervisor before, whose descriptor it owns.
// What its workers keep is not known until they tell it again.
func Open(arena, limit int) *Keep {
	return &Keep{arena: arena, limit: limit, conns: map[uint64]*conn{}, telling: map[int]int{}}
}

// Arena is the descriptor of the arena, which stays the Keep's.
func (k *Keep) Arena() int { return k.arena }

// Full reports whether there is no room for another connection.
func (k *Keep) Full() bool { return len(k.conns) >= k.limit }

// Word is the arena's ownership word. It is final when no worker that could
// change it lives.
func (k *Keep) Word() (proto.Owner, error) { return proto.ReadOwner(k.arena) }

// Close ends every connection for its peer and lets go of everything.
func (k *Keep) Close() error {
	for id, c := range k.conns {
		k.shut(id, c)
	}
	return unix.Close(k.arena)
}

// Keep takes duplicates that their owner gave, and owns fds. anew says that the
// owner tells everything again, beginning with these.
func (k *Keep) Keep(owner int, conns []proto.Kept, fds []int, anew bool) error {
	if len(conns) != len(fds) {
		proto.CloseFDs(fds)
		return fmt.Errorf("keep %d connections: there are %d descriptors", len(conns), len(fds))
	}
	if anew {
		k.tellings++
		k.telling[owner] = k.tellings
	}
	for i, each := range conns {
		k.take(owner, each, fds[i])
	}
	return nil
}

func (k *Keep) take(owner int, each proto.Kept, fd int) {
	if c := k.conns[each.ID]; c != nil {
		unix.Close(fd) // a duplicate of what is here already
		if c.owner == owner {
			c.meta, c.told = each.Meta, k.telling[owner]
		}
		return
	}
	if k.Full() {
		k.refused++
		unix.Close(fd)
		return
	}
	k.changes++
	k.conns[each.ID] = &conn{fd: fd, owner: owner, meta: each.Meta, told: k.telling[owner]}
	if k.offer.to != Nobody && owner == k.offer.from {
		k.offer.waiting = append(k.offer.waiting, each.ID)
	}
}

// Note replaces what is known of connections.
func (k *Keep) Note(owner int, conns []proto.Kept) {
	for _, each := range conns {
		if c := k.conns[each.ID]; c != nil && c.owner == owner {
			c.meta = each.Meta
		}
	}
}

// Drop lets go of connections that their owner has ended.
func (k *Keep) Drop(owner int, ids []uint64) {
	for _, id := range ids {
		if c := k.conns[id]; c != nil && c.owner == owner {
			k.close(id, c)
		}
	}
}

// Rekept lets go of what the owner has not told again.
func (k *Keep) Rekept(owner, n int) {
	for id, c := range k.conns {
		if c.owner == owner && (n == 0 || c.told != k.telling[owner]) {
			k.close(id, c)
		}
	}
}

// Offer begins to give everything that generation from owns, and what nobody
// does, to generation to. What from keeps later is part of it.
func (k *Keep) Offer(to, from int) {
	k.offer = offer{to: to, from: from}
	for id, c := range k.conns {
		c.held = Nobody
		if c.owner == from || c.owner == Nobody {
			k.offer.waiting = append(k.offer.waiting, id)
		}
	}
}

// Sizes of a batch: its packet must be within [proto.MaxPacket].
const (
	batchConns = 250
	batchBytes = 36 << 10 // of metas, which grow by a third in JSON
)

// Batch returns the next connections of the offer with fresh duplicates, which
// are the caller's; none when all have been given.
func (k *Keep) Batch() (conns []proto.Kept, fds []int, err error) {
	size := 0
	for len(k.offer.waiting) > 0 && len(fds) < batchConns && size < batchBytes {
		id := k.offer.waiting[0]
		k.offer.waiting = k.offer.waiting[1:]
		c := k.conns[id]
		if c == nil {
			continue // it has ended meanwhile
		}
		fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			proto.CloseFDs(fds)
			return nil, nil, fmt.Errorf("duplicate a kept connection: %w", err)
		}
		c.held = k.offer.to
		conns, fds = append(conns, proto.Kept{ID: id, Meta: c.meta}), append(fds, fd)
		size += len(c.meta)
	}
	return conns, fds, nil
}

// Waiting is how much of the offer has not been given yet.
func (k *Keep) Waiting() int { return len(k.offer.waiting) }

// Take makes the generation that was offered everything the owner of it, but
// for late ones: those stay what they are.
func (k *Keep) Take(late []uint64) (taken int) {
	stays := map[uint64]bool{}
	for _, id := range late {
		stays[id] = true
	}
	for id, c := range k.conns {
		if c.held == k.offer.to && !stays[id] && (c.owner == k.offer.from || c.owner == Nobody) {
			c.owner = k.offer.to
			k.changes++
			taken++
		}
	}
	k.Withdraw()
	return taken
}

// Withdraw ends the offer: nothing changes hands.
func (k *Keep) Withdraw() { k.offer = offer{} }

// Give makes generation to the owner of one connection and returns it with a
// fresh duplicate, which is the caller's. It reports false when from does not
// own it.
func (k *Keep) Give(id uint64, from, to int) (each proto.Kept, fd int, ok bool) {
	c := k.conns[id]
	if c == nil || c.owner != from {
		return proto.Kept{}, -1, false
	}
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		k.shut(id, c) // its owner has given it away for good
		return proto.Kept{}, -1, false
	}
	c.owner, c.told = to, k.telling[to] // it cannot have told of it yet
	return proto.Kept{ID: id, Meta: c.meta}, fd, true
}

// Part lets one connection of an owner go to another Keep, with what is known of it:
// the descriptor is the caller's. It reports false when the owner has it not.
func (k *Keep) Part(id uint64, owner int) (each proto.Kept, fd int, ok bool) {
	c := k.conns[id]
	if c == nil || c.owner != owner {
		return proto.Kept{}, -1, false
	}
	delete(k.conns, id)
	k.changes++
	return proto.Kept{ID: id, Meta: c.meta}, c.fd, true
}

// Disown makes one connection of an owner nobody's.
func (k *Keep) Disown(id uint64, from int) {
	if c := k.conns[id]; c != nil && c.owner == from {
		c.owner = Nobody
	}
}

// Abandon says that generation owner has died, all of it. It returns how many
// connections are nobody's by that.
func (k *Keep) Abandon(owner int) (orphans int) {
	for _, c := range k.conns {
		if c.owner == owner {
			c.owner = Nobody
			orphans++
		}
	}
	return orphans
}

// Shut ends, for their peers, the connections of an owner, or nobody's, and
// returns how many.
func (k *Keep) Shut(owner int) (n int) {
	for id, c := range k.conns {
		if c.owner == owner {
			k.shut(id, c)
			n++
		}
	}
	return n
}

// Count is how many connections a generation owns, or nobody does.
func (k *Keep) Count(owner int) (n int) {
	for _, c := range k.conns {
		if c.owner == owner {
			n++
		}
	}
	return n
}

// Refused is how many connections were not kept, for want of room.
func (k *Keep) Refused() int { return k.refused }

func (k *Keep) shut(id uint64, c *conn) {
	unix.Shutdown(c.fd, unix.SHUT_RDWR)
	k.close(id, c)
}

func (k *Keep) close(id uint64, c *conn) {
	unix.Close(c.fd)
	delete(k.conns, id)
	k.changes++
}

// Changes counts connections that came, moved or ended.
func (k *Keep) Changes() int { return k.changes }
