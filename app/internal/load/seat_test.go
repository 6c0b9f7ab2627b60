package load

import (
	"math/rand/v2"
	"testing"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// copyOf is one event as it arrived: whose place it says it has, and which
// message it is.
type copyOf struct {
	seq int64
	m   message
}

// spoiled makes of a log what a member may get: each byte decides about one
// event. The author of an event is 0 to 2.
func spoiled(data []byte) (log, arrivals []copyOf) {
	numbers := map[int]int64{}
	for i, b := range data {
		author := int(b>>4) % 3
		numbers[author]++
		log = append(log, copyOf{int64(i + 1), message{author: author, number: numbers[author], due: int64(i)}})
	}
	var held []copyOf
	for i, b := range data {
		e := log[i]
		switch b % 16 {
		case 0: // dropped
		case 1:
			arrivals = append(arrivals, e, e)
		case 2: // comes later
			held = append(held, e)
		case 3: // another message in its place
			arrivals = append(arrivals, copyOf{e.seq, log[i/2].m})
		case 4: // what was held comes before it
			arrivals = append(append(arrivals, held...), e)
			held = nil
		case 5: // an old one again
			arrivals = append(arrivals, e, log[i/2])
		default:
			arrivals = append(arrivals, e)
		}
	}
	return log, append(arrivals, held...)
}

// oracle counts by looking at everything that came before, as the package
// comment says it.
func oracle(log, arrivals []copyOf) (f faults) {
	seqs := map[int64]bool{}
	heard := map[int]map[int64]bool{0: {}, 1: {}, 2: {}}
	for i, a := range arrivals {
		late, behind := false, false
		for _, before := range arrivals[:i] {
			late = late || before.seq > a.seq
			behind = behind || before.m.author == a.m.author && before.m.number > a.m.number && heard[a.m.author][before.m.number]
		}
		switch {
		case seqs[a.seq]:
			f.duplicated++
			continue
		case late:
			f.reordered++
		}
		if heard[a.m.author][a.m.number] {
			f.duplicated++
		} else if behind && !late {
			f.reordered++
		}
		seqs[a.seq] = true
		heard[a.m.author][a.m.number] = true
	}
	stored := map[int]int64{}
	for _, e := range log {
		stored[e.m.author]++
		if !seqs[e.seq] {
			f.lost++
		}
	}
	var unheard int64
	for author, n := range stored {
		unheard += max(0, n-int64(len(heard[author])))
	}
	f.lost = max(f.lost, unheard)
	return f
}

// checked counts with a seat and a log.
func checked(log, arrivals []copyOf) faults {
	r := newRoom("r", []int{0, 1, 2}, 0)
	for _, e := range log {
		l := r.ledgers[e.m.author]
		l.acknowledge(l.write(), e.seq)
	}
	s := newSeat(r)
	for _, a := range arrivals {
		s.take(a.seq, a.m, true)
	}
	stored := newRoomLog(r, "t")
	for _, e := range log {
		stored.add(wire.Event{Seq: e.seq, Text: e.m.text("t")})
	}
	f := stored.authors()
	f.add(stored.member(s))
	return f
}

func checkOracle(t *testing.T, data []byte) {
	t.Helper()
	log, arrivals := spoiled(data)
	want, got := oracle(log, arrivals), checked(log, arrivals)
	// An order that nobody could see from the counters alone is for the sum
	// of places: the oracle has none.
	if want == (faults{}) && got == (faults{reordered: 1}) {
		for i := range arrivals {
			if arrivals[i] != log[i] {
				return
			}
		}
	}
	if got != want {
		t.Errorf("got %+v, want %+v\nlog %v\narrivals %v", got, want, log, arrivals)
	}
}

func TestSeatAgainstTheOracle(t *testing.T) {
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		data := make([]byte, rnd.IntN(40))
		for i := range data {
			data[i] = byte(rnd.Uint32())
			if rnd.IntN(3) > 0 {
				data[i] |= 0x0f // most arrive as they should
			}
		}
		if checkOracle(t, data); t.Failed() {
			return
		}
	}
}

