//go:build linux

package main

import (
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// bar shows how much of a time has passed, on a terminal. A nil bar shows
// nothing. It is for one goroutine.
type bar struct {
	end   chan struct{} // closed to take the bar away
	ended chan struct{}
}

const barEvery = 100 * time.Millisecond

// start shows a bar that is full at until.
func (b *bar) start(what string, until time.Time) {
	if b == nil {
		return
	}
	b.clear()
	began := time.Now()
	length := max(time.Until(until), barEvery)
	p := progressbar.NewOptions(int(length/barEvery),
		progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription(what), progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false))
	b.end, b.ended = make(chan struct{}), make(chan struct{})
	go func(end, ended chan struct{}) {
		defer close(ended)
		defer p.Clear()
		tick := time.NewTicker(barEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.Set(min(int(time.Since(began)/barEvery), int(length/barEvery)-1)) // full is for the verdict to say
			case <-end:
				return
			}
		}
	}(b.end, b.ended)
}

// clear takes the bar away, if there is one.
func (b *bar) clear() {
	if b == nil || b.end == nil {
		return
	}
	close(b.end)
	<-b.ended
	b.end = nil
}
