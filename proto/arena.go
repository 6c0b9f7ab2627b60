package proto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The arena's layout is frozen for ever: a worker of any build maps what a
// supervisor of any other made. All numbers are 64-bit words of the machine.
//
//	0     magic
//	8     records        how many follow
//	16    owner          the ownership word of all connections
//	24    reserved up to headerSize
//	4096  records, recordSize bytes each:
//	      id · owner · inbound · outbound begun · outbound ended · handling · suspect · reserved
const (
	arenaMagic = 0x53544152454e4131 // "STARENA1"
	headerSize = 4096
	recordSize = 64

	wordMagic, wordRecords, wordOwner = 0, 1, 2
)

// MaxRecords bounds an arena; no process may open more descriptors than this.
const MaxRecords = 1 << 20

// ErrArena says that a descriptor is no arena, or one that was damaged.
var ErrArena = errors.New("not an arena")

// Phase tells what the owner of connections does with them.
type Phase uint8

// Phases of ownership.
const (
	PhaseUnowned Phase = iota // nobody has owned them yet
	PhaseServing              // the generation reads and writes them
	PhaseFrozen               // the generation has stopped at a boundary, for a swap
)

func (p Phase) String() string {
	switch p {
	case PhaseUnowned:
		return "unowned"
	case PhaseServing:
		return "serving"
	case PhaseFrozen:
		return "frozen"
	default:
		return fmt.Sprintf("Phase(%d)", uint8(p))
	}
}

// Owner is an ownership word: who may touch the streams. Only who changes it
// by compare-and-swap from the value known to be there becomes the owner.
type Owner struct {
	Generation uint32 `json:"gen"`
	Phase      Phase  `json:"phase"`
	Swap       uint32 `json:"swap,omitempty"` // the swap in which it is frozen; 24 bits
}

const swapBits = 24

func (o Owner) word() uint64 {
	return uint64(o.Swap&(1<<swapBits-1))<<40 | uint64(o.Phase)<<32 | uint64(o.Generation)
}

func ownerOf(word uint64) Owner {
	return Owner{Generation: uint32(word), Phase: Phase(word >> 32), Swap: uint32(word >> 40)}
}

func (o Owner) String() string {
	if o.Phase == PhaseFrozen {
		return fmt.Sprintf("frozen(%d, swap %d)", o.Generation, o.Swap)
	}
	return fmt.Sprintf("%s(%d)", o.Phase, o.Generation)
}

// MakeArena makes the memory for records kept connections, sealed so that
// nobody can ever shrink it under those who map it. The close-on-exec
// descriptor is the caller's.
func MakeArena(records int) (fd int, err error) {
	if records < 1 || records > MaxRecords {
		return -1, fmt.Errorf("make arena: %d records, there can be 1 to %d", records, MaxRecords)
	}
	fd, err = unix.MemfdCreate("simpletalk-arena", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("make arena: %w", err)
	}
	header := binary.NativeEndian.AppendUint64(nil, arenaMagic)
	header = binary.NativeEndian.AppendUint64(header, uint64(records))
	err = unix.Ftruncate(fd, arenaSize(records))
	if err == nil {
		_, err = unix.Pwrite(fd, header, 0)
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("make arena: %w", err)
	}
	return fd, nil
}

func arenaSize(records int) int64 { return headerSize + int64(records)*recordSize }

// ReadOwner reads the ownership word of an arena without mapping it, as the
// supervisor does.
func ReadOwner(fd int) (Owner, error) {
	var word [8]byte
	if err := readWords(fd, word[:], wordOwner*8); err != nil {
		return Owner{}, err
	}
	return ownerOf(binary.NativeEndian.Uint64(word[:])), nil
}

// ReadRecords reads every allocated record of an arena without mapping it.
// While its owner lives the values may be of different moments.
func ReadRecords(fd int) ([]RecordState, error) {
	n, err := readHeader(fd)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, n*recordSize)
	if err := readWords(fd, raw, headerSize); err != nil {
		return nil, err
	}
	var states []RecordState
	for r := range slices.Chunk(raw, recordSize) {
		if id := wordAt(r, recordID); id != 0 {
			states = append(states, RecordState{
				ID: id, Owner: ownerOf(wordAt(r, recordOwner)), Inbound: wordAt(r, recordInbound),
				OutboundBegun: wordAt(r, recordBegun), OutboundEnded: wordAt(r, recordEnded),
				Handling: wordAt(r, recordHandling), Suspect: wordAt(r, recordSuspect),
			})
		}
	}
	return states, nil
}

