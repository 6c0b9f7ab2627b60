package load

import wire "github.com/simpletalk/simpletalk/proto/chat"

// faults is what a run found wrong with messages.
type faults struct{ lost, duplicated, reordered int64 }

func (f *faults) add(g faults) {
	f.lost += g.lost
	f.duplicated += g.duplicated
	f.reordered += g.reordered
}

// roomLog is a room's log as the store has it, held against what its authors
// know.
type roomLog struct {
	room   *room
	tag    string
	seqs   series
	places []uint64  // by seq
	sum    uint64    // of places
	where  [][]int64 // per author, per message: its seq; 0: not stored
	stored []int64   // per author: messages
	latest []int64   // per author: the highest number so far
	faults faults
}

func newRoomLog(r *room, tag string) *roomLog {
	n := len(r.ledgers)
	l := &roomLog{room: r, tag: tag, where: make([][]int64, n), stored: make([]int64, n), latest: make([]int64, n)}
	for i, ledger := range r.ledgers {
		written, _ := ledger.totals()
		l.where[i] = make([]int64, written)
	}
	return l
}

// add takes the log's next event.
func (l *roomLog) add(e wire.Event) {
	switch l.seqs.add(e.Seq) {
	case arrivedAgain:
		l.faults.duplicated++
		return
	case arrivedLate:
		l.faults.reordered++
	}
	m, ours := parseMessage([]byte(e.Text), l.tag)
	for int64(len(l.places)) < e.Seq {
		l.places = append(l.places, 0)
	}
	l.places[e.Seq-1] = place(e.Seq, m)
	l.sum += l.places[e.Seq-1]
	if ours {
		l.message(e.Seq, m)
	}
}

// message notes where a message stands.
func (l *roomLog) message(seq int64, m message) {
	i, ledger := l.room.ledgerOf(m.author)
	if ledger == nil || m.number < 1 || m.number > int64(len(l.where[i])) {
		return
	}
	if l.where[i][m.number-1] != 0 {
		l.faults.duplicated++
		return
	}
	l.where[i][m.number-1] = seq
	l.stored[i]++
	if m.number < l.latest[i] && !ledger.isWaived(m.number) {
		l.faults.reordered++
	}
	l.latest[i] = max(l.latest[i], m.number)
}

// authors holds the log against what was acknowledged.
func (l *roomLog) authors() (f faults) {
	f = l.faults
	f.lost += l.seqs.top - l.seqs.received()
	for i, ledger := range l.room.ledgers {
		ledger.mu.Lock()
		f.reordered += ledger.extra
		for n, acked := range ledger.posts {
			switch seq := l.where[i][n]; {
			case acked == 0, seq == 0:
				f.lost++
			case seq != acked:
				f.reordered++
			}
		}
		ledger.mu.Unlock()
	}
	return f
}

// member holds the log against what one member has.
func (l *roomLog) member(s *seat) faults {
	f := faults{duplicated: s.duplicated, reordered: s.reordered}
	f.lost = max(l.unseen(s), l.unheard(s))
	if f == (faults{}) && s.seqs.top == l.seqs.top && l.sum != s.places {
		f.reordered++ // complete, and still another order than the log's
	}
	return f
}

// unseen counts what the member lacks, or has and the log does not, by seq.
func (l *roomLog) unseen(s *seat) int64 {
	n := s.seqs.top - s.seqs.received()
	if d := l.seqs.top - s.seqs.top; d > 0 {
		return n + d
	}
	return n + s.seqs.top - l.seqs.top
}

// unheard counts what the member lacks by the authors' numbers.
func (l *roomLog) unheard(s *seat) (n int64) {
	for i := range s.authors {
		n += max(0, l.stored[i]-s.authors[i].received())
	}
	return n
}
