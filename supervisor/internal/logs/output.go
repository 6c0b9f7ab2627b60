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
// own. Write and WriteLine may be called concurrently and never block. One
// Write to the destination is always whole lines.
type Output struct {
	dst        io.Writer
	priorities bool
	queue      chan []byte
	waiting    atomic.Int64  // bytes in queue
	dropped    atomic.Int64  // lines, that are not told yet
	lost       atomic.Uint64 // lines that were dropped, ever
}

// NewOutput returns an Output to dst; [Output.Run] does the writing.
func NewOutput(dst io.Writer) *Output {
	return &Output{dst: dst, queue: make(chan []byte, queueLen)}
}

// NewPrioritizedOutput is [NewOutput] for a destination that reads sd-daemon(3)
// priorities: every line begins with that of [PriorityOf], as <3>.
func NewPrioritizedOutput(dst io.Writer) *Output {
	o := NewOutput(dst)
	o.priorities = true
	return o
}

// Write queues a copy of p, which is whole lines: a last one without its end is
// given one. It never fails: what does not fit is dropped and counted.
func (o *Output) Write(p []byte) (int, error) {
	lines, n := make([]byte, 0, len(p)+len("<6>\n")), 0
	for line := range bytes.Lines(p) {
		lines = o.format(lines, "", bytes.TrimSuffix(line, []byte{'\n'}))
		n++
	}
	o.enqueue(lines, n)
	return len(p), nil
}

// WriteLine queues prefix and text as one line; the priority is that of text,
// which is given without its end. What does not fit is dropped and counted.
func (o *Output) WriteLine(prefix string, text []byte) {
	line := make([]byte, 0, len("<6>")+len(prefix)+len(text)+len("\n"))
	o.enqueue(o.format(line, prefix, text), 1)
}

func (o *Output) format(b []byte, prefix string, text []byte) []byte {
	if o.priorities {
		var p Priority
		p, text = PriorityOf(text)
		b = p.appendTo(b)
	}
	return appendLine(b, prefix, text)
}

// enqueue takes over lines, which are n.
func (o *Output) enqueue(lines []byte, n int) {
	if o.waiting.Add(int64(len(lines))) <= queueBytes {
		select {
		case o.queue <- lines:
			return
		default:
		}
	}
	o.waiting.Add(-int64(len(lines)))
	o.dropped.Add(int64(n))
	o.lost.Add(uint64(n))
}

// Dropped is how many lines did not fit so far.
func (o *Output) Dropped() uint64 { return o.lost.Load() }

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
	defer o.tellDropped() // those dropped after the last line that had room
	for {
		select {
		case lines := <-o.queue:
			o.write(lines)
		case <-ctx.Done():
			for {
				select {
				case lines := <-o.queue:
					o.write(lines)
				default:
					return
				}
			}
		}
	}
}

func (o *Output) write(lines []byte) {
	o.waiting.Add(-int64(len(lines)))
	o.tellDropped()
	o.dst.Write(lines) // an output that is gone has nobody to be told
}

func (o *Output) tellDropped() {
	n := o.dropped.Swap(0)
	if n == 0 {
		return
	}
	var line []byte
	if o.priorities {
		line = Warning.appendTo(line)
	}
	o.dst.Write(fmt.Appendf(line, "supervisor: %d lines dropped: nobody read the output\n", n))
}
