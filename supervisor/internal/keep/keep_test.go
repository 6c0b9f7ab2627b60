package keep

import (
	"bytes"
	"errors"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/simpletalk/simpletalk/proto"
	"github.com/simpletalk/simpletalk/proto/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// fixture is a Keep and clients that talk to what it keeps.
type fixture struct {
	*Keep
	t     *testing.T
	peers map[uint64]net.Conn
}

func newKeep(t *testing.T, limit int) *fixture {
	t.Helper()
	k, err := New(limit)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{k, t, map[uint64]net.Conn{}}
	t.Cleanup(func() {
		k.Close()
		for _, p := range f.peers {
			p.Close()
		}
	})
	return f
}

// connect makes a connection and has owner keep it, as a worker does: only the
// duplicate stays.
func (f *fixture) connect(owner int, meta string) uint64 {
	f.t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	id, err := unix.GetsockoptUint64(fds[0], unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		f.t.Fatal(err)
	}
	f.peers[id] = peer(f.t, fds[1])
	if err := f.Keep.Keep(owner, []proto.Kept{{ID: id, Meta: []byte(meta)}}, []int{fds[0]}, false); err != nil {
		f.t.Fatal(err)
	}
	return id
}

func peer(t *testing.T, fd int) net.Conn {
	t.Helper()
	file := os.NewFile(uintptr(fd), "peer")
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// isOpen reports whether the peer of id still has somebody at the other end.
func (f *fixture) isOpen(id uint64) bool {
	p := f.peers[id]
	p.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, err := p.Read(make([]byte, 1))
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// given takes every batch of the offer, closes the duplicates and returns the
// ids in order.
func (f *fixture) given() []uint64 {
	f.t.Helper()
	var ids []uint64
	for {
		conns, fds, err := f.Batch()
		if err != nil {
			f.t.Fatal(err)
		}
		if len(conns) == 0 {
			slices.Sort(ids)
			return ids
		}
		for i, c := range conns {
			if id, err := unix.GetsockoptUint64(fds[i], unix.SOL_SOCKET, unix.SO_COOKIE); err != nil || id != c.ID {
				f.t.Errorf("the duplicate of %d is of %d (%v)", c.ID, id, err)
			}
			ids = append(ids, c.ID)
		}
		proto.CloseFDs(fds)
	}
}

func sorted(ids ...uint64) []uint64 {
	slices.Sort(ids)
	return ids
}

func TestASwapMovesWhatWasGivenAndNotLate(t *testing.T) {
	f := newKeep(t, 10)
	a, b, busy := f.connect(7, "a"), f.connect(7, "b"), f.connect(7, "busy")
	elder := f.connect(6, "of a worker that still drains")
	f.Offer(8, 7)
	if got := f.given(); !slices.Equal(got, sorted(a, b, busy)) {
		t.Errorf("offered %v, want %v", got, sorted(a, b, busy))
	}
	later := f.connect(7, "came meanwhile")
	if got := f.given(); !slices.Equal(got, sorted(later)) {
		t.Errorf("offered later %v, want %v", got, later)
	}
	f.Drop(7, []uint64{b})
	if n := f.Take([]uint64{busy}); n != 2 {
		t.Errorf("%d changed hands, want 2", n)
	}
	for owner, want := range map[int]int{6: 1, 7: 1, 8: 2, Nobody: 0} {
		if got := f.Count(owner); got != want {
			t.Errorf("generation %d owns %d, want %d", owner, got, want)
		}
	}
	if _, fd, ok := f.Give(busy, 7, 8); !ok || f.Count(8) != 3 {
		t.Error("the straggler did not follow")
	} else {
		unix.Close(fd)
	}
	if _, _, ok := f.Give(elder, 7, 8); ok {
		t.Error("a generation gave away what it does not own")
	}
	for _, id := range []uint64{a, busy, elder, later} {
		if !f.isOpen(id) {
			t.Errorf("%d was closed by a swap", id)
		}
	}
	if f.isOpen(b) {
		t.Error("what its owner dropped is still open here")
	}
}

// What an instance leaves to another is in one Keep at a time, and open all along.
func TestAConnectionIsLeftToAnotherKeep(t *testing.T) {
	from, to := newKeep(t, 10), newKeep(t, 10)
	id, other := from.connect(7, "meta"), from.connect(6, "")
	if _, _, ok := from.Part(other, 7); ok {
		t.Error("a generation left what it does not own")
	}
	each, fd, ok := from.Part(id, 7)
	if !ok || each.ID != id || string(each.Meta) != "meta" {
		t.Fatalf("%+v, %t", each, ok)
	}
	if err := to.Keep.Keep(3, []proto.Kept{each}, []int{fd}, false); err != nil {
		t.Fatal(err)
	}
	if from.Count(7) != 0 || to.Count(3) != 1 || !from.isOpen(id) {
		t.Errorf("%d stay, %d have come; open: %t", from.Count(7), to.Count(3), from.isOpen(id))
	}
	from.Shut(7)
	if !from.isOpen(id) {
		t.Error("it was closed where it had been")
	}
	to.Shut(3)
	if from.isOpen(id) {
		t.Error("it was not closed where it is")
	}
}

func TestASwapThatFailedChangesNothing(t *testing.T) {
	f := newKeep(t, 10)
	a := f.connect(7, "a")
	f.Offer(8, 7)
	f.given()
	f.Withdraw()
	f.connect(7, "b")
	if f.Count(7) != 2 || f.Count(8) != 0 || f.Waiting() != 0 {
		t.Errorf("7 owns %d, 8 %d, %d wait", f.Count(7), f.Count(8), f.Waiting())
	}
	f.Offer(9, 7)
	if got := f.given(); len(got) != 2 || !slices.Contains(got, a) {
		t.Errorf("the next one was offered %v, want both", got)
	}
}

func TestOrphansAreTakenOrShut(t *testing.T) {
	f := newKeep(t, 10)
	a, b := f.connect(7, "a"), f.connect(7, "b")
	other := f.connect(6, "")
	if n := f.Abandon(7); n != 2 || f.Count(Nobody) != 2 {
		t.Errorf("%d orphans, want 2", n)
	}
	f.Note(7, []proto.Kept{{ID: a, Meta: []byte("from the dead")}})
	f.Drop(7, []uint64{a})
	if !f.isOpen(a) {
		t.Error("a dead worker's word counted")
	}
	f.Offer(8, Nobody)
	if got := f.given(); !slices.Equal(got, sorted(a, b)) {
		t.Errorf("offered %v, want %v", got, sorted(a, b))
	}
	f.Abandon(8) // it never took them
	if n := f.Shut(Nobody); n != 2 || f.isOpen(a) || f.isOpen(b) || !f.isOpen(other) {
		t.Errorf("%d shut; open: %v %v, another's %v", n, f.isOpen(a), f.isOpen(b), f.isOpen(other))
	}
}

func TestOnlyTheOwnerIsHeard(t *testing.T) {
	f := newKeep(t, 10)
	id := f.connect(7, "mine")
	f.Note(8, []proto.Kept{{ID: id, Meta: []byte("theirs")}})
	f.Drop(8, []uint64{id})
	f.Offer(9, 7)
	conns, fds, err := f.Batch()
	proto.CloseFDs(fds)
	if err != nil || len(conns) != 1 || string(conns[0].Meta) != "mine" {
		t.Errorf("offered %v, %v", conns, err)
	}
	f.Note(7, []proto.Kept{{ID: id, Meta: []byte("newer")}})
	f.Offer(9, 7)
	conns, fds, _ = f.Batch()
	proto.CloseFDs(fds)
	if len(conns) != 1 || string(conns[0].Meta) != "newer" {
		t.Errorf("offered %v after a note", conns)
	}
}

// After an overflow the worker tells everything again: what it does not tell
// has ended meanwhile.
func TestATellingAnewReplacesWhatWasKnown(t *testing.T) {
	f := newKeep(t, 10)
	gone, here := f.connect(7, "gone"), f.connect(7, "here")
	other := f.connect(6, "")
	dup, err := unix.FcntlInt(uintptr(f.conns[here].fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.Keep.Keep(7, []proto.Kept{{ID: here, Meta: []byte("again")}}, []int{dup}, true)
	f.Rekept(7, 1)
	if f.isOpen(gone) || !f.isOpen(here) || !f.isOpen(other) {
		t.Errorf("open: gone %v, here %v, another's %v", f.isOpen(gone), f.isOpen(here), f.isOpen(other))
	}
	if !bytes.Equal(f.conns[here].meta, []byte("again")) {
		t.Errorf("meta %q", f.conns[here].meta)
	}
	f.Rekept(7, 0)
	if f.Count(7) != 0 {
		t.Error("a worker that keeps nothing any more still owns something")
	}
}

// A new supervisor asks two workers at once: their answers come mixed, and one may
// be given something of the other's meanwhile.
func TestTwoTellAtTheSameTime(t *testing.T) {
	f := newKeep(t, 10)
	dup := func(id uint64) int {
		fd, err := unix.FcntlInt(uintptr(f.conns[id].fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	a, late, b, gone := f.connect(6, ""), f.connect(6, ""), f.connect(7, ""), f.connect(7, "")
	f.Keep.Keep(6, []proto.Kept{{ID: a}, {ID: late}}, []int{dup(a), dup(late)}, true)
	f.Keep.Keep(7, []proto.Kept{{ID: b}}, []int{dup(b)}, true)
	f.Rekept(6, 2)
	_, fd, ok := f.Give(late, 6, 7)
	if !ok {
		t.Fatal("it is not there any more")
	}
	unix.Close(fd)
	f.Rekept(7, 1)
	if !f.isOpen(a) || !f.isOpen(late) || !f.isOpen(b) || f.isOpen(gone) {
		t.Errorf("open: %v, %v, %v; what was not told %v", f.isOpen(a), f.isOpen(late), f.isOpen(b), f.isOpen(gone))
	}
}

func TestBeyondTheLimitNothingIsKept(t *testing.T) {
	f := newKeep(t, 2)
	f.connect(7, "")
	f.connect(7, "")
	third := f.connect(7, "") // the only descriptor: it is closed
	if f.Count(7) != 2 || f.Refused() != 1 || f.isOpen(third) {
		t.Errorf("%d kept, %d refused", f.Count(7), f.Refused())
	}
	if err := f.Keep.Keep(7, []proto.Kept{{ID: 1}, {ID: 2}}, nil, false); err == nil {
		t.Error("connections without descriptors were kept")
	}
}

// A batch fits a packet, however much is known of each connection.
func TestABatchFitsAPacket(t *testing.T) {
	f := newKeep(t, 600)
	big := string(bytes.Repeat([]byte("m"), 1000))
	for i := range 600 {
		f.connect(7, big[:1000*(i%2)])
	}
	f.Offer(8, 7)
	n := 0
	for {
		conns, fds, err := f.Batch()
		proto.CloseFDs(fds)
		if err != nil {
			t.Fatal(err)
		}
		if len(conns) == 0 {
			break
		}
		if _, err := proto.Encode(proto.Adopt{Swap: 1 << 23, Conns: conns}); err != nil || len(fds) > proto.MaxFDs {
			t.Errorf("%d connections: %v", len(conns), err)
		}
		n += len(conns)
	}
	if n != 600 {
		t.Errorf("%d of 600 offered", n)
	}
}
