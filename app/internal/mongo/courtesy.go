package mongo

import "time"

// courtesy keeps one busy process from starving the others. Who appends without
// pause is always there first: it knows the head from its own append, the
// others have to read it and are late again. So every process leaves a gap now
// and then, and one that has met another leaves a gap after each append of its
// own: the time that the other needs for a read and an insert.
//
// It belongs to whoever has the store's turn. The zero value is alone.
type courtesy struct {
	met    time.Time     // when a place was last found taken
	rested time.Time     // when the last gap was, if only because there was nothing to do
	done   time.Time     // when the last insert ended
	took   time.Duration // how long that was
}

const (
	// courtesyFor is how long another is remembered that is not met again.
	courtesyFor = time.Second
	// courtesyEvery is how long nobody is met without a gap.
	courtesyEvery = 50 * time.Millisecond
	// courtesyGap is how long a gap is, in inserts of our own.
	courtesyGap = 3
	// courtesyMax bounds that, for a server that answers slowly.
	courtesyMax = 100 * time.Millisecond
)

// meet tells that a place was taken by another.
func (c *courtesy) meet(now time.Time) { c.met = now }

// inserted tells of an insert.
func (c *courtesy) inserted(begun, done time.Time) {
	if begun.Sub(c.done) >= c.gap() {
		c.rested = begun
	}
	c.done, c.took = done, done.Sub(begun)
}

func (c *courtesy) gap() time.Duration { return min(courtesyGap*c.took, courtesyMax) }

// wait is how long the next insert is put off.
func (c *courtesy) wait(now time.Time) time.Duration {
	if now.Sub(c.met) >= courtesyFor && now.Sub(c.rested) < courtesyEvery {
		return 0
	}
	return max(0, c.gap()-now.Sub(c.done))
}
