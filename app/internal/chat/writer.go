package chat

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

const (
	maxBatch    = 512              // drafts in one commit
	maxQueue    = 4096             // drafts that wait for one; above it a post is refused at once
	commitLimit = 5 * time.Second  // how long one commit may take
	readLimit   = 5 * time.Second  // how long one read of the store may take
	postLimit   = 10 * time.Second // how long a post waits for its commit
)

// Pending is a post on its way into the log.
type Pending struct {
	draft  Draft
	done   chan struct{} // closed by the writer after result and err are set
	result Appended
	err    error
}

// Wait returns what became of the post. On an error that wraps
// [ErrUnavailable] the outcome is unknown, and the same nonce may be tried
// again.
func (p *Pending) Wait() (Appended, error) {
	limit := time.NewTimer(postLimit)
	defer limit.Stop()
	select {
	case <-p.done:
		return p.result, p.err
	case <-limit.C:
		return Appended{}, fmt.Errorf("post: no commit within %v: %w", postLimit, ErrUnavailable)
	}
}

// refused returns a post that was never queued.
func refused(err error) *Pending {
	p := &Pending{done: make(chan struct{}), err: err}
	close(p.done)
	return p
}

// answered returns a post of which it is known what became.
func answered(a Appended) *Pending {
	p := &Pending{done: make(chan struct{}), result: a}
	close(p.done)
	return p
}

// writer commits posts in groups: while one commit is under way the next
// group gathers, so that the cost of a durable commit is shared by all that
// wait for it.
type writer struct {
	store   Store
	queue   chan *Pending
	publish func([]Appended) // called with each committed group, in order
	log     *slog.Logger
	meter   Meter
	state   storeState // of run alone
}

// storeState is whether the last commit succeeded: only a change is logged, a
// full disk would fill the log too.
type storeState uint8

const (
	storeWorks storeState = iota
	storeFails
)

func newWriter(s Store, log *slog.Logger, meter Meter, publish func([]Appended)) *writer {
	return &writer{store: s, queue: make(chan *Pending, maxQueue), publish: publish, log: log, meter: meter}
}

// post queues a draft. It never blocks.
func (w *writer) post(d Draft) *Pending {
	p := &Pending{draft: d, done: make(chan struct{})}
	select {
	case w.queue <- p:
		return p
	default:
		return refused(fmt.Errorf("post: %d others wait already: %w", maxQueue, ErrUnavailable))
	}
}

// run commits until ctx ends, then what is queued by then.
func (w *writer) run(ctx context.Context) {
	for {
		select {
		case p := <-w.queue:
			w.commit(w.gather(p))
		case <-ctx.Done():
			for len(w.queue) > 0 {
				w.commit(w.gather(<-w.queue))
			}
			return
		}
	}
}

// gather adds what waits to first.
func (w *writer) gather(first *Pending) []*Pending {
	group := []*Pending{first}
	for len(group) < maxBatch {
		select {
		case p := <-w.queue:
			group = append(group, p)
		default:
			return group
		}
	}
	return group
}

// commit appends a group and answers each of its posts.
func (w *writer) commit(group []*Pending) {
	drafts := make([]Draft, len(group))
	for i, p := range group {
		drafts[i] = p.draft
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitLimit)
	defer cancel()
	begun := time.Now()
	appended, err := w.store.Append(ctx, drafts)
	w.meter.Committed(len(drafts), duplicatesAmong(appended), time.Since(begun), err)
	for i, p := range group {
		if p.err = err; err == nil {
			p.result = appended[i]
		}
		close(p.done)
	}
	w.note(err)
	if err == nil {
		w.publish(appended)
	}
}

func duplicatesAmong(appended []Appended) (n int) {
	for i := range appended {
		if appended[i].Duplicate {
			n++
		}
	}
	return n
}

// note logs when the store begins to fail, and when it works again.
func (w *writer) note(err error) {
	switch {
	case err != nil && w.state == storeWorks:
		w.state = storeFails
		w.log.Error("posts are not stored", "err", err)
	case err == nil && w.state == storeFails:
		w.state = storeWorks
		w.log.Info("posts are stored again")
	}
}