func wordAt(record []byte, word int) uint64 { return binary.NativeEndian.Uint64(record[word*8:]) }

// readHeader checks that fd is an arena and returns its number of records.
func readHeader(fd int) (records int, err error) {
	var header [16]byte
	if err := readWords(fd, header[:], 0); err != nil {
		return 0, err
	}
	n := binary.NativeEndian.Uint64(header[8:])
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrArena, err)
	}
	if binary.NativeEndian.Uint64(header[:]) != arenaMagic || n < 1 || n > MaxRecords || st.Size != arenaSize(int(n)) {
		return 0, fmt.Errorf("%w: %d bytes that claim %d records", ErrArena, st.Size, n)
	}
	return int(n), nil
}

func readWords(fd int, p []byte, offset int64) error {
	n, err := unix.Pread(fd, p, offset)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrArena, err)
	}
	if n < len(p) {
		return fmt.Errorf("%w: it ends at byte %d", ErrArena, offset+int64(n))
	}
	return nil
}

// Arena is an arena mapped by a worker. Owner and Claim may be called
// concurrently, by any process that maps it; Allocate and Free only while this
// process is the owner.
type Arena struct {
	mem     []byte
	records int

	mu   sync.Mutex
	free []int // indexes of records, the lowest last
}

// MapArena maps the arena behind fd, which stays the caller's. [Arena.Close]
// unmaps it.
func MapArena(fd int) (*Arena, error) {
	n, err := readHeader(fd)
	if err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(fd, 0, int(arenaSize(n)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map arena: %w", err)
	}
	a := &Arena{mem: mem, records: n}
	a.Scan()
	return a, nil
}

// Close unmaps the arena. No record of it may be used afterwards.
func (a *Arena) Close() error { return unix.Munmap(a.mem) }

// Owner returns the ownership word as it is now.
func (a *Arena) Owner() Owner { return ownerOf(a.ownerWord().Load()) }

// Claim changes the ownership word from one value to another and reports
// whether it was there: of all who try, in all processes, one wins.
func (a *Arena) Claim(from, to Owner) bool {
	return a.ownerWord().CompareAndSwap(from.word(), to.word())
}

func (a *Arena) ownerWord() *atomic.Uint64 { return a.word(wordOwner * 8) }

// word is the word at a byte offset. Offsets are multiples of 8 and a mapping
// begins at a page, so it is aligned.
func (a *Arena) word(offset int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&a.mem[offset]))
}

// Scan finds the free records anew: whoever becomes the owner calls it, because
// the one before has allocated and freed meanwhile.
func (a *Arena) Scan() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.scan()
}

func (a *Arena) scan() {
	a.free = a.free[:0]
	for i := a.records - 1; i >= 0; i-- {
		if a.Record(i).ID() == 0 {
			a.free = append(a.free, i)
		}
	}
}

// Allocate takes a free record for the connection id, which must not be 0. It
// reports false when there is none: the connection is not kept.
func (a *Arena) Allocate(id uint64) (Record, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.pop()
	if !ok {
		a.scan() // stragglers of the worker before may have ended meanwhile
		r, ok = a.pop()
	}
	if !ok {
		return Record{}, false
	}
	r.clear()
	r.at(recordID).Store(id) // last: before it nobody looks at the rest
	return r, true
}

// pop takes the next record that is still free: the list may be older than the
// last owner's doings. mu is held.
func (a *Arena) pop() (Record, bool) {
	for len(a.free) > 0 {
		r := a.Record(a.free[len(a.free)-1])
		a.free = a.free[:len(a.free)-1]
		if r.ID() == 0 {
			return r, true
		}
	}
	return Record{}, false
}

// Free gives the record of a connection back, if it is still that.
func (a *Arena) Free(r Record, id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.at(recordID).CompareAndSwap(id, 0) {
		a.free = append(a.free, r.index)
	}
}

// Release is Free by a worker that is not the owner any more, for a straggler:
// the owner finds the record when it looks for free ones.
func (a *Arena) Release(r Record, id uint64) { r.at(recordID).CompareAndSwap(id, 0) }