func FuzzSeat(f *testing.F) {
	f.Add([]byte{0x0f, 0x1f, 0x02, 0x1f, 0x04})
	f.Add([]byte{0x0f, 0x0f, 0x03, 0x05, 0x00, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 200 {
			checkOracle(t, data)
		}
	})
}

// Two members with everything, each in another order that its numbers do not
// show: only the log tells.
func TestAnotherOrderThanTheLogs(t *testing.T) {
	a, b := message{author: 0, number: 1}, message{author: 1, number: 1}
	log := []copyOf{{1, a}, {2, b}}
	if f := checked(log, []copyOf{{1, b}, {2, a}}); f != (faults{reordered: 1}) {
		t.Errorf("got %+v, want one reordered", f)
	}
	if f := checked(log, log); f != (faults{}) {
		t.Errorf("got %+v, want nothing", f)
	}
}

func TestTheLogAgainstItsAuthors(t *testing.T) {
	one, two, three := message{number: 1}, message{number: 2}, message{number: 3}
	tests := []struct {
		name   string
		acked  []int64 // of messages 1, 2, …; 0: never
		waived int64
		log    []message
		want   faults
	}{
		{"as it should be", []int64{1, 2}, 0, []message{one, two}, faults{}},
		{"acknowledged and not stored", []int64{1, 2}, 0, []message{one}, faults{lost: 1}},
		{"stored and not acknowledged", []int64{1, 0}, 0, []message{one, two}, faults{lost: 1}},
		{"neither", []int64{1, 0}, 0, []message{one}, faults{lost: 1}},
		{"stored twice", []int64{1, 2}, 0, []message{one, two, one}, faults{duplicated: 1}},
		{"stored out of order", []int64{1, 3, 2}, 0, []message{one, three, two}, faults{reordered: 1}},
		{"out of order because the server said later", []int64{1, 3, 2}, 2, []message{one, three, two}, faults{}},
		{"not where the acknowledgement said", []int64{1, 3}, 0, []message{one, two}, faults{reordered: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoom("r", []int{0}, 0)
			for _, seq := range tt.acked {
				if n := r.ledgers[0].write(); seq > 0 {
					r.ledgers[0].acknowledge(n, seq)
				}
			}
			if tt.waived > 0 {
				r.ledgers[0].waive(tt.waived)
			}
			l := newRoomLog(r, "t")
			for i, m := range tt.log {
				l.add(wire.Event{Seq: int64(i + 1), Text: m.text("t")})
			}
			if got := l.authors(); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestAnAcknowledgementMayCome(t *testing.T) {
	l := &ledger{}
	n := l.write()
	l.acknowledge(n, 7)
	if l.acknowledge(n, 7); l.extra != 0 {
		t.Error("the answer to a repetition is counted")
	}
	if l.acknowledge(n, 8); l.extra != 1 {
		t.Error("another place for the same message is not counted")
	}
}

// What a reset announces is no fault: neither the gap that is read, nor what
// comes again.
func TestReset(t *testing.T) {
	r := newRoom("r", []int{0}, 0)
	s := newSeat(r)
	at := func(seq int64) message { return message{number: seq} }
	s.take(1, at(1), true)
	if !s.reset(5) || s.hole != (span{2, 5}) {
		t.Errorf("hole %+v after a reset to 5 at 1, want 2 to 5", s.hole)
	}
	s.take(6, at(6), true)
	for seq := int64(2); seq <= 6; seq++ { // a page may reach too far
		s.read(seq, at(seq), true)
	}
	if s.hole.first != 0 || len(s.seqs.missing) > 0 || s.seqs.top != 6 {
		t.Errorf("got %+v after the page, want everything up to 6", s)
	}
	if s.reset(3) {
		t.Error("a reset to what is there asks to read")
	}
	for seq := int64(4); seq <= 7; seq++ {
		s.take(seq, at(seq), true)
	}
	if s.duplicated != 0 || s.reordered != 0 || s.seqs.received() != 7 {
		t.Errorf("got %+v, want seven events and no fault", s)
	}
}
