package supervise

import "time"

// Meter is told what is worth measuring of handovers. Its functions must not
// block; those that are nil, and a nil Meter, measure nothing.
type Meter struct {
	Paused func(program string, d time.Duration) // connections stood still for so long
	Broken func(program string, conns int)       // a crash has cut so many in mid-message
}

// live measures a handover that has come about; frozen is zero where nobody had
// to stand still.
func (m *Meter) live(program string, frozen time.Time, broken int) {
	if m == nil {
		return
	}
	if m.Paused != nil && !frozen.IsZero() {
		m.Paused(program, time.Since(frozen))
	}
	if m.Broken != nil && broken > 0 {
		m.Broken(program, broken)
	}
}
