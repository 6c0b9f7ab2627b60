package handover

import (
	"runtime/debug"
	"time"
)

// While connections are taken over everybody waits, and the collector would run
// many times over a heap that only grows.
const (
	hurriedPercent = 400             // garbage that may gather meanwhile (GOGC)
	hurryTime      = 5 * time.Second // after it, in which clients of a dead worker say hello again
)

// hurry lets the collector wait. The keeper's one goroutine calls its methods.
type hurry struct {
	percent int // before
	begun   bool
}

func (h *hurry) begin() {
	if !h.begun {
		h.begun = true
		h.percent = debug.SetGCPercent(hurriedPercent)
	}
}

func (h *hurry) end() {
	if h.begun {
		h.begun = false
		percent := h.percent
		time.AfterFunc(hurryTime, func() { debug.SetGCPercent(percent) })
	}
}
