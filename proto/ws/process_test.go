package ws

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simpletalk/simpletalk/proto"
	"golang.org/x/sys/unix"
)

// talker is a client that sends numbered messages, some in fragments and with
// pings between, each write cut anywhere, and reads what comes back. Offsets
// are those of the kernel, the connection having no handshake.
type talker struct {
	conn   *net.TCPConn
	bulk   int // how long messages are
	server int // the supervisor's duplicate
	id     uint64
	stop   chan struct{}
	talks  sync.WaitGroup

	mu       sync.Mutex
	sent     uint64          // bytes, a message begun included
	ends     map[uint64]bool // offsets where messages sent end
	received uint64          // bytes of whole frames
	frames   map[uint64]bool // offsets where frames received end
	echoes   []int           // numbers that came back
	last     int             // number sent last
	err      error           // how receiving ended
}

func startTalker(t *testing.T, bulk int, pause time.Duration) *talker {
	client, server := tcpPair(t)
	id, err := unix.GetsockoptUint64(server, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		t.Fatal(err)
	}
	k := &talker{
		conn: client, bulk: bulk, server: server, id: id, stop: make(chan struct{}),
		ends: map[uint64]bool{0: true}, frames: map[uint64]bool{0: true},
	}
	// No answer of many bytes is written at once. (A small buffer of the reader
	// would have the same effect, and let the loopback crawl.)
	unix.SetsockoptInt(server, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<10)
	k.talks.Go(func() { k.talk(pause) })
	k.talks.Go(k.listen)
	return k
}

func (k *talker) talk(pause time.Duration) {
	for n := 1; ; n++ {
		select {
		case <-k.stop:
			k.conn.CloseWrite()
			return
		case <-time.After(rand.N(pause)):
		}
		text := strconv.Itoa(n) + strings.Repeat(" ", rand.IntN(k.bulk))
		b := masked(0x81, text)
		if n%3 == 0 {
			b = slices.Concat(masked(0x01, text[:len(text)/2]), masked(0x89, "p"), masked(0x80, text[len(text)/2:]))
		}
		k.mu.Lock()
		k.sent += uint64(len(b))
		k.ends[k.sent] = true
		k.last = n
		k.mu.Unlock()
		for len(b) > 0 {
			cut := min(1+rand.IntN(k.bulk), len(b))
			if _, err := k.conn.Write(b[:cut]); err != nil {
				return
			}
			b = b[cut:]
		}
	}
}

func (k *talker) listen() {
	p := &peer{conn: k.conn}
	for {
		first, text, err := p.tryReceive()
		k.mu.Lock()
		if err != nil {
			k.err = err
			k.mu.Unlock()
			return
		}
		k.received += uint64(len(appendHeader(nil, first&0x0f, len(text))) + len(text))
		k.frames[k.received] = true
		if first == 0x81 {
			n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
			k.echoes = append(k.echoes, n)
		} else if first != 0x8a {
			k.err = fmt.Errorf("frame %x %q", first, text)
		}
		k.mu.Unlock()
	}
}

// finish lets the talker end: it closes its half and reads what still comes.
func (k *talker) finish() {
	close(k.stop)
	k.talks.Wait()
	k.conn.Close()
	unix.Close(k.server)
}

// drop ends a talker whose connection is broken.
func (k *talker) drop() {
	unix.Shutdown(k.server, unix.SHUT_RDWR)
	k.finish()
}

