package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/simpletalk/simpletalk/app/internal/chat"
)

// store measures the calls of another store that people wait for, and counts
// which of them fail.
type store struct {
	chat.Store
	m *Metrics
}

// Store returns a store that does what s does, and is measured.
func (m *Metrics) Store(s chat.Store) chat.Store { return store{s, m} }

// done takes the measure of a call that began at a time. What is not found, and
// a caller that has left, are no errors of the store.
func (s store) done(op string, begun time.Time, err error) {
	s.m.store.WithLabelValues(op).Observe(time.Since(begun).Seconds())
	if err != nil && !errors.Is(err, chat.ErrNotFound) && !errors.Is(err, context.Canceled) {
		s.m.errors.WithLabelValues(op).Inc()
	}
}

// Append is [chat.Store]'s.
func (s store) Append(ctx context.Context, drafts []chat.Draft) (a []chat.Appended, err error) {
	defer func(begun time.Time) { s.done("append", begun, err) }(time.Now())
	return s.Store.Append(ctx, drafts)
}

// After is [chat.Store]'s.
func (s store) After(ctx context.Context, room string, seq int64, limit int) (e []chat.Event, err error) {
	defer func(begun time.Time) { s.done("after", begun, err) }(time.Now())
	return s.Store.After(ctx, room, seq, limit)
}

// Before is [chat.Store]'s.
func (s store) Before(ctx context.Context, room string, seq int64, limit int) (e []chat.Event, err error) {
	defer func(begun time.Time) { s.done("before", begun, err) }(time.Now())
	return s.Store.Before(ctx, room, seq, limit)
}

// PostsBefore is [chat.PostStore]'s.
func (s store) PostsBefore(ctx context.Context, room string, seq int64, limit int) (e []chat.Event, err error) {
	defer func(begun time.Time) { s.done("posts", begun, err) }(time.Now())
	return s.Store.PostsBefore(ctx, room, seq, limit)
}

// PostsAfter is [chat.PostStore]'s.
func (s store) PostsAfter(ctx context.Context, room string, seq int64, limit int) (e []chat.Event, err error) {
	defer func(begun time.Time) { s.done("posts", begun, err) }(time.Now())
	return s.Store.PostsAfter(ctx, room, seq, limit)
}

// About is [chat.PostStore]'s.
func (s store) About(ctx context.Context, room string, posts []int64) (e []chat.Event, err error) {
	defer func(begun time.Time) { s.done("about", begun, err) }(time.Now())
	return s.Store.About(ctx, room, posts)
}

// Search is [chat.PostStore]'s.
func (s store) Search(ctx context.Context, room string, words []string, before int64, limit int) (e []chat.Event, err error) {
	defer func(begun time.Time) { s.done("search", begun, err) }(time.Now())
	return s.Store.Search(ctx, room, words, before, limit)
}

// PutReads is [chat.PostStore]'s.
func (s store) PutReads(ctx context.Context, reads []chat.Read) (err error) {
	defer func(begun time.Time) { s.done("put_reads", begun, err) }(time.Now())
	return s.Store.PutReads(ctx, reads)
}

// Session is [chat.Store]'s.
func (s store) Session(ctx context.Context, tokenHash [32]byte) (_ chat.Session, err error) {
	defer func(begun time.Time) { s.done("session", begun, err) }(time.Now())
	return s.Store.Session(ctx, tokenHash)
}

// Ping is [chat.Store]'s.
func (s store) Ping(ctx context.Context) (err error) {
	defer func(begun time.Time) { s.done("ping", begun, err) }(time.Now())
	return s.Store.Ping(ctx)
}
