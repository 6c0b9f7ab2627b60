package logs

import (
	"context"
	"time"
)

// batchBytes bounds what a follower takes from the ring at a time, by the
// lines' weight: how long it holds the lock, and what it keeps from being freed.
const batchBytes = 32 << 10

// Query says which lines of a [Ring] are wanted. The zero value wants all that
// are there.
type Query struct {
	Lines  int       // only the last so many of those that match; 0 for all, negative for none but what is yet to come
	Since  time.Time // only lines added then or later
	Err    bool      // only lines of standard error
	Follow bool      // go on with the lines that are yet to come
}

func (q Query) matches(p *place) bool { return p.err || !q.Err }

// count is how many lines that match lie between two marks, kept or gone.
func (q Query) count(from, to mark) uint64 {
	if q.Err {
		return to.errs - from.errs
	}
	return to.lines - from.lines
}

// Follow calls each with the lines of q in order, every one once. Those that
// the ring let go of before they could be told are told by a Line with their
// number in Lost, in their place. Without q.Follow it returns nil when all that
// was there at the call has been told; else it returns when ctx ends, with its
// cause. An error of each ends it and is returned.
//
// The ring is not held while each runs: it may take its time, and use the ring.
func (r *Ring) Follow(ctx context.Context, q Query, each func(Line) error) error {
	for f := r.follower(q); ; {
		batch, changed := f.next()
		for _, line := range batch {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err := each(line); err != nil {
				return err
			}
		}
		if changed == nil {
			continue
		}
		if !q.Follow {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// follower is a cursor into a ring. It is for one goroutine.
type follower struct {
	*Ring
	query Query
	at    mark // everything before it has been told
	end   mark // there was nothing behind it when last looked
	batch []Line
}

func (r *Ring) follower(q Query) *follower {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &follower{Ring: r, query: q, at: r.begin(q), end: r.added}
}

// begin walks back from the newest line to where q begins. It ends at the first
// line that is too old, rather than passing over it: after the clock was set
// back, lines from before that look newer than they are.
func (r *Ring) begin(q Query) mark {
	at := r.added
	if q.Lines < 0 {
		return at
	}
	for i, matched := r.count-1, 0; i >= 0; i-- {
		p := r.nth(i)
		if time.Unix(0, p.at).Before(q.Since) {
			break
		}
		if q.matches(p) {
			matched++
		}
		if q.Lines > 0 && matched > q.Lines {
			break
		}
		at = at.before(p)
	}
	return at
}

// next returns the next lines, which stay the follower's. If there are no more
// at this moment, changed is not nil and will be closed by the next Add.
func (f *follower) next() (batch []Line, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.query.Follow {
		f.end = f.added
	}
	clear(f.batch) // or it would keep texts of more than a batch
	f.batch = f.batch[:0]
	f.skipGone()
	for size := 0; f.at.lines < f.end.lines; {
		p := f.nth(int(f.at.lines - f.gone.lines))
		f.at = f.at.past(p)
		if f.query.matches(p) {
			f.batch = append(f.batch, p.line(f.at))
		}
		if size += p.weight(); size >= batchBytes {
			return f.batch, nil
		}
	}
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.batch, f.changed
}

// skipGone moves on to the oldest line, or to the end if the ring is even
// beyond that, and tells how much that left out.
func (f *follower) skipGone() {
	to := f.gone
	if to.lines > f.end.lines {
		to = f.end
	}
	if to.lines <= f.at.lines {
		return
	}
	if lost := f.query.count(f.at, to); lost > 0 {
		f.batch = append(f.batch, Line{Time: time.Now().UTC(), Lost: lost})
	}
	f.at = to
}
