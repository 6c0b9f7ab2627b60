package chat

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	wire "github.com/simpletalk/simpletalk/proto/chat"
)

// settle erases what an event that was just stored takes away. m.mu is held for
// writing.
func (r *memoryRoom) settle(e Event) {
	deleted := func(seq int64) bool { return r.events[seq-1].Kind == wire.EventDel }
	if e.Kind == wire.EventDel || slices.ContainsFunc(r.about[e.Of], deleted) {
		r.erase(e.Of)
	}
}

// erase takes away the texts of a post and of its edits.
func (r *memoryRoom) erase(post int64) {
	if post > int64(len(r.events)) {
		return
	}
	r.events[post-1].Text = ""
	for _, seq := range r.about[post] {
		r.events[seq-1].Text = ""
	}
}

// read runs a reading of a room, unless it has nothing.
func (m *Memory) read(ctx context.Context, room string, do func(r *memoryRoom) []Event) ([]Event, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read %q: %w", room, err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if r := m.rooms[room]; r != nil {
		return do(r), nil
	}
	return nil, nil
}

// PostsBefore is [PostStore]'s.
func (m *Memory) PostsBefore(ctx context.Context, room string, seq int64, limit int) ([]Event, error) {
	return m.read(ctx, room, func(r *memoryRoom) (posts []Event) {
		for i := min(max(seq, 1)-1, int64(len(r.events))); i > 0 && len(posts) < limit; i-- {
			if e := r.events[i-1]; e.Kind == wire.EventPost {
				posts = append(posts, e)
			}
		}
		slices.Reverse(posts)
		return posts
	})
}

// PostsAfter is [PostStore]'s.
func (m *Memory) PostsAfter(ctx context.Context, room string, seq int64, limit int) ([]Event, error) {
	return m.read(ctx, room, func(r *memoryRoom) (posts []Event) {
		for i := max(seq, 0); i < int64(len(r.events)) && len(posts) < limit; i++ {
			if e := r.events[i]; e.Kind == wire.EventPost {
				posts = append(posts, e)
			}
		}
		return posts
	})
}

// About is [PostStore]'s.
func (m *Memory) About(ctx context.Context, room string, posts []int64) ([]Event, error) {
	return m.read(ctx, room, func(r *memoryRoom) (about []Event) {
		var seqs []int64
		for _, post := range posts {
			seqs = append(seqs, r.about[post]...)
		}
		slices.Sort(seqs)
		for _, seq := range slices.Compact(seqs) {
			if e := r.events[seq-1]; e.Of != 0 {
				about = append(about, e)
			}
		}
		return about
	})
}

// Stored is [PostStore]'s.
func (m *Memory) Stored(ctx context.Context, room, author, nonce string) (Event, error) {
	found, err := m.read(ctx, room, func(r *memoryRoom) []Event {
		if seq, ok := r.posts[memoryPost{author, nonce}]; ok {
			return r.events[seq-1 : seq : seq]
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("event of a nonce: %w", ErrNotFound)
	}
	if err != nil {
		return Event{}, err
	}
	return found[0], nil
}

// Search is [PostStore]'s.
func (m *Memory) Search(ctx context.Context, room string, words []string, before int64, limit int) ([]Event, error) {
	return m.read(ctx, room, func(r *memoryRoom) (found []Event) {
		for i := min(max(before, 1)-1, int64(len(r.events))); i > 0 && len(found) < limit; i-- {
			if e := r.events[i-1]; e.Kind == wire.EventPost && Matches(r.fold(e).Text, words) {
				found = append(found, e)
			}
		}
		return found
	})
}

func (r *memoryRoom) fold(post Event) Post {
	var about []Event
	for _, seq := range r.about[post.Seq] {
		about = append(about, r.events[seq-1])
	}
	return Fold([]Event{post}, about)[0]
}

// Expire is [PostStore]'s.
func (m *Memory) Expire(ctx context.Context, room string, before time.Time, keep, limit int) (voided int, last int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, fmt.Errorf("expire %q: %w", room, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.rooms[room]
	if r == nil {
		return 0, 0, nil
	}
	upTo := r.expired(before, keep)
	for r.voided < upTo && voided < limit {
		r.events[r.voided] = r.events[r.voided].Void()
		r.voided++
		voided, last = voided+1, r.voided
	}
	return voided, last, nil
}

// expired returns the seq up to which the limits exclude everything.
func (r *memoryRoom) expired(before time.Time, keep int) (upTo int64) {
	posts := 0
	for i := len(r.events); i > 0; i-- {
		e := &r.events[i-1]
		if e.At.Before(before) {
			return e.Seq
		}
		if e.Kind == wire.EventPost && keep > 0 {
			if posts++; posts > keep {
				return e.Seq
			}
		}
	}
	return 0
}

// PutReads is [PostStore]'s.
func (m *Memory) PutReads(ctx context.Context, reads []Read) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("put reads: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range reads {
		of := m.reads[r.User]
		if of == nil {
			of = map[string]int64{}
			m.reads[r.User] = of
		}
		of[r.Room] = max(of[r.Room], r.Seq)
	}
	return nil
}

// Reads is [PostStore]'s.
func (m *Memory) Reads(ctx context.Context, user string) (map[string]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("reads: %w", err)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return maps.Clone(m.reads[user]), nil
}