// TestMoveBetweenProcesses moves connections through a row of processes. Every
// third of them is killed when it has everything but the word to go on, and
// the one before thaws.
func TestMoveBetweenProcesses(t *testing.T) {
	arena := makeArena(t, 1)
	var talkers []*talker
	for range 40 {
		talkers = append(talkers, startTalker(t, 300, 20*time.Millisecond))
	}
	now := startOwner(t, arena)
	for n, k := range talkers {
		now.say(sayAdopt, n, nil, k.server)
	}
	now.say(sayGo, 0, nil)
	now.expect(sayGo, nil)
	for round := range 9 {
		time.Sleep(20 * time.Millisecond)
		next := startOwner(t, arena)
		for n, k := range talkers {
			next.say(sayAdopt, n, nil, k.server)
		}
		now.say(sayFreeze, 0, nil)
		now.expect(sayFreeze, func(n int, snap []byte) { next.say(sayLoad, n, snap) })
		if round%3 == 2 {
			next.end(true)
			now.say(sayThaw, 0, nil)
			now.expect(sayThaw, nil)
			continue
		}
		next.say(sayGo, 0, nil)
		next.expect(sayGo, nil)
		now.say(sayRelease, 0, nil)
		now.expect(sayRelease, nil)
		now.end(false)
		now = next
	}
	messages := 0
	for n, k := range talkers {
		k.finish()
		if !errors.Is(k.err, io.EOF) {
			t.Errorf("client %d: %v", n, k.err)
		}
		want := make([]int, k.last)
		for i := range want {
			want[i] = i + 1
		}
		if !slices.Equal(k.echoes, want) {
			t.Errorf("client %d: of %d messages came back %v", n, k.last, k.echoes)
		}
		messages += k.last
	}
	now.end(true)
	t.Logf("%d messages", messages)
}

// TestKill kills the owner at random moments. A connection whose record agrees
// with the kernel's stream positions stands between two messages both ways,
// and goes on in the next process without a byte too many or too few.
func TestKill(t *testing.T) {
	const clients, rounds = 12, 30
	arena := makeArena(t, 1000)
	talkers := map[int]*talker{}
	born := 0
	var sound, broken, swallowed, echoed int
	conclude := func(k *talker) {
		last := 0
		for _, n := range k.echoes {
			if n <= last {
				t.Errorf("message %d came back after %d", n, last)
			}
			swallowed += n - last - 1
			last = n
		}
		echoed += len(k.echoes)
	}
	p := startOwner(t, arena)
	for round := range rounds {
		for len(talkers) < clients {
			bulk, pause := 300, 600*time.Microsecond
			if born%3 == 0 {
				bulk, pause = 16000, 50*time.Microsecond
			}
			k := startTalker(t, bulk, pause)
			talkers[born] = k
			p.say(sayRecover, born, nil, k.server)
			born++
		}
		next := startOwner(t, arena)
		for n, k := range talkers {
			next.say(sayAdopt, n, nil, k.server)
		}
		if round%4 != 3 { // else it is killed while they begin
			p.say(sayThaw, 0, nil)
			p.expect(sayThaw, nil)
			time.Sleep(rand.N(40 * time.Millisecond))
		}
		p.end(true) // waits: the positions are final
		records := recordsOf(t, arena)
		for _, n := range slices.Collect(maps.Keys(talkers)) {
			k := talkers[n]
			read, written, err := StreamPositions(k.server)
			if err != nil {
				t.Fatal(err)
			}
			state, kept := records[k.id]
			switch {
			case !kept && read == 0 && written == 0: // it had not begun
			case kept && state.Sound(read, written):
				sound++
				k.expectBoundary(t, read, written)
			default:
				broken++
				delete(talkers, n)
				k.drop()
				conclude(k)
				continue
			}
			next.say(sayRecover, n, nil)
		}
		p = next
	}
	p.end(true)
	for _, k := range talkers {
		k.drop()
		conclude(k)
	}
	if sound == 0 || echoed == 0 {
		t.Errorf("nothing was tested")
	}
	t.Logf("%d kills: %d times sound, %d broken in mid-message; %d echoes, %d messages swallowed", rounds, sound, broken, echoed, swallowed)
}

// expectBoundary checks what was judged sound against what the client knows.
func (k *talker) expectBoundary(t *testing.T, read, written uint64) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		k.mu.Lock()
		all, atFrame, atMessage := k.received >= written, k.frames[written], k.ends[read]
		k.mu.Unlock()
		if !all && time.Now().Before(end) {
			continue // the kernel delivers what it took from the dead
		}
		if !all || !atFrame || !atMessage {
			t.Errorf("judged sound at %d, %d: a message ends there %v, a frame %v (%d received)", read, written, atMessage, atFrame, k.received)
		}
		return
	}
}

func recordsOf(t *testing.T, arena *os.File) map[uint64]proto.RecordState {
	t.Helper()
	raw, err := arena.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	states := map[uint64]proto.RecordState{}
	raw.Control(func(fd uintptr) {
		var list []proto.RecordState
		list, err = proto.ReadRecords(int(fd))
		for _, s := range list {
			states[s.ID] = s
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return states
}
