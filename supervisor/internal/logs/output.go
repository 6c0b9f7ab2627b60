package logs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	// queueLen and queueBytes bound what waits for a slow reader of the
	// output.
	queueLen   = 4096
	queueBytes = 1 << 20

	// flushTime is how long what still waits may take at the end: a terminal
	// that was stopped with Ctrl-S must not keep the supervisor from ending.
	flushTime = time.Second
)

// Output writes lines to a destination that may block, from a goroutine of its
// own. Write may be called concurrently and never blocks.
type Output struct {
	dst     io.Writer
	queue   chan []byte
	waiting atomic.Int64 // bytes in queue
	dropped atomic.Int64 // lines
}

// NewOutput returns an Output to dst; [Output.Run] does the writing.
func NewOutput(dst io.Writer) *Output {
	return &Output{dst: dst, queue: make(chan []byte, queueLen)}
}

// Write queues a copy of p, which should be whole lines. It never fails: what
// does not fit is dropped and counted.
func (o *Output) Write(p []byte) (int, error) {
	if o.waiting.Add(int64(len(p))) <= queueBytes {
		select {
		case o.queue <- bytes.Clone(p):
			return len(p), nil
		default:
		}
	}
	o.waiting.Add(-int64(len(p)))
	o.dropped.Add(1)
	return len(p), nil
}

// Run writes what is queued until ctx ends and then what is left, for a second
// at most. If the destination still blocks then, the goroutine that waits on
// it is left to end with the process.
func (o *Output) Run(ctx context.Context) error {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		o.writeUntil(ctx)
	}()
	<-ctx.Done()
	select {
	case <-drained:
	case <-time.After(flushTime):
	}
	return nil
}

func (o *Output) writeUntil(ctx context.Context) {
	for {
		select {
		case line := <-o.queue:
			o.write(line)
		case <-ctx.Done():
			for {
				select {
				case line := <-o.queue:
					o.write(line)
				default:
					return
				}
			}
		}
	}
}

func (o *Output) write(line []byte) {
	o.waiting.Add(-int64(len(line)))
	if n := o.dropped.Swap(0); n > 0 {
		fmt.Fprintf(o.dst, "supervisor: %d lines dropped: nobody read the output\n", n)
	}
	o.dst.Write(line) // an output that is gone has nobody to be told
}
