package mongo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// maxInsert is how many events one insert holds. FerretDB goes on beyond its
// first hundred after a failure among them, which would leave a hole.
const maxInsert = 100

// Waits after an attempt that has led nowhere: half to all of it, at random, so
// that two who are in each other's way part.
const (
	retryMin = 2 * time.Millisecond
	retryMax = 200 * time.Millisecond
)

// Append is [chat.Store]'s.
func (s *Store) Append(ctx context.Context, drafts []chat.Draft) ([]chat.Appended, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	if len(drafts) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, fmt.Errorf("append: %s: %w: the append before takes too long: %w", s.hosts, chat.ErrUnavailable, ctx.Err())
	}
	if err := s.guard(ctx); err != nil {
		return nil, fmt.Errorf("append: %w", s.fault(ctx, err))
	}
	b := newBatch(s, drafts)
	err := s.wrote(b.store(ctx))
	if err == nil {
		b.outcome = outcomeSome
		err = s.wrote(s.follow(ctx, b.complete()))
	}
	switch {
	case err == nil:
		return b.results, nil
	case full(err) && b.outcome == outcomeNone:
		return nil, fmt.Errorf("append: %s: %w", s.hosts, chat.ErrFull)
	default:
		return nil, fmt.Errorf("append: %w", s.fault(ctx, err))
	}
}

// post is what is unique for ever.
type post struct{ room, author, nonce string }

func postOf(d chat.Draft) post { return post{d.Room, d.User.ID, d.Nonce} }

// batch is one Append.
type batch struct {
	*Store
	drafts  []chat.Draft
	results []chat.Appended
	first   map[post]int // of those that repeat one another the first
	open    []int        // indexes of the firsts without a result, in order
	outcome outcome
}

// outcome is what a batch that fails leaves behind.
type outcome uint8

const (
	outcomeNone outcome = iota // nothing of it is stored
	outcomeSome                // some is, or may be
)

func newBatch(s *Store, drafts []chat.Draft) *batch {
	b := &batch{Store: s, drafts: drafts, results: make([]chat.Appended, len(drafts)), first: map[post]int{}}
	for i, d := range drafts {
		if _, repeats := b.first[postOf(d)]; !repeats {
			b.first[postOf(d)] = i
			b.open = append(b.open, i)
		}
	}
	return b
}

// complete returns the results, when nothing is open any more.
func (b *batch) complete() []chat.Appended {
	for i, d := range b.drafts {
		if first := b.first[postOf(d)]; first != i {
			b.results[i] = chat.Appended{Event: b.results[first].Event, Duplicate: true}
		}
	}
	return b.results
}

// store gives every first a result, or ends with ctx.
func (b *batch) store(ctx context.Context) error {
	wait := retryMin
	for len(b.open) > 0 {
		got, err := b.attempt(ctx)
		if err != nil && !cut(err) {
			return err
		}
		if got == further && err == nil {
			wait = retryMin
			continue
		}
		if late := sleep(ctx, wait/2+rand.N(wait/2)); late != nil {
			return errors.Join(late, err)
		}
		wait = min(2*wait, retryMax)
	}
	return nil
}

// progress is what an attempt has led to.
type progress uint8

const (
	nowhere progress = iota // the same would come of the next one now
	further                 // less is open, or the head has moved
)

// attempt inserts the first of what is open at the heads as they are known, and
// if that fails finds out what of it is stored nevertheless.
func (b *batch) attempt(ctx context.Context) (progress, error) {
	documents, err := b.place(ctx, b.next())
	if err != nil {
		return nowhere, err
	}
	if late := sleep(ctx, b.courtesy.wait(time.Now())); late != nil {
		return nowhere, late
	}
	n, err := b.insert(ctx, documents)
	b.settle(documents[:n])
	if err == nil {
		return further, nil
	}
	if !isTold(err) { // anything may have happened
		b.outcome = outcomeSome
		b.tails.clear()
	}
	switch {
	case driver.IsDuplicateKeyError(err):
		return b.examine(ctx, documents[n])
	case cut(err):
		err = b.recall(ctx)
	}
	return nowhere, err
}