// Index returns the record of every connection that has one.
func (a *Arena) Index() map[uint64]Record {
	all := map[uint64]Record{}
	for i := range a.records {
		if r := a.Record(i); r.ID() != 0 {
			all[r.ID()] = r
		}
	}
	return all
}

// Find returns the record of a connection.
func (a *Arena) Find(id uint64) (Record, bool) {
	for i := range a.records {
		if r := a.Record(i); r.ID() == id {
			return r, true
		}
	}
	return Record{}, false
}

// Record returns record i, allocated or not.
func (a *Arena) Record(i int) Record { return Record{arena: a, index: i} }

// Words of a record.
const (
	recordID = iota
	recordOwner
	recordInbound
	recordBegun
	recordEnded
	recordHandling
	recordSuspect
)

// Record is what must be known of one kept connection when its worker dies at
// any instruction. Offsets count the stream's bytes since the connection was
// made. Its methods are single atomic loads and stores.
type Record struct {
	arena *Arena
	index int
}

// RecordState is a record as read at one time.
type RecordState struct {
	ID            uint64 // the socket's SO_COOKIE, 0 if the record is free
	Owner         Owner  // of a straggler, that moves later than the others
	Inbound       uint64 // where the last whole message read ended
	OutboundBegun uint64 // where the frame being written will end
	OutboundEnded uint64 // where the last whole frame written ended
	Handling      uint64 // a hash of the message being handled, 0 between two
	Suspect       uint64 // a hash of the message that was being handled when a worker died, and how often it was
}

func (r Record) at(word int) *atomic.Uint64 {
	return r.arena.word(headerSize + r.index*recordSize + word*8)
}

func (r Record) clear() {
	for w := recordOwner; w < recordSize/8; w++ {
		r.at(w).Store(0)
	}
}

// ID is the connection's, 0 if the record is free.
func (r Record) ID() uint64 { return r.at(recordID).Load() }

// State reads the whole record.
func (r Record) State() RecordState {
	return RecordState{
		ID: r.ID(), Owner: r.Owner(), Inbound: r.at(recordInbound).Load(),
		OutboundBegun: r.at(recordBegun).Load(), OutboundEnded: r.at(recordEnded).Load(),
		Handling: r.at(recordHandling).Load(), Suspect: r.at(recordSuspect).Load(),
	}
}

// Owner is the straggler's own ownership word.
func (r Record) Owner() Owner { return ownerOf(r.at(recordOwner).Load()) }

// Claim is [Arena.Claim] for the straggler's own word.
func (r Record) Claim(from, to Owner) bool {
	return r.at(recordOwner).CompareAndSwap(from.word(), to.word())
}

// Received notes that a message ending at offset has been read whole. It is
// called before the message is handled.
func (r Record) Received(offset uint64) { r.at(recordInbound).Store(offset) }

// Begin notes, before the first byte of a frame is written, where it will end.
func (r Record) Begin(offset uint64) { r.at(recordBegun).Store(offset) }

// End notes that the frame ending at offset has been written whole.
func (r Record) End(offset uint64) { r.at(recordEnded).Store(offset) }

// Handle notes that a message with this hash is being handled, 0 that none is
// any more.
func (r Record) Handle(hash uint64) { r.at(recordHandling).Store(hash) }

// Blame is called once by whoever recovers the connection. It tells how many
// workers in a row have died while they handled the same message of it: 0 when
// none was being handled.
func (r Record) Blame() (deaths int) {
	hash := r.at(recordHandling).Swap(0) >> suspectBits
	if hash == 0 {
		return 0
	}
	before := r.at(recordSuspect).Load()
	deaths = 1
	if before>>suspectBits == hash {
		deaths += int(before & maxSuspect)
	}
	r.at(recordSuspect).Store(hash<<suspectBits | uint64(min(deaths, maxSuspect)))
	return deaths
}

// Of a suspect's word the low bits count.
const (
	suspectBits = 8
	maxSuspect  = 1<<suspectBits - 1
)

// Sound reports whether a connection whose kernel has given its owner `read`
// bytes and taken `written` ones stands at a message boundary both ways: then
// whoever adopts it can go on. A frame that was begun and of which no byte left
// was not begun.
func (s RecordState) Sound(read, written uint64) bool {
	return read == s.Inbound && (written == s.OutboundEnded || written == s.OutboundBegun)
}
