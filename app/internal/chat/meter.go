package chat

import "time"

// Meter is told what a [Hub] does, so that it can be counted. Its methods are
// called by any goroutine, and must be quick.
type Meter interface {
	// Committed is told of each group that was appended, or was not: how many
	// drafts there were, how many of them were stored before, and how long it
	// took.
	Committed(drafts, duplicates int, took time.Duration, err error)
	// Resumed is told how a member began in a room, and how many events it had
	// missed.
	Resumed(how Resumption, missed int64)
	// Delivered is told of some frames, how long after their newest event was
	// known here they were sent.
	Delivered(after time.Duration)
	// Repaired is told how many events were read from the store because nobody,
	// or nobody in time, had told of them.
	Repaired(events int)
}

// Resumption is how a member began in a room.
type Resumption string

// Resumptions.
const (
	ResumedWhole Resumption = "resumed" // everything after its cursor was told
	ResumedReset Resumption = "reset"   // it had missed too much, or was of another log: the last page was told
	ResumedNew   Resumption = "new"     // it asked for the last page
)

// unmetered is the Meter of a hub that has none.
type unmetered struct{}

func (unmetered) Committed(int, int, time.Duration, error) {}
func (unmetered) Resumed(Resumption, int64)                {}
func (unmetered) Delivered(time.Duration)                  {}
func (unmetered) Repaired(int)                             {}