// examine finds out what a document has met: its own nonce, or another event in
// its place. What a majority has not yet got cannot be read: then it comes
// nowhere.
func (b *batch) examine(ctx context.Context, d eventDocument) (progress, error) {
	mine := b.open[0]
	var head tail
	var headErr error
	var reading sync.WaitGroup
	reading.Go(func() { head, headErr = b.tail(ctx, d.Room) })
	err := b.recall(ctx)
	reading.Wait()
	if err = errors.Join(err, headErr); err != nil {
		b.tails.drop(d.Room)
		return nowhere, err
	}
	b.tails.set(d.Room, head)
	if b.results[mine].Event.Seq != 0 {
		return further, nil
	}
	b.courtesy.meet(time.Now())
	if head.seq >= d.Seq {
		return further, nil
	}
	return nowhere, nil
}

// next are the drafts of the next insert.
func (b *batch) next() []int { return b.open[:min(len(b.open), maxInsert)] }

// place gives drafts their places behind the heads.
func (b *batch) place(ctx context.Context, todo []int) ([]eventDocument, error) {
	now := b.now().UnixMilli()
	heads := map[string]tail{}
	documents := make([]eventDocument, 0, len(todo))
	for _, i := range todo {
		d := b.drafts[i]
		last, known := heads[d.Room]
		if !known {
			var err error
			if last, err = b.knownTail(ctx, d.Room); err != nil {
				return nil, err
			}
		}
		last = tail{last.seq + 1, max(now, last.at)}
		heads[d.Room] = last
		documents = append(documents, documentOf(d.Event(last.seq, chat.Moment(last.at))))
	}
	return documents, nil
}

// insert returns how many of the documents, in order, are surely stored by a
// majority, and why not all.
func (b *batch) insert(ctx context.Context, documents []eventDocument) (n int, err error) {
	begun := time.Now()
	_, err = b.events.InsertMany(ctx, documents)
	b.courtesy.inserted(begun, time.Now())
	var told driver.BulkWriteException
	switch {
	case err == nil:
		return len(documents), nil
	case isTold(err) && errors.As(err, &told):
		return told.WriteErrors[0].Index, err
	default:
		return 0, err
	}
}

// isTold reports whether the server has told which document it did not store,
// and why, and a majority has those before it.
func isTold(err error) bool {
	var told driver.BulkWriteException
	return errors.As(err, &told) && told.WriteConcernError == nil && len(told.WriteErrors) > 0
}

// settle closes the first of what is open with what was stored of it.
func (b *batch) settle(stored []eventDocument) {
	for i, d := range stored {
		b.results[b.open[i]] = chat.Appended{Event: d.event()}
		b.tails.set(d.Room, tail{d.Seq, int64(d.At)})
		b.outcome = outcomeSome
	}
	b.open = b.open[len(stored):]
}

// recall reads which of the next drafts are stored already, by their nonces.
func (b *batch) recall(ctx context.Context) error {
	var posts bson.A
	for _, i := range b.next() {
		p := postOf(b.drafts[i])
		posts = append(posts, bson.D{{Key: "room", Value: p.room}, {Key: "author", Value: p.author}, {Key: "nonce", Value: p.nonce}})
	}
	stored, err := b.find(ctx, bson.D{{Key: "$or", Value: posts}})
	if err != nil {
		return err
	}
	for _, d := range stored {
		b.results[b.first[post{d.Room, d.Author, d.Nonce}]] = chat.Appended{Event: d.event(), Duplicate: true}
	}
	var open []int
	for _, i := range b.open {
		if b.results[i].Event.Seq == 0 {
			open = append(open, i)
		}
	}
	b.open = open
	return nil
}

// cut reports whether an error came from the way to the server, or from a
// server that was just replaced: whatever was asked may have happened, and
// another attempt may go through at once.
func cut(err error) bool {
	var labelled driver.LabeledError
	return errors.As(err, &labelled) && !driver.IsTimeout(err) &&
		(labelled.HasErrorLabel("NetworkError") || labelled.HasErrorLabel("RetryableWriteError"))
}

// sleep waits, or returns the context's error when that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
