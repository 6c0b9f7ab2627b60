package logs

import (
	"strings"
	"sync"
	"time"
)

const (
	// minRing makes room for some lines of any length.
	minRing = 64 << 10

	// lineOverhead is what a line weighs besides its text: its place, twice as
	// the places double, and what the allocator rounds up.
	lineOverhead = 128
)

// Ring keeps the last lines of one program, bounded in bytes. Readers hold no
// more of it than a position, so that a slow one costs nothing and delays
// nobody. All methods may be called concurrently.
type Ring struct {
	mu      sync.Mutex
	limit   int
	size    int
	places  []place       // a circle
	first   int           // index in places of the oldest line
	count   int           // lines that are kept
	gone    mark          // in front of the oldest line
	added   mark          // behind the newest line
	changed chan struct{} // closed by the next Add; nil while nobody waits
}

// place holds a line. Where it is in the circle tells its number.
type place struct {
	at   int64 // nanoseconds of Unix time
	text string
	from Origin
	err  bool
}

// mark is a position between two lines: how many lines were ever added before
// it, and how many of those were of standard error.
type mark struct{ lines, errs uint64 }

func (m mark) past(p *place) mark {
	m.lines++
	if p.err {
		m.errs++
	}
	return m
}

func (m mark) before(p *place) mark {
	m.lines--
	if p.err {
		m.errs--
	}
	return m
}

// NewRing returns a Ring for so many bytes of lines, 64 KiB at least.
func NewRing(bytes int) *Ring { return &Ring{limit: max(bytes, minRing)} }

// Add keeps a copy of text as the newest line, in place of the oldest ones if need
// be. It never waits for a reader. What is no UTF-8 becomes
// U+FFFD, and what is longer than a [Stream] makes lines is cut.
func (r *Ring) Add(from Origin, err bool, text []byte) {
	p := place{at: time.Now().UnixNano(), from: from, err: err}
	p.text = strings.ToValidUTF8(string(text[:min(len(text), maxLine)]), "\uFFFD")
	if changed := r.add(p); changed != nil {
		close(changed)
	}
}

// add returns the channel that is to be closed, if somebody waits.
func (r *Ring) add(p place) (changed chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.size += p.weight()
	r.evict()
	if r.count == len(r.places) {
		r.move(max(64, 2*r.count))
	}
	*r.nth(r.count) = p
	r.count++
	r.added = r.added.past(&p)
	changed, r.changed = r.changed, nil
	return changed
}

// Resize changes how many bytes of lines are kept, 64 KiB at least. The oldest
// lines make room.
func (r *Ring) Resize(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = max(bytes, minRing)
	r.evict()
	r.move(r.count)
}

// Clear lets go of every line. Those who have not read them yet are told so.
func (r *Ring) Clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := r.limit
	r.limit = 0
	r.evict()
	r.limit = limit
	r.move(0)
}

// evict lets go of the oldest lines until the rest fits.
func (r *Ring) evict() {
	for r.size > r.limit && r.count > 0 {
		oldest := r.nth(0)
		r.size -= oldest.weight()
		r.gone = r.gone.past(oldest)
		*oldest = place{}
		r.first = (r.first + 1) % len(r.places)
		r.count--
	}
}

// move moves the lines into so many places, which must be enough.
func (r *Ring) move(places int) {
	to := make([]place, places)
	for i := range r.count {
		to[i] = *r.nth(i)
	}
	r.places, r.first = to, 0
}

// nth is the place of the i-th line, the oldest being 0.
func (r *Ring) nth(i int) *place { return &r.places[(r.first+i)%len(r.places)] }

func (p *place) weight() int { return len(p.text) + lineOverhead }

// line is what a reader gets of the line that ends at m.
func (p *place) line(m mark) Line {
	return Line{Time: time.Unix(0, p.at).UTC(), Origin: p.from, Err: p.err, Text: p.text, Seq: m.lines}
}
