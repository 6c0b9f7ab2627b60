package chat

import "time"

// Millis is what every store and export keeps of a time: milliseconds since 1970,
// 0 of the zero time.
func Millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Moment is the time of which [Millis] is ms, in UTC.
func Moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// AsKept is a time as it comes back from a store.
func AsKept(t time.Time) time.Time { return Moment(Millis(t)) }
